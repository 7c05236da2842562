// SPDX-License-Identifier: Apache-2.0
// MockDriver: tasks that are only a clock, scripted by the job file (mock_config.h), also to misbehave. For
// tests of whatever talks to drivers; never installed.
#pragma once
#include <map>
#include <memory>
#include <mutex>

#include "base/fd.h"
#include "drivers/mock/mock_config.h"
#include "drivers/mock/mock_script.h"
#include "drover/driver.h"

namespace drover::drivers {

class MockTask;

class MockDriver final : public sdk::Driver {
 public:
    std::string name() const override { return "mock_driver"; }
    std::string version() const override;  // PluginInfo asks for it
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override;
    sdk::HclSpec task_config_schema() const override;
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;
    int64_t fingerprint_period_ns() const override;

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

 private:
    // One SetConfig's worth.
    struct Plugin {
        MockPluginConfig config;
        int64_t since_ns = 0;
        std::unique_ptr<Script> script = std::make_unique<Script>();
    };
    std::shared_ptr<Plugin> plugin() const;
    bool fault(std::string_view name) const;
    // The task, after doing what its script says about this RPC.
    Result<std::shared_ptr<MockTask>> find(const std::string& task_id, std::string_view rpc);
    Result<std::shared_ptr<MockTask>> add(const sdk::TaskConfig& task, MockTaskConfig config,
                                          int64_t started_unix_ns);

    mutable std::mutex mutex_;
    std::shared_ptr<Plugin> plugin_ = std::make_shared<Plugin>();
    int configured_ = 0;
    UniqueFd lock_;
    std::map<std::string, std::shared_ptr<MockTask>> tasks_;
};

}  // namespace drover::drivers
