// SPDX-License-Identifier: Apache-2.0
// Which capabilities a containered task gets: a default set, what the job adds and drops, and what the operator allows.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::drivers::oci {

// Lower case without "cap_", sorted: what a task gets when nobody says anything (Nomad's default).
const std::vector<std::string>& default_capabilities();

// "CAP_X" names, sorted. `add` and `drop` as in the job (any case, "CAP_" optional, "all"); what is added beyond the
// defaults must be in `allowed` (empty: the defaults; "all": everything the kernel knows). PermissionDenied names those
// that are not, InvalidArgument names what is no capability.
Result<std::vector<std::string>> task_capabilities(const std::vector<std::string>& allowed,
                                                   const std::vector<std::string>& add,
                                                   const std::vector<std::string>& drop);

}  // namespace drover::drivers::oci
