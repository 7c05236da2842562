// SPDX-License-Identifier: Apache-2.0
#include "drivers/mock/mock_driver.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "drover/signals.h"
#include "drivers/mock/mock_exec.h"
#include "drivers/mock/mock_task.h"

namespace drover::drivers {
namespace {

constexpr int32_t kHandleVersion = 1;

Result<sdk::Health> parse_health(const std::string& place, const std::string& text) {
    if (text == "healthy") return sdk::Health::Healthy;
    if (text == "unhealthy") return sdk::Health::Unhealthy;
    if (text == "undetected") return sdk::Health::Undetected;
    return make_error(Code::InvalidArgument, "{}: expected healthy, unhealthy or undetected, found \"{}\"",
                      place, text);
}

Status validate(const MockPluginConfig& config) {
    DROVER_CHECK(Script::validate(config.rpc, config.crash_at, config.hang_at, plugin_rpcs()));
    for (size_t i = 0; i < config.health.size(); ++i)
        DROVER_CHECK(parse_health(fmt::format("health[{}].state", i), config.health[i].state));
    for (const std::string& fault : config.faults)
        if (std::find(fault_names().begin(), fault_names().end(), fault) == fault_names().end())
            return make_error(Code::InvalidArgument, "faults: expected some of {}, found \"{}\"",
                              join(fault_names(), ", "), fault);
    return {};
}

void end_process_after(Duration time) {
    if (time.count() <= 0) return;
    std::thread([time] {
        std::this_thread::sleep_for(time);
        log::warn("mock_driver", "ending on request");
        ::_exit(1);
    }).detach();
}

Result<std::optional<sdk::DriverNetwork>> network_of(const MockTaskConfig& config) {
    if (config.driver_ip.empty() && config.driver_port_map.empty())
        return std::optional<sdk::DriverNetwork>();
    sdk::DriverNetwork out{{}, config.driver_ip, config.driver_advertise};
    if (config.driver_port_map.empty()) return std::optional(out);
    auto parts = split(config.driver_port_map, ':');
    auto port = parts.size() == 2 ? parse_int(parts[1]) : std::nullopt;
    if (!port || parts[0].empty() || *port < 0 || *port > 65535)
        return make_error(Code::InvalidArgument, "driver_port_map: expected label:number, found \"{}\"",
                          config.driver_port_map);
    out.port_map.emplace(parts[0], static_cast<int32_t>(*port));
    return std::optional(out);
}

Error not_found(const std::string& task_id) {
    return make_error(Code::NotFound, "task not found for given id: {}", task_id);
}

}  // namespace

std::shared_ptr<MockDriver::Plugin> MockDriver::plugin() const {
    std::lock_guard lock(mutex_);
    return plugin_;
}

bool MockDriver::fault(std::string_view name) const {
    auto now = plugin();
    const auto& faults = now->config.faults;
    return std::find(faults.begin(), faults.end(), name) != faults.end();
}

// These have no way to say an error: a script's delays, crashes and hangs work, its errors do not.
std::string MockDriver::version() const {
    (void)plugin()->script->at("PluginInfo");
    return "0.1.0";
}

std::optional<sdk::HclSpec> MockDriver::config_schema() const {
    (void)plugin()->script->at("ConfigSchema");
    return mock_plugin_schema().spec();
}

sdk::HclSpec MockDriver::task_config_schema() const {
    (void)plugin()->script->at("TaskConfigSchema");
    return mock_task_schema().spec();
}

sdk::Capabilities MockDriver::capabilities() const {
    (void)plugin()->script->at("Capabilities");
    return {.send_signals = true,
            .exec = true,
            .fs_isolation = sdk::FsIsolation::None,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group, sdk::NetworkMode::Task},
            .must_create_network = false,
            .accepts_mounts = true,
            .disable_log_collection = false,
            .dynamic_workload_users = false};
}

