// SPDX-License-Identifier: Apache-2.0
// The devices that the scheduler gave the task: each device plugin says what its devices need, and that goes into
// the task's environment, mounts and device nodes. Runs after the environment is made, before the driver's config is
// decoded, so that `config` may use those variables. A reservation is nothing that has to be given back.
#include "agent/task/hooks/hook.h"
#include "base/strings.h"

namespace drover::agent {

Status devices_hook(TaskContext& context) {
    const auto& tasks = context.alloc->allocated_resources().tasks();
    const auto found = tasks.find(context.task->name());
    if (found == tasks.end()) return {};
    for (const auto& given : found->second.devices()) {
        const std::string what =
            fmt::format("failed to reserve device {}/{}/{} [{}]", given.vendor(), given.type(), given.name(),
                        join({given.device_ids().begin(), given.device_ids().end()}, ", "));
        if (!context.reserve) return make_error(Code::FailedPrecondition, "{}: this agent has no devices", what);
        auto reserved = context.reserve(given);
        if (!reserved) return Status(std::move(reserved).error().context(what));
        if (!reserved->mounts.empty() && !context.capabilities.accepts_mounts) {
            return make_error(Code::FailedPrecondition,
                              "{}: it needs mounts, which driver \"{}\" does not support", what,
                              context.task->driver());
        }
        for (const auto& [key, value] : reserved->env) {
            context.env.env[key] = value;
            context.config.env[key] = value;
            context.config.device_env[key] = value;
        }
        auto& mounts = context.config.mounts;
        mounts.insert(mounts.end(), reserved->mounts.begin(), reserved->mounts.end());
        auto& devices = context.config.devices;
        devices.insert(devices.end(), reserved->devices.begin(), reserved->devices.end());
    }
    return {};
}

}  // namespace drover::agent
