// SPDX-License-Identifier: Apache-2.0
// Exec for drivers whose tasks are processes of this machine: runs a second program beside a task, with pipes or on a
// terminal of its own. A driver's exec_task_streaming() is one call of run_exec(), its exec_task() one of
// run_exec_captured(); ProcessTask::exec_program() (drover/process_task.h) makes the ExecProgram.
//
// Unlike a task, the program does not outlive this process: its terminal hangs up, its pipes break, and what ignores
// both is found in the task's cgroup.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "drover/exec.h"

namespace drover::sdk {

struct ProcessUser {
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;  // supplementary; empty drops all
};

// What to run. Nothing goes through a shell, the environment is exactly `env`, no descriptor but 0, 1, 2 is passed on.
struct ExecProgram {
    std::string command;            // a path (a relative one: from work_dir), or a name to look for along PATH of `env`
    std::vector<std::string> args;  // argv[1..]
    std::vector<std::string> env;   // "K=V"
    std::string work_dir;           // empty: "/"
    std::optional<ProcessUser> user;  // absent: as this process
    std::string cgroup;               // joined; it must exist. Empty: this process's
    std::string network_namespace;    // "/proc/<pid>/ns/net"; empty: this process's
    // Launcher mode: `command` runs the program somewhere else (runc exec) and leaves its pid in this file. That one is
    // ended too when the call is cancelled; the file is removed at the end.
    std::string pid_file;
};

// Blocks until the program has ended and what it wrote is handed on. A process that it leaves behind with its output
// open holds nothing up. When the stream says ExecCancelled the whole session of the program gets SIGHUP, then SIGKILL,
// and the answer is Cancelled. NotFound and others name a command that cannot be run. An end by a signal has the exit
// code 128 + signal. Thread-safe; takes one more thread while it runs.
Result<ExitResult> run_exec(const ExecProgram& program, const ExecRequest& request, ExecStream& stream);

inline constexpr size_t kExecOutputBytesMax = 64 << 10;

// Runs it without input and keeps the first output_bytes_max bytes of each stream; the rest is read and dropped.
// timeout_ns 0: none. DeadlineExceeded: it was killed.
Result<ExecOutput> run_exec_captured(const ExecProgram& program, int64_t timeout_ns,
                                     size_t output_bytes_max = kExecOutputBytesMax);

}  // namespace drover::sdk