Status MockDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>&) {
    auto decoded = mock_plugin_schema().decode(msgpack);
    if (!decoded && fault("accepts_bad_config")) return {};
    DROVER_TRY(MockPluginConfig config, std::move(decoded));
    DROVER_CHECK(validate(config));
    auto next = std::make_shared<Plugin>();
    next->config = config;
    next->since_ns = mono_now();
    next->script = std::make_unique<Script>(config.rpc, config.crash_at, config.hang_at);
    DROVER_CHECK(next->script->at("SetConfig"));
    if (!config.set_config_error.empty()) return Error(Code::InvalidArgument, config.set_config_error);
    auto has = [&](std::string_view name) {
        return std::find(config.faults.begin(), config.faults.end(), name) != config.faults.end();
    };
    std::lock_guard lock(mutex_);
    if (has("refuses_second_config") && configured_ > 0)
        return make_error(Code::FailedPrecondition, "configured already");
    if (has("holds_a_lock") && !lock_) {
        UniqueFd file(
            ::open((context().task_state_dir + "/.mock-lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return Error::from_errno("lock");
        lock_ = std::move(file);
    }
    if (configured_++ == 0) end_process_after(config.exit_after);
    plugin_ = std::move(next);
    return {};
}

int64_t MockDriver::fingerprint_period_ns() const {
    return plugin()->config.fingerprint_period.count();
}

sdk::Fingerprint MockDriver::fingerprint() {
    auto now = plugin();
    if (Status scripted = now->script->at("Fingerprint"); !scripted)
        return {.attributes = {}, .health = {}, .description = "", .error = scripted.error().message()};
    MockHealth state{Duration(0), now->config.healthy ? "healthy" : "unhealthy", ""};
    const Duration age(mono_now() - now->since_ns);
    for (const MockHealth& later : now->config.health)
        if (later.after <= age) state = later;
    sdk::Fingerprint out;
    out.health = parse_health("", state.state).value_or(sdk::Health::Undetected);
    out.description = !state.description.empty()           ? state.description
                      : out.health == sdk::Health::Healthy ? "Healthy"
                                                           : state.state;
    if (out.health == sdk::Health::Healthy) out.attributes = {{"driver.mock_driver", {true, ""}}};
    return out;
}

Result<std::shared_ptr<MockTask>> MockDriver::add(const sdk::TaskConfig& task, MockTaskConfig config,
                                                  int64_t started_unix_ns) {
    const bool replaces = fault("starts_twice");
    std::shared_ptr<MockTask> replaced;  // ended after the lock is free
    std::lock_guard lock(mutex_);
    auto& slot = tasks_[task.id];
    if (slot && !replaces) return make_error(Code::AlreadyExists, "task {} exists already", task.id);
    replaced = std::move(slot);
    slot = std::make_shared<MockTask>(task, std::move(config), started_unix_ns);
    return slot;
}

Result<sdk::StartedTask> MockDriver::start_task(const sdk::TaskConfig& task) {
    auto decoded = mock_task_schema().decode(task.msgpack_driver_config);
    if (!decoded && fault("accepts_bad_config")) decoded = MockTaskConfig{};
    DROVER_TRY(MockTaskConfig config, std::move(decoded));
    DROVER_CHECK(Script::validate(config.rpc, config.crash_at, config.hang_at, task_rpcs()));
    DROVER_CHECK(Script(config.rpc, config.crash_at, config.hang_at).at("StartTask"));
    std::this_thread::sleep_for(config.start_block_for);
    if (!config.start_error.empty()) {
        return Error(Code::FailedPrecondition, config.start_error,
                     config.start_error_recoverable ? Retry::Yes : Retry::No);
    }
    MockHandle state{.started_unix_ns = unix_now(), .config = task.msgpack_driver_config};
    sdk::StartedTask started;
    DROVER_TRY(started.network, network_of(config));
    started.handle = {.version = fault("bad_handle") ? 0 : kHandleVersion,
                      .config = task,
                      .state = sdk::TaskState::Running,
                      .driver_state = mock_handle_schema().encode(state)};
    const Duration exit_after = config.plugin_exit_after;
    DROVER_CHECK(add(task, std::move(config), state.started_unix_ns));
    for (const std::string& name : plugin()->config.faults) leak(name);
    if (fault("leaves_a_process")) leak("leaks_processes");
    end_process_after(exit_after);
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
    if (fault("recovers_anything") && handle.driver_state.empty()) return {};
    // Nothing of a mock task is kept outside of this process: without a stored handle there is nothing to
    // find.
    if (handle.driver_state.empty() || fault("recovers_nothing"))
        return make_error(Code::NotFound, "task {} is not known", id);
    if (handle.version != kHandleVersion)
        return make_error(Code::InvalidArgument, "handle version: expected {}, found {}", kHandleVersion,
                          handle.version);
    DROVER_TRY(MockHandle state, mock_handle_schema().decode(handle.driver_state));
    DROVER_TRY(MockTaskConfig config, mock_task_schema().decode(state.config));
    // Counts from the start again in each process: this is the one that recovers.
    DROVER_CHECK(Script(config.rpc, config.crash_at, config.hang_at).at("RecoverTask"));
    if (fault("recovers_anew")) state.started_unix_ns += kHour;
    if (fault("loses_exit_codes")) config.exit_code = 0;
    auto added = add(handle.config, std::move(config), state.started_unix_ns);
    // Another call may have been quicker.
    if (!added && added.error().code() != Code::AlreadyExists) return std::move(added).error();
    return {};
}

Result<std::shared_ptr<MockTask>> MockDriver::find(const std::string& task_id, std::string_view rpc) {
    std::shared_ptr<MockTask> task;
    {
        std::lock_guard lock(mutex_);
        auto it = tasks_.find(task_id);
        if (it != tasks_.end()) task = it->second;
    }
    if (!task) return not_found(task_id);
    DROVER_CHECK(task->script().at(rpc));
    return task;
}

Status MockDriver::wait_task(const std::string& task_id, sdk::ExitCallback done) {
    std::shared_ptr<MockTask> task;
    {
        std::lock_guard lock(mutex_);
        auto it = tasks_.find(task_id);
        if (it != tasks_.end()) task = it->second;
    }
    if (!task) {
        if (!fault("accepts_unknown")) return not_found(task_id);
        done({});
        return {};
    }
    if (fault("ends_waits_early") || (fault("forgets_exits") && task->ended())) {
        done({});
        return {};
    }
    if (!task->script().mentions("WaitTask")) {
        task->wait(std::move(done));
        return {};
    }
    // This call must not block: what the script says takes a thread of its own.
    std::thread([task, done = std::move(done)]() mutable {
        if (Status scripted = task->script().at("WaitTask"); !scripted)
            done({.exit_code = 0, .signal = 0, .oom_killed = false, .error = scripted.error().message()});
        else
            task->wait(std::move(done));
    }).detach();
    return {};
}

Status MockDriver::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string&) {
    auto task = find(task_id, "StopTask");
    if (!task) return task.error().code() == Code::NotFound ? Status() : Status(std::move(task).error());
    if (!fault("stops_nothing")) (*task)->stop(timeout_ns);
    return {};
}

Status MockDriver::destroy_task(const std::string& task_id, sdk::Force force) {
    auto task = find(task_id, "DestroyTask");
    if (!task) return task.error().code() == Code::NotFound ? Status() : Status(std::move(task).error());
    if (!(*task)->ended()) {
        if (force == sdk::Force::No && !fault("destroys_running"))
            return make_error(Code::FailedPrecondition, "task {} still runs", task_id);
        (*task)->stop(0);
    }
    if (fault("remembers_destroyed")) return {};
    std::lock_guard lock(mutex_);
    tasks_.erase(task_id);
    return {};
}

Result<sdk::TaskStatus> MockDriver::inspect_task(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id, "InspectTask"));
    sdk::TaskStatus out = task->status();
    if (fault("tells_no_start")) out.started_unix_ns = 0;
    return out;
}

