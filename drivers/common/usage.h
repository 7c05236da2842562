// SPDX-License-Identifier: Apache-2.0
// From a cgroup's counters to the sample that a host shows: percentages need the sample before.
#pragma once
#include <cstdint>

#include "cgroup/cgroup.h"
#include "drover/types.h"

namespace drover::drivers {

// The mean speed of the node's cores in MHz, 0 when it is not known.
double core_speed_mhz(const std::optional<sdk::AgentConfig>& agent);

// Of one task. Not thread-safe.
class UsageMeter {
 public:
    // The first sample after a start or a restart has nothing to compare with: measured from the task's start.
    sdk::TaskStats measure(const cgroup::Stats& now, int64_t started_unix_ns, double core_mhz);

 private:
    uint64_t cpu_ns_ = 0, cpu_user_ns_ = 0, cpu_system_ns_ = 0;
    int64_t sampled_ns_ = 0;
};

}  // namespace drover::drivers
