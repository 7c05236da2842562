// SPDX-License-Identifier: Apache-2.0
// The commands "run" in a mock task: what its exec_command block says, whatever the command is.
#pragma once
#include "drivers/mock/mock_config.h"
#include "drover/exec.h"

namespace drover::drivers {

// Blocks for as long as the script takes, or timeout_ns (0: no limit; DeadlineExceeded).
Result<sdk::ExecOutput> mock_exec(const MockExec& script, int64_t timeout_ns);
// Ends early, with signal SIGKILL, when the person is gone.
Result<sdk::ExitResult> mock_exec_streaming(const MockExec& script, sdk::ExecStream& stream);

}  // namespace drover::drivers