Result<sdk::TaskStats> MockDriver::task_stats(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id, "TaskStats"));
    sdk::TaskStats stats;
    if (fault("measures_nothing")) return stats;
    stats.total.cpu.percent = 1.0;
    stats.total.memory.rss_bytes = 1 << 20;
    return stats;
}

Status MockDriver::signal_task(const std::string& task_id, const std::string& signal) {
    DROVER_TRY(auto task, find(task_id, "SignalTask"));
    if (!fault("accepts_any_signal")) DROVER_CHECK(sdk::parse_signal(signal));
    if (!task->config().signal_error.empty()) return Error(Code::Unknown, task->config().signal_error);
    return {};
}

Result<sdk::ExecOutput> MockDriver::exec_task(const std::string& task_id, const std::vector<std::string>&,
                                              int64_t timeout_ns) {
    DROVER_TRY(auto task, find(task_id, "ExecTask"));
    if (!task->config().exec_command)
        return make_error(Code::FailedPrecondition, "task {} has no exec_command in its config", task_id);
    return mock_exec(*task->config().exec_command, timeout_ns);
}

Result<sdk::ExitResult> MockDriver::exec_task_streaming(const std::string& task_id, const sdk::ExecRequest&,
                                                        sdk::ExecStream& stream) {
    DROVER_TRY(auto task, find(task_id, "ExecTaskStreaming"));
    if (!task->config().exec_command)
        return make_error(Code::FailedPrecondition, "task {} has no exec_command in its config", task_id);
    return mock_exec_streaming(*task->config().exec_command, stream);
}

}  // namespace drover::drivers
