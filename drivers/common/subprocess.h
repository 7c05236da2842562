// SPDX-License-Identifier: Apache-2.0
// Runs a helper program to its end (runc delete, runc --version): no shell, a deadline, its output kept within bounds.
// Never for tasks: those are started through the shim.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drover::drivers {

struct CommandOutput {
    int exit_code = 0;   // 128 + signal when one ended it
    std::string output;  // stdout and stderr, at most 64 KiB of it
};

// argv[0] is an absolute path; `input` (at most a pipe's 64 KiB) is its stdin. DeadlineExceeded: it was killed. Blocks.
Result<CommandOutput> run_command(const std::vector<std::string>& argv, int64_t timeout_ns,
                                  std::string_view input = {});

}  // namespace drover::drivers
