// SPDX-License-Identifier: Apache-2.0
// ProcessDriver: a driver whose tasks are processes of this machine, but for the one thing that only its author knows:
// how a task's config becomes a process (prepare). Handles, the table of tasks, recovery, stopping, signals, stats,
// exec and cleaning are done here, by ProcessHost (drover/process_task.h) with its shim.
//
// Threads: as for Driver. prepare, cleanup, explain and exec_program may run for several tasks at the same time.
//
// Crash: the task directory is enough. driver_state only says which layout it was written with, so a task is found by
// its id alone, also when the agent died before it stored a handle.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "drover/driver.h"
#include "drover/exec_process.h"
#include "drover/process_task.h"
#include "drover/usage.h"

namespace drover::sdk {

class ProcessDriver : public Driver {
 public:
    Result<StartedTask> start_task(const TaskConfig& config) override;
    Status recover_task(const TaskHandle& handle) override;
    Status wait_task(const std::string& task_id, ExitCallback done) override;
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) override;
    Status destroy_task(const std::string& task_id, Force force) override;
    Result<TaskStatus> inspect_task(const std::string& task_id) override;
    Result<TaskStats> task_stats(const std::string& task_id) override;
    Status signal_task(const std::string& task_id, const std::string& signal) override;
    Result<ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                 int64_t timeout_ns) override;
    Result<ExitResult> exec_task_streaming(const std::string& task_id, const ExecRequest& request,
                                           ExecStream& stream) override;

 protected:
    // The task's config as a process to start; files it needs may be made. Errors are what the user sees; after one,
    // and after a start that failed, cleanup() is called. process_spec() is a good beginning.
    virtual Result<ProcessSpec> prepare(const TaskConfig& config) = 0;
    // Removes what prepare() and the started program left beside the task directory, its processes being gone. Also
    // called for ids nobody knows; again is fine.
    virtual Status cleanup(const std::string& task_id) {
        (void)task_id;
        return {};
    }
    // A failed start, told better than by the launcher's exit code.
    virtual Error explain(Error error, const std::string& task_id) {
        (void)task_id;
        return error;
    }

    // How a second program is run in this task, which runs. The default: this driver has no exec. Where the task is a
    // plain process: task.exec_program(request.command).
    virtual Result<ExecProgram> exec_program(const ProcessTask& task, const ExecRequest& request);

    // Id, environment, working directory, output files and cgroup of the task: what most processes begin with.
    ProcessSpec process_spec(const TaskConfig& config) const;
    // What set_config found: state_dir as configured (empty: the agent's, else /var/lib/drover-plugins/<name>), and the
    // speed of this machine's cores.
    void configure(const std::string& state_dir, const std::optional<AgentConfig>& agent);
    std::string state_dir() const;
    // <parent>/<name of the task directory>; empty: no cgroups.
    std::string task_cgroup(const std::string& task_id) const;

 private:
    struct Task {
        std::shared_ptr<ProcessTask> process;
        std::string name;
        UsageMeter usage;
    };

    // Opened at the first use: short-lived instances that only tell their config must not touch the state directory.
    Result<ProcessHost*> host();
    Result<std::shared_ptr<Task>> find(const std::string& task_id);
    Result<StartedTask> adopt(const TaskConfig& config, std::shared_ptr<ProcessTask> process);

    mutable std::mutex mutex_;
    std::string configured_state_dir_;
    double core_mhz_ = 0;
    std::unique_ptr<ProcessHost> host_;
    std::map<std::string, std::shared_ptr<Task>> tasks_;
};

}  // namespace drover::sdk
