// SPDX-License-Identifier: Apache-2.0
// A second program inside a guest, run by its agent (guest-exec). The agent runs it with its whole input at
// hand and gives its whole output at the end: no terminal, nothing in between, at most 16 MiB of each stream.
#pragma once
#include "drivers/qemu/qmp.h"
#include "drover/types.h"

namespace drover::drivers {

// Blocks until the program has ended or the deadline (mono_now() time) has come; the program goes on then.
// `stopped` is asked between polls: true gives up (Cancelled).
Result<sdk::ExecOutput> guest_exec(const std::string& socket_dir, const std::vector<std::string>& command,
                                   int64_t deadline_ns, const std::function<bool()>& stopped);

}  // namespace drover::drivers
