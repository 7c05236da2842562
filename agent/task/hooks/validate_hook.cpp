// SPDX-License-Identifier: Apache-2.0
// Refuses, before anything is made, what this client cannot do: a task never runs with a part of its file
// ignored.
#include "agent/task/hooks/hook.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

// What the driver wants done for its tasks before they start, and this agent does not do: the task would run, but
// in the wrong place or as the wrong user.
Status check_capabilities(const TaskContext& context) {
    const auto& driver = context.task->driver();
    const auto fs = context.capabilities.fs_isolation;
    if (fs == sdk::FsIsolation::Chroot || fs == sdk::FsIsolation::Unveil) {
        return make_error(Code::Unimplemented,
                          "driver {:?} wants its tasks' directories as {}, which this agent does not make", driver,
                          fs == sdk::FsIsolation::Chroot ? "a chroot" : "unveiled paths");
    }
    if (context.capabilities.dynamic_workload_users && context.task->user().empty()) {
        return make_error(Code::Unimplemented,
                          "driver {:?} wants a user made for the task, which this agent does not do: set user",
                          driver);
    }
    return {};
}

}  // namespace

Status validate_hook(TaskContext& context) {
    const auto& task = *context.task;
    DROVER_CHECK(check_capabilities(context));
    if (task.artifacts_size() > 0) {
        return make_error(Code::Unimplemented,
                          "task uses an artifact block, which this agent does not support yet");
    }
    if (task.templates_size() > 0) {
        return make_error(Code::Unimplemented,
                          "task uses a template block, which this agent does not support yet");
    }
    if (task.has_vault()) {
        return make_error(Code::Unimplemented,
                          "task uses a vault block, which this agent does not support yet");
    }
    if (task.volume_mounts_size() > 0) {
        return make_error(Code::Unimplemented,
                          "task uses a volume_mount block, which this agent does not support yet");
    }
    if (task.has_csi_plugin_config()) {
        return make_error(Code::Unimplemented,
                          "task uses a csi_plugin block, which this agent does not support yet");
    }
    if (task.secrets_size() > 0) {
        return make_error(Code::Unimplemented,
                          "task uses a secret block, which this agent does not support yet");
    }
    for (const auto& network : context.group->networks()) {
        if (network.mode().empty() || network.mode() == "host") continue;
        return make_error(Code::Unimplemented, "network mode {:?} is not supported by this agent yet",
                          network.mode());
    }
    const auto& options = *context.client_options;
    const auto denied = options.find("user.denylist");
    const auto checked = options.find("user.checked_drivers");
    const auto drivers = split(checked != options.end() ? checked->second : "exec,qemu,java", ',');
    const auto users = split(denied != options.end() ? denied->second : "root,Administrator", ',');
    const bool check = std::find(drivers.begin(), drivers.end(), task.driver()) != drivers.end();
    if (check && std::find(users.begin(), users.end(), task.user()) != users.end()) {
        return make_error(Code::PermissionDenied, "running as user {:?} is disallowed", task.user());
    }
    return {};
}

}  // namespace drover::agent
