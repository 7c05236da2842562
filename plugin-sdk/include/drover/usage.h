// SPDX-License-Identifier: Apache-2.0
// From the counters of a cgroup (v1 or v2, cgroup::Cgroup::stats()) to the sample that a host shows of a task:
// percentages need the sample before. ProcessDriver has it built in; drivers whose containers a daemon runs keep one
// meter a task.
#pragma once
#include <cstdint>
#include <optional>

#include "cgroup/cgroup.h"
#include "drover/types.h"

namespace drover::sdk {

// The mean speed of the node's cores in MHz as the agent tells it in set_config; 0 when it does not.
double core_speed_mhz(const std::optional<AgentConfig>& agent);

// Of one task. Not thread-safe. Two who sample one meter shorten one another's intervals.
class UsageMeter {
 public:
    // Percentages: 100 is one core, since the sample before. The first sample has none: it is measured from the start
    // of the task, also when that was in the life of an earlier process of this plugin. core_mhz: for total_mhz; 0:
    // that is left out. The sample's `id` stays empty.
    TaskStats measure(const cgroup::Stats& now, int64_t started_unix_ns, double core_mhz);

 private:
    uint64_t cpu_ns_ = 0, cpu_user_ns_ = 0, cpu_system_ns_ = 0;
    int64_t sampled_ns_ = 0;  // monotonic; 0: never
};

}  // namespace drover::sdk
