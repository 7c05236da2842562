// SPDX-License-Identifier: Apache-2.0
// MockDriver: the smallest complete driver, and the one that misbehaves on request. Its tasks are threads that wait; a
// job file scripts them (mock_config.h). Used by tests and as the example for authors; never installed.
#pragma once
#include <map>
#include <memory>
#include <mutex>

#include "drivers/mock/mock_config.h"
#include "drover/driver.h"

namespace drover::drivers {

class MockTask;

class MockDriver final : public sdk::Driver {
 public:
    std::string name() const override { return "mock_driver"; }
    std::string version() const override { return "0.1.0"; }
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override { return mock_plugin_schema().spec(); }
    sdk::HclSpec task_config_schema() const override { return mock_task_schema().spec(); }
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;

    Result<sdk::StartedTask> start_task(const sdk::TaskConfig& config) override;
    Status recover_task(const sdk::TaskHandle& handle) override;
    Status wait_task(const std::string& task_id, sdk::ExitCallback done) override;
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) override;
    Status destroy_task(const std::string& task_id, sdk::Force force) override;
    Result<sdk::TaskStatus> inspect_task(const std::string& task_id) override;
    Result<sdk::TaskStats> task_stats(const std::string& task_id) override;
    Status signal_task(const std::string& task_id, const std::string& signal) override;

 private:
    // The task, after doing what its script says about this RPC.
    Result<std::shared_ptr<MockTask>> find(const std::string& task_id, std::string_view rpc);
    MockPluginConfig config() const;

    mutable std::mutex mutex_;
    MockPluginConfig config_;
    std::map<std::string, std::shared_ptr<MockTask>> tasks_;
};

}  // namespace drover::drivers
