// SPDX-License-Identifier: Apache-2.0
// ProcessDriver: what all drivers of processes share (raw_exec, exec; java, qemu later): a table of tasks held by
// shims, their life, their stats. A driver adds how a task's config becomes a ProcessSpec, and what else to remove.
//
// Crash: the task directory is enough. driver_state only says which layout it was written with, so a task is found by
// its id alone, also when the agent died before it stored a handle.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "drivers/common/usage.h"
#include "drover/driver.h"
#include "drover/exec_process.h"
#include "plugin-sdk/process/process_task.h"

namespace drover::drivers {

class ProcessDriver : public sdk::Driver {
 public:
    std::string version() const override { return "0.1.0"; }
    Result<sdk::StartedTask> start_task(const sdk::TaskConfig& config) override;
    Status recover_task(const sdk::TaskHandle& handle) override;
    Status wait_task(const std::string& task_id, sdk::ExitCallback done) override;
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) override;
    Status destroy_task(const std::string& task_id, sdk::Force force) override;
    Result<sdk::TaskStatus> inspect_task(const std::string& task_id) override;
    Result<sdk::TaskStats> task_stats(const std::string& task_id) override;
    Status signal_task(const std::string& task_id, const std::string& signal) override;
    Result<sdk::ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                      int64_t timeout_ns) override;
    Result<sdk::ExitResult> exec_task_streaming(const std::string& task_id, const sdk::ExecRequest& request,
                                                sdk::ExecStream& stream) override;

 protected:
    // The task's config as a process to start; files it needs may be made. Errors are what the user sees.
    virtual Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& config) = 0;
    // Removes what prepare() and the started program left beside the task directory, its processes being gone. Also
    // called for ids nobody knows; again is fine.
    virtual Status cleanup(const std::string& task_id) = 0;
    // A failed start, told better than by the launcher's exit code.
    virtual Error explain(Error error, const std::string& task_id) {
        (void)task_id;
        return error;
    }

    // How a second program is run in this task, which runs. The default: this driver has no exec.
    virtual Result<sdk::ExecProgram> exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request);

    // What set_config found: state_dir as configured (may be empty), and the speed of this machine's cores.
    void configure(const std::string& state_dir, const std::optional<sdk::AgentConfig>& agent);
    std::string state_dir() const;
    // <parent>/<name of the task directory>; empty: no cgroups.
    std::string task_cgroup(const std::string& task_id) const;

 private:
    struct Task {
        std::shared_ptr<sdk::ProcessTask> process;
        std::string name;
        UsageMeter usage;
    };

    // Opened at the first use: short-lived instances that only tell their config must not touch the state directory.
    Result<sdk::ProcessHost*> host();
    Result<std::shared_ptr<Task>> find(const std::string& task_id);
    Result<sdk::StartedTask> adopt(const sdk::TaskConfig& config, std::shared_ptr<sdk::ProcessTask> process);

    mutable std::mutex mutex_;
    std::string configured_state_dir_;
    double core_mhz_ = 0;
    std::unique_ptr<sdk::ProcessHost> host_;
    std::map<std::string, std::shared_ptr<Task>> tasks_;
};

}  // namespace drover::drivers
