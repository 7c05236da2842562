// SPDX-License-Identifier: Apache-2.0
// raw_exec: a program of this machine, without isolation, as root or as the task's user. Off unless the agent's plugin
// block says enabled = true. Its cgroup is for finding and killing all of it; limits only when the job asks for them.
#pragma once
#include "drivers/common/process_driver.h"
#include "drivers/raw_exec/raw_exec_config.h"

namespace drover::drivers {

class RawExecDriver final : public ProcessDriver {
 public:
    std::string name() const override { return "raw_exec"; }
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override;
    sdk::HclSpec task_config_schema() const override;
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;

 protected:
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& config) override;
    Status cleanup(const std::string&) override { return {}; }
    Result<sdk::ExecProgram> exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request) override {
        return task.exec_program(request.command);
    }

 private:
    RawExecPluginConfig config() const;

    mutable std::mutex mutex_;
    RawExecPluginConfig config_;
};

}  // namespace drover::drivers
