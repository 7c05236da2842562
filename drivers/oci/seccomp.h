// SPDX-License-Identifier: Apache-2.0
// Which system calls a containered task may not make: a deny list of our own, as data, so that programs nobody thought
// of keep working, while what only administers the machine, or has been a door into the kernel, is closed.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::drivers::oci {

// OCI's linux.seccomp as JSON text. A task with a capability ("CAP_SYS_ADMIN", ...) keeps the calls it is for.
std::string default_seccomp_profile(const std::vector<std::string>& capabilities);

// A profile of the operator's in OCI's format. Errors name the file.
Result<std::string> load_seccomp_profile(const std::string& path);

}  // namespace drover::drivers::oci
