// SPDX-License-Identifier: Apache-2.0
// Writes the payload of a dispatched job into the task's local directory. The directory is the task's: it is
// entered by descriptor and no symlink is followed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/task/hooks/hook.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {

Status dispatch_payload_hook(TaskContext& context) {
    const auto& payload = context.alloc->job().payload();
    if (!context.task->has_dispatch_payload() || payload.empty()) return {};
    const std::string& file = context.task->dispatch_payload().file();
    if (file.empty()) return {};
    const std::string local = context.dir.task(context.task->name()) + "/local";
    UniqueFd dir(::open(local.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!dir) return Error::from_errno(fmt::format("open {}", local));
    const auto parts = split(file, '/');
    for (size_t i = 0; i < parts.size(); ++i) {
        const std::string& part = parts[i];
        if (part.empty() || part == ".") continue;
        if (part == "..")
            return make_error(Code::PermissionDenied,
                              "dispatch_payload: file {:?} leaves the task's local directory", file);
        if (i + 1 == parts.size()) {
            UniqueFd out(::openat(dir.get(), part.c_str(),
                                  O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
            if (!out)
                return Error::from_errno(
                    fmt::format("dispatch_payload: open {:?} in the task's local directory", file));
            return write_all(out.get(), payload);
        }
        if (::mkdirat(dir.get(), part.c_str(), 0755) != 0 && errno != EEXIST) {
            return Error::from_errno(fmt::format("dispatch_payload: mkdir {:?}", part));
        }
        UniqueFd next(::openat(dir.get(), part.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!next) return Error::from_errno(fmt::format("dispatch_payload: open {:?}", part));
        dir = std::move(next);
    }
    return make_error(Code::InvalidArgument, "dispatch_payload: {:?} names no file", file);
}

}  // namespace drover::agent
