// SPDX-License-Identifier: Apache-2.0
// Writes the payload of a dispatched job into the task's local directory. The directory is the task's: it is entered by
// descriptor and no symlink is followed.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/task/hooks/hook.h"
#include "base/files.h"

namespace drover::agent {

Status dispatch_payload_hook(TaskContext& context) {
    const auto& payload = context.alloc->job().payload();
    if (!context.task->has_dispatch_payload() || payload.empty()) return {};
    const std::string& file = context.task->dispatch_payload().file();
    if (file.empty()) return {};
    const std::string local = context.dir.task(context.task->name()) + "/local";
    UniqueFd dir(::open(local.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return Error::from_errno(fmt::format("open {}", local));
    open_how how{};
    how.flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    how.mode = 0644;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    // Parents inside local/, one by one.
    for (size_t slash = file.find('/'); slash != std::string::npos; slash = file.find('/', slash + 1)) {
        if (slash > 0 && ::mkdirat(dir.get(), file.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) {
            return Error::from_errno(fmt::format("dispatch_payload: mkdir {:?}", file.substr(0, slash)));
        }
    }
    UniqueFd out(static_cast<int>(::syscall(SYS_openat2, dir.get(), file.c_str(), &how, sizeof how)));
    if (!out) return Error::from_errno(fmt::format("dispatch_payload: open {:?} in the task's local directory", file));
    return write_all(out.get(), payload);
}

}  // namespace drover::agent
