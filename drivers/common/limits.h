// SPDX-License-Identifier: Apache-2.0
// From what a job asks for to the limits of its cgroup, for every driver of processes.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroup/cgroup.h"
#include "drover/types.h"
#include "drover/process_task.h"

namespace drover::drivers {

// cpu shares, memory (hard and, with memory_max, soft), no swap, cpuset.
cgroup::Limits resource_limits(const sdk::Resources& resources);

// A quota that keeps the task to its share of the machine's cores also when the others idle. `period_us` 1000..1000000.
Status add_cpu_quota(const sdk::Resources& resources, int64_t period_us, cgroup::Limits* limits);

// A task's pids_limit under the operator's: 0 leaves the choice to the operator, whose 0 is no limit. InvalidArgument
// when the task asks for more than it may.
Result<std::optional<uint64_t>> pids_limit(int64_t task, int64_t plugin);

// ulimit { nofile = "2048:4096", core = "0" }: soft and hard, or one number for both; "unlimited" or -1 is a number.
Result<std::vector<sdk::ProcessRlimit>> parse_ulimits(const std::map<std::string, std::string>& ulimit);
// "RLIMIT_NOFILE" for RLIMIT_NOFILE.
std::string rlimit_name(int resource);

}  // namespace drover::drivers
