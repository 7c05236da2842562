// SPDX-License-Identifier: Apache-2.0
// From the user of a job file to the numbers a process runs with.
#pragma once
#include <string>

#include "base/result.h"
#include "drover/process_task.h"

namespace drover::drivers {

// A name or "uid" or "uid:gid"; with all the groups the machine's user database has for it. NotFound naming the user.
Result<sdk::ProcessUser> find_user(const std::string& user);

}  // namespace drover::drivers
