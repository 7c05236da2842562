// SPDX-License-Identifier: Apache-2.0
// qemu: a virtual machine as a task. The process is held by the shim as any other; what is its own is the
// command line, the images it may use, and two sockets: qemu's monitor (QMP) and the guest agent's.
//
// Where things are: the sockets in a directory of 0700 below /run/drover-qemu, whose name is made of the
// state directory and the task's id (socket paths end at 108 bytes, state directories may be longer); which
// of them the task uses in <task directory>/vm. Both are found again by the task's id alone.
#pragma once
#include <map>

#include "drivers/common/process_driver.h"
#include "drivers/qemu/qemu_config.h"

namespace drover::drivers {

class QemuDriver final : public ProcessDriver {
 public:
    std::string name() const override { return "qemu"; }
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override { return qemu_plugin_schema().spec(); }
    sdk::HclSpec task_config_schema() const override { return qemu_task_schema().spec(); }
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;

    // With graceful_shutdown: the guest's power button, then patience, then SIGKILL.
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) override;
    // With what the monitor tells: whether the guest runs, its accelerator, its virtual CPUs.
    Result<sdk::TaskStatus> inspect_task(const std::string& task_id) override;
    // With the usage of each virtual CPU, by its thread's id.
    Result<sdk::TaskStats> task_stats(const std::string& task_id) override;
    // By the guest agent.
    Result<sdk::ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                      int64_t timeout_ns) override;
    Result<sdk::ExitResult> exec_task_streaming(const std::string& task_id, const sdk::ExecRequest& request,
                                                sdk::ExecStream& stream) override;

 protected:
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& config) override;
    Status cleanup(const std::string& task_id) override;

 private:
    struct CpuSample {
        uint64_t user_ns = 0;
        uint64_t system_ns = 0;
        int64_t at_ns = 0;
    };

    QemuPluginConfig config() const;
    std::string socket_dir(const std::string& task_id) const;
    std::string record_path(const std::string& task_id) const;
    Result<QemuRecord> record(const std::string& task_id) const;
    // kvm, or tcg with an event that says why.
    std::string usable_accelerator(const sdk::TaskConfig& task, const std::string& emulator);
    Result<std::string> exec_socket_dir(const std::string& task_id) const;

    mutable std::mutex mutex_;
    QemuPluginConfig config_;
    std::string version_of_;  // the version, asked for once for each binary
    std::string version_;
    std::map<std::string, std::map<std::string, CpuSample>> samples_;  // by task, by thread

    std::mutex kvm_mutex_;                    // held while a check runs: others wait for its answer
    std::map<std::string, std::string> kvm_;  // emulator -> why not; empty: it works
};

}  // namespace drover::drivers
