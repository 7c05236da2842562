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

// What the root is made of: the plugin's chroot_env or its default, or the job's image_dir, which must be below one of
// the plugin's image_paths or in the task's local directory, symlinks and all.
Result<HostView> task_root(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin);

// `dir` is where the bundle will be. Errors name the field of the job that is wrong.
Result<Bundle> task_bundle(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin, const HostView& host, const std::string& dir);

// What the task sees where, for find_command().
std::vector<ViewEntry> view_of(const Bundle& bundle, const HostView& host);

Result<cgroup::Limits> task_limits(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                                   const IsolationPluginConfig& plugin);

// The plugin's userns_host_ids; none when it is empty.
Result<std::optional<IdMap>> parse_id_map(const std::string& text);

}  // namespace drover::drivers::oci
