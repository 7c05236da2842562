// SPDX-License-Identifier: Apache-2.0
// From a task's config to its bundle: which directories it sees, as whom it runs, what it may do. Looks at the machine
// (users, files, devices), makes nothing.
#pragma once
#include "cgroup/cgroup.h"
#include "drivers/exec/exec_config.h"
#include "drivers/oci/bundle.h"
#include "drover/types.h"

namespace drover::drivers {

// `dir` is where the bundle will be. Errors name the field of the job that is wrong.
Result<oci::Bundle> exec_bundle(const sdk::TaskConfig& task, const ExecTaskConfig& config,
                                const ExecPluginConfig& plugin, const oci::HostView& host, const std::string& dir);

// cpu shares, memory (hard and, with memory_max, soft), no swap, cpuset.
cgroup::Limits exec_limits(const sdk::Resources& resources);

}  // namespace drover::drivers
