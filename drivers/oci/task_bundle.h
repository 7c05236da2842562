// SPDX-License-Identifier: Apache-2.0
// From a task's config to its bundle: which directories it sees, as whom it runs, what it may do. Looks at the machine
// (users, files, devices), makes nothing. The command line is the driver's to add (Bundle::args).
#pragma once
#include "cgroup/cgroup.h"
#include "drivers/common/command_path.h"
#include "drivers/oci/bundle.h"
#include "drivers/oci/isolation_config.h"
#include "drover/types.h"

namespace drover::drivers::oci {

// `dir` is where the bundle will be. Errors name the field of the job that is wrong.
Result<Bundle> task_bundle(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin, const HostView& host, const std::string& dir);

// What the task sees where, for find_command().
std::vector<ViewEntry> view_of(const Bundle& bundle, const HostView& host);

// cpu shares, memory (hard and, with memory_max, soft), no swap, cpuset.
cgroup::Limits task_limits(const sdk::Resources& resources);

}  // namespace drover::drivers::oci
