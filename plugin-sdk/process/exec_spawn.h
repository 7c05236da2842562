// SPDX-License-Identifier: Apache-2.0
// The process of an exec: its ends of pipes or terminal, fork and exec, the end of its whole session. For
// exec_process.cpp alone.
#pragma once
#include "base/fd.h"
#include "drover/exec_process.h"

namespace drover::sdk {

// Ours are non-blocking. With a terminal `in` and `out` are both its master, and there is no `err`.
struct ExecEnds {
    UniqueFd in, out, err;
    UniqueFd child_in, child_out, child_err;  // a terminal: all in child_in
};
Result<ExecEnds> make_exec_ends(bool tty, const std::optional<ProcessUser>& user);

struct ExecChild {
    pid_t pid = 0;  // a session leader; not reaped yet
    UniqueFd pidfd;
};
// Returns once the program was exec'ed; an Error says which step failed and leaves no process. Closes the child's ends.
Result<ExecChild> spawn_exec(const ExecProgram& program, bool tty, ExecEnds& ends);

// Signals every process of the session, and of the one that pid_file names. With SIGKILL: until none is left.
void end_exec_session(pid_t session, int pidfd, const std::string& pid_file, int signal);

}  // namespace drover::sdk
