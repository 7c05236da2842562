// SPDX-License-Identifier: Apache-2.0
// Usage of the machine for /v1/client/stats, and a driver's samples in the schema's form. Reads /proc;
// blocking, cheap.
#pragma once
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "base/result.h"

namespace drover::sdk {
struct ResourceUsage;
struct TaskStats;
}  // namespace drover::sdk
namespace drover::model {
class HostStats;
class ResourceUsage;
class TaskResourceUsage;
}  // namespace drover::model

namespace drover::agent {

// Percentages of CPUs are those since the last call (since boot at the first). Thread-safe.
class HostStatsProbe {
 public:
    // `alloc_dir` is whose file system AllocDirStats describes; `core_mhz` turns percent into ticks.
    HostStatsProbe(std::string alloc_dir, double core_mhz);
    Result<model::HostStats> read();

 private:
    struct CpuTimes {
        uint64_t user = 0, system = 0, idle = 0, total = 0;
    };
    std::string alloc_dir_;
    double core_mhz_;
    std::mutex mutex_;
    std::map<std::string, CpuTimes> last_;
};

// Used part of the file system in percent: bytes and inodes. For the collection of terminal allocations.
struct DiskPressure {
    double bytes_percent = 0;
    double inodes_percent = 0;
};
Result<DiskPressure> disk_pressure(const std::string& path);

model::TaskResourceUsage to_model(const sdk::TaskStats& stats, double core_mhz);
// Adds one task's usage to the allocation's total.
void add_usage(model::ResourceUsage& total, const model::ResourceUsage& part);

}  // namespace drover::agent
