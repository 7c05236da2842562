// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/command_path.h"

#include <sys/stat.h>

#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {

std::string host_path(const std::string& task_path, const std::vector<ViewEntry>& view) {
    for (const ViewEntry& entry : view) {
        if (entry.task_path == "/") return join_path(entry.host_path, task_path);
        if (task_path == entry.task_path) return entry.host_path;
        if (starts_with(task_path, entry.task_path + "/"))
            return entry.host_path + task_path.substr(entry.task_path.size());
    }
    return "";
}

namespace {

Status check(const std::string& task_path, const std::vector<ViewEntry>& view) {
    std::string path = host_path(task_path, view);
    if (path.empty())
        return make_error(Code::NotFound, "command \"{}\": no such file in the task's file system", task_path);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
        Error error = Error::from_errno("stat");
        return make_error(error.code(), "command \"{}\": {}", task_path, std::strerror(error.system_errno()));
    }
    if (S_ISDIR(info.st_mode)) return make_error(Code::InvalidArgument, "command \"{}\": is a directory", task_path);
    if (!S_ISREG(info.st_mode))
        return make_error(Code::InvalidArgument, "command \"{}\": is not a regular file", task_path);
    if ((info.st_mode & 0111) == 0)
        return make_error(Code::PermissionDenied, "command \"{}\": is not executable (mode {:04o})", task_path,
                          info.st_mode & 07777);
    return {};
}

}  // namespace

Result<std::string> find_command(const std::string& command, const std::string& local_dir, const std::string& work_dir,
                                 const std::string& search_path, const std::vector<ViewEntry>& view) {
    if (command.empty()) return make_error(Code::InvalidArgument, "command: must not be empty");
    if (command[0] == '/') {
        DROVER_CHECK(check(command, view));
        return command;
    }
    std::vector<std::string> tried = {local_dir, work_dir};
    if (command.find('/') == std::string::npos)
        for (const std::string& dir : split(search_path, ':'))
            if (!dir.empty() && dir[0] == '/') tried.push_back(dir);
    Status first_real;  // a file that is there but cannot be run says more than "not found"
    for (const std::string& dir : tried) {
        std::string path = join_path(dir, command);
        Status found = check(path, view);
        if (found) return path;
        if (found.error().code() != Code::NotFound && first_real) first_real = std::move(found);
    }
    if (!first_real) return first_real.error();
    return make_error(Code::NotFound, "command \"{}\": not found (looked in {})", command, join(tried, ", "));
}

}  // namespace drover::drivers
