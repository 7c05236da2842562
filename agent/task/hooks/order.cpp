// SPDX-License-Identifier: Apache-2.0
// The order of the steps before a start. The driver's own config block is decoded after them (it needs the
// environment).
#include "agent/task/hooks/hook.h"

namespace drover::agent {

std::span<const Hook> task_hooks() {
    static constexpr Hook kHooks[] = {
        {"validate", HookFailure::Validation, false, validate_hook},
        {"task_dir", HookFailure::Setup, false, task_dir_hook},
        {"env", HookFailure::Setup, true, env_hook},
        {"resources", HookFailure::Setup, true, resources_hook},
        {"devices", HookFailure::Setup, false, devices_hook},
        {"dispatch_payload", HookFailure::Setup, false, dispatch_payload_hook},
        {"logs", HookFailure::Setup, false, logs_hook},
    };
    return kHooks;
}

}  // namespace drover::agent
