// SPDX-License-Identifier: Apache-2.0
#include "drivers/mock/mock_driver.h"

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "drivers/mock/mock_task.h"

namespace drover::drivers {
namespace {

constexpr int32_t kHandleVersion = 1;

// What a script says about an RPC: die like a plugin with a bug, or never come back.
void misbehave(std::string_view rpc, const std::string& crash_at, const std::string& hang_at) {
    if (rpc == crash_at) {
        log::warn("mock_driver", "crashing on request", {{"rpc", rpc}});
        ::kill(::getpid(), SIGKILL);
    }
    while (rpc == hang_at) ::pause();
}

}  // namespace

sdk::Capabilities MockDriver::capabilities() const {
    return {.send_signals = true,
            .exec = false,
            .fs_isolation = sdk::FsIsolation::None,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group, sdk::NetworkMode::Task},
            .must_create_network = false,
            .accepts_mounts = true,
            .disable_log_collection = false,
            .dynamic_workload_users = false};
}

MockPluginConfig MockDriver::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

Status MockDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>&) {
    DROVER_TRY(MockPluginConfig config, mock_plugin_schema().decode(msgpack));
    misbehave("SetConfig", config.crash_at, config.hang_at);
    if (!config.set_config_error.empty()) return Error(Code::InvalidArgument, config.set_config_error);
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    return {};
}

sdk::Fingerprint MockDriver::fingerprint() {
    MockPluginConfig now = config();
    misbehave("Fingerprint", now.crash_at, now.hang_at);
    if (!now.healthy)
        return {.attributes = {}, .health = sdk::Health::Unhealthy, .description = "unhealthy", .error = ""};
    return {.attributes = {{"driver.mock_driver", {true, ""}}},
            .health = sdk::Health::Healthy,
            .description = "Healthy",
            .error = ""};
}

Result<sdk::StartedTask> MockDriver::start_task(const sdk::TaskConfig& task) {
    DROVER_TRY(MockTaskConfig config, mock_task_schema().decode(task.msgpack_driver_config));
    misbehave("StartTask", config.crash_at, config.hang_at);
    if (config.start_block_for.count() > 0) std::this_thread::sleep_for(config.start_block_for);
    if (!config.start_error.empty()) {
        return Error(Code::FailedPrecondition, config.start_error,
                     config.start_error_recoverable ? Retry::Yes : Retry::No);
    }
    MockHandle state{.started_unix_ns = unix_now(), .config = task.msgpack_driver_config};
    sdk::StartedTask started;
    started.handle = {.version = kHandleVersion,
                      .config = task,
                      .state = sdk::TaskState::Running,
                      .driver_state = mock_handle_schema().encode(state)};
    if (!config.driver_ip.empty()) started.network = sdk::DriverNetwork{{}, config.driver_ip, true};

    std::lock_guard lock(mutex_);
    if (tasks_.count(task.id)) return make_error(Code::AlreadyExists, "task {} exists already", task.id);
    tasks_.emplace(task.id, std::make_shared<MockTask>(task, std::move(config), state.started_unix_ns));
    context().emit_event({.task_id = task.id,
                          .alloc_id = task.alloc_id,
                          .task_name = task.name,
                          .timestamp_unix_ns = state.started_unix_ns,
                          .message = "mock task started",
                          .annotations = {}});
    return started;
}

Status MockDriver::recover_task(const sdk::TaskHandle& handle) {
    const std::string& id = handle.config.id;
    {
        std::lock_guard lock(mutex_);
        if (tasks_.count(id)) return {};
    }
    // Nothing of a mock task is kept outside of this process: without a stored handle there is nothing to find.
    if (handle.driver_state.empty()) return make_error(Code::NotFound, "task {} is not known", id);
    if (handle.version != kHandleVersion)
        return make_error(Code::InvalidArgument, "handle version: expected {}, found {}", kHandleVersion,
                          handle.version);
    DROVER_TRY(MockHandle state, mock_handle_schema().decode(handle.driver_state));
    DROVER_TRY(MockTaskConfig config, mock_task_schema().decode(state.config));
    misbehave("RecoverTask", config.crash_at, config.hang_at);
    std::lock_guard lock(mutex_);
    if (!tasks_.count(id))
        tasks_.emplace(id, std::make_shared<MockTask>(handle.config, std::move(config), state.started_unix_ns));
    return {};
}

Result<std::shared_ptr<MockTask>> MockDriver::find(const std::string& task_id, std::string_view rpc) {
    std::shared_ptr<MockTask> task;
    {
        std::lock_guard lock(mutex_);
        auto it = tasks_.find(task_id);
        if (it != tasks_.end()) task = it->second;
    }
    if (!task) return make_error(Code::NotFound, "task not found for given id: {}", task_id);
    misbehave(rpc, task->config().crash_at, task->config().hang_at);
    return task;
}

Status MockDriver::wait_task(const std::string& task_id, sdk::ExitCallback done) {
    DROVER_TRY(auto task, find(task_id, "WaitTask"));
    task->wait(std::move(done));
    return {};
}

Status MockDriver::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string&) {
    auto task = find(task_id, "StopTask");
    if (task) (*task)->stop(timeout_ns);
    return {};
}

Status MockDriver::destroy_task(const std::string& task_id, sdk::Force force) {
    auto task = find(task_id, "DestroyTask");
    if (!task) return {};
    if (!(*task)->ended()) {
        if (force == sdk::Force::No) return make_error(Code::FailedPrecondition, "task {} still runs", task_id);
        (*task)->stop(0);
    }
    std::lock_guard lock(mutex_);
    tasks_.erase(task_id);
    return {};
}

Result<sdk::TaskStatus> MockDriver::inspect_task(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id, "InspectTask"));
    return task->status();
}

Result<sdk::TaskStats> MockDriver::task_stats(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id, "TaskStats"));
    sdk::TaskStats stats;
    stats.total.cpu.percent = 1.0;
    stats.total.memory.rss_bytes = 1 << 20;
    return stats;
}

Status MockDriver::signal_task(const std::string& task_id, const std::string&) {
    DROVER_TRY(auto task, find(task_id, "SignalTask"));
    if (!task->config().signal_error.empty()) return Error(Code::Unknown, task->config().signal_error);
    return {};
}

}  // namespace drover::drivers
