// SPDX-License-Identifier: Apache-2.0
// ProcessTask: a process that outlives the plugin that started it. Every driver whose tasks are processes
// (raw_exec, exec through runc, java, qemu) starts, finds again, watches and ends them here; the shim does
// the work, this is its client. A task directory is enough to find a task again: drivers keep no pid of their
// own.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cgroup/cgroup.h"
#include "drover/exec_process.h"

namespace drover::sdk {

// The directory name of a task id: injective, no '/', at most 255 bytes ("ab12/web/9f" -> "ab12%2Fweb%2F9f").
std::string task_dir_name(std::string_view task_id);

struct ProcessRlimit {
    int resource = 0;  // RLIMIT_*
    uint64_t soft = 0;
    uint64_t hard = 0;
};

// What to start. Paths are absolute; nothing goes through a shell and the environment is exactly `env`.
struct ProcessSpec {
    std::string task_id;
    std::string command;
    std::vector<std::string> args;  // argv[1..]
    std::vector<std::string> env;   // "K=V"
    std::string work_dir;           // empty: "/"
    std::string stdin_path;         // empty: /dev/null
    std::string stdout_path;        // FIFO, file or empty: /dev/null
    std::string stderr_path;
    std::optional<ProcessUser> user;  // absent: as the plugin runs (root)
    std::vector<ProcessRlimit> rlimits;
    std::optional<mode_t> umask;
    std::optional<int> oom_score_adj;
    bool no_new_privs = false;

    // The task's group, made (with its limits) and removed here: "drover/task/<task_dir_name>" (never
    // ".../tasks/...": v1 has files of that name). Empty: no cgroup; then the tree is only the process group
    // and the task's orphans.
    std::string cgroup;
    cgroup::Limits limits;
    // Groups below `cgroup` in which OOM kills happen (v1 counts them per group): runc's sub-group.
    std::vector<std::string> oom_cgroups;

    // Launcher mode: `command` starts the task and exits, leaving its pid in this file (runc run --detach
    // --pid-file). The launcher runs in <cgroup>/launch; give the runtime another group below `cgroup` and
    // let it set the limits there, else the launcher's own memory counts against the task's.
    std::string pid_file;
    int64_t launch_timeout_ns = 60'000'000'000;
    int64_t drain_timeout_ns =
        60'000'000'000;  // how long the shim holds FIFOs that nobody empties, after the exit
};

enum class ProcessPhase { Starting, Running, Exited, StartFailed, Lost };

// How a task is, or was when it ended.
struct ProcessStatus {
    ProcessPhase phase = ProcessPhase::Starting;
    pid_t pid = 0;
    int64_t started_ns = 0;   // unix
    int64_t finished_ns = 0;  // unix; 0 while it runs
    int exit_code = 0;
    int signal = 0;
    bool oom_killed = false;
    uint32_t adopted = 0;  // how many times its shim had to be replaced
    std::string message;   // StartFailed, Lost: why

    bool ended() const { return phase != ProcessPhase::Starting && phase != ProcessPhase::Running; }
};

class ProcessTask;

// As a driver tells a task's end: a signal's has the exit code 128 + signal, as with shells; of one that nobody saw
// `error` tells why.
ExitResult exit_result(const ProcessStatus& status);

struct ProcessHostOptions {
    std::string state_dir;  // holds one directory per task; made with 0700 when missing
    std::string cgroup_parent =
        cgroup::kDefaultParent;  // shims live in <parent>/shims; empty: no cgroups at all
    std::string shim_path;  // empty: $DROVER_SHIM, else the copy carried inside the SDK, put into state_dir
};

// One per plugin process: the state directory, the shim binary, and one thread that watches all tasks.
class ProcessHost {
 public:
    static Result<std::unique_ptr<ProcessHost>> open(ProcessHostOptions options);
    ~ProcessHost();  // tasks and their shims go on; only the watching ends

    // Returns once the command was exec'ed (or the launcher has finished); an Error means nothing is left
    // running. Starting an id whose directory has been started already is AlreadyExists.
    Result<std::shared_ptr<ProcessTask>> start(const ProcessSpec& spec);

    // Finds a task started by this or an earlier process, running or ended. NotFound: no such directory, or
    // one in which nothing was ever started (it is cleaned away). A task whose shim is gone gets a new one.
    // Found in the middle of its launch: Await returns as start() would have, Return at once (to destroy it).
    enum class InLaunch { Await, Return };
    Result<std::shared_ptr<ProcessTask>> recover(const std::string& task_id,
                                                 InLaunch in_launch = InLaunch::Await);

    // Ids of all task directories, whatever their state (a crash may have left some that nobody asked for).
    Result<std::vector<std::string>> list() const;

    // <state_dir>/<task_dir_name(id)>: the driver may keep its own files there; destroy() removes them.
    std::string task_dir(const std::string& task_id) const;
    const std::string& shim_path() const;

 private:
    friend class ProcessTask;
    struct Impl;
    explicit ProcessHost(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// One task. Thread-safe; calls block only as long as they say. Must not outlive its ProcessHost.
class ProcessTask {
 public:
    ~ProcessTask();
    const std::string& id() const;
    const std::string& dir() const;
    pid_t pid() const;
    int64_t started_ns() const;
    ProcessStatus status() const;  // the newest known, no I/O

    // Calls back exactly once, on the watch thread, when the exit record is durable (at once, on the caller's
    // thread, when it already is). Must not block. Survives the death of the shim; the callback dies with
    // this process, its successor recovers and asks again.
    void on_exit(std::function<void(const ProcessStatus&)> callback);
    // Blocks; nullopt when the timeout passes first. Negative: no timeout.
    std::optional<ProcessStatus> wait(int64_t timeout_ns) const;

    // To the task's process. FailedPrecondition when it has ended.
    Status signal(int number);
    // signal, at most timeout_ns of patience, then SIGKILL to the whole tree; returns when it has ended. The
    // order is with the shim: it is carried out even when the caller dies in between. signal 0: kill at once.
    Status stop(int number, int64_t timeout_ns);
    // Ends what still runs (force) or refuses to (FailedPrecondition), then removes cgroup and directory;
    // FIFOs in it stay, they are the agent's. Safe to repeat after a crash anywhere.
    Status destroy(bool force);

    // The counters of its cgroup; Unimplemented without one. oom_kills is not sampled: status() tells at the end.
    Result<cgroup::Stats> stats() const;
    const std::optional<cgroup::Cgroup>& group() const;
    Result<std::vector<pid_t>> procs() const;

    // A second program beside this task, for run_exec(): with the task's user, environment, working directory, cgroup
    // and network. Read from the task directory, so it is the same after a restart. FailedPrecondition when the
    // task has ended. In launcher mode it is the launcher's: the driver says how its runtime executes one.
    Result<ExecProgram> exec_program(const std::vector<std::string>& command) const;

 private:
    friend class ProcessHost;
    struct Impl;
    explicit ProcessTask(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::sdk
