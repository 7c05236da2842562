// SPDX-License-Identifier: Apache-2.0
// Makes the task's directories. Secrets belong to the user the task runs as: its own, or for drivers with a
// root of their own "nobody" (what they default to).
#include <unistd.h>

#include "agent/task/hooks/hook.h"

namespace drover::agent {

Status task_dir_hook(TaskContext& context) {
    Owner owner{::geteuid(), ::getegid()};
    const auto& user = context.task->user();
    if (!user.empty() && user.find("${") == std::string::npos) {
        // With an image of its own the user may exist only there.
        auto found = lookup_owner(user);
        if (found)
            owner = *found;
        else if (context.capabilities.fs_isolation != sdk::FsIsolation::Image)
            return std::move(found).error();
    } else if (context.capabilities.fs_isolation != sdk::FsIsolation::None) {
        if (auto nobody = lookup_owner("nobody")) owner = *nobody;
    }
    return context.dir.build_task(context.task->name(), owner);
}

}  // namespace drover::agent
