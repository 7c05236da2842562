// SPDX-License-Identifier: Apache-2.0
// Finds a task's command before anything is started, so that a wrong path is a clear error instead of an exit code.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::drivers {

// A directory as the task sees it, and where it is on this machine. The first that fits a path is taken.
struct ViewEntry {
    std::string task_path;
    std::string host_path;
};

// Where a path of the task's is on this machine; empty: outside of the view.
std::string host_path(const std::string& task_path, const std::vector<ViewEntry>& view);

// The absolute path, as the task sees it, of an executable file. A command with a slash is taken as it is (relative to
// work_dir); one without is looked for in local_dir and work_dir, then along `search_path` (as in $PATH).
// NotFound and PermissionDenied name the path; a path outside of the view is NotFound.
Result<std::string> find_command(const std::string& command, const std::string& local_dir, const std::string& work_dir,
                                 const std::string& search_path, const std::vector<ViewEntry>& view);

inline constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace drover::drivers
