// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/process_driver.h"

#include <csignal>

#include "base/files.h"
#include "base/log.h"
#include "drivers/common/signals.h"
#include "drover/config.h"

namespace drover::drivers {
namespace {

constexpr int32_t kHandleVersion = 1;
constexpr int kStopSignalDefault = SIGINT;

// For people who look at a stored handle; recovery needs the task's id only.
struct HandleState {
    int64_t pid = 0;
    int64_t started_unix_ns = 0;
};
const sdk::Schema<HandleState>& handle_schema() {
    static const auto schema = sdk::Schema<HandleState>()
                                   .optional("pid", &HandleState::pid)
                                   .optional("started_unix_ns", &HandleState::started_unix_ns);
    return schema;
}

sdk::ExitResult exit_result(const sdk::ProcessStatus& status) {
    // As shells and Nomad's executor: a signal's end has the code 128 + signal.
    sdk::ExitResult out{.exit_code = status.signal != 0 ? 128 + status.signal : status.exit_code,
                        .signal = status.signal,
                        .oom_killed = status.oom_killed,
                        .error = ""};
    if (status.phase == sdk::ProcessPhase::Lost) {
        out.exit_code = -1;  // nobody knows it; 0 would read as success
        out.error = "the task's end was not seen: " + status.message;
    }
    if (status.phase == sdk::ProcessPhase::StartFailed) out.error = status.message;
    return out;
}

// Before anything is started, so that the error names the path.
Status check_output(const std::string& path, std::string_view which) {
    if (path.empty() || path_exists(path)) return {};
    return make_error(Code::NotFound, "{}: \"{}\" does not exist", which, path);
}

Error not_found(const std::string& task_id) {
    return make_error(Code::NotFound, "task not found for given id: {}", task_id);
}

}  // namespace

void ProcessDriver::configure(const std::string& state_dir, const std::optional<sdk::AgentConfig>& agent) {
    std::lock_guard lock(mutex_);
    configured_state_dir_ = state_dir;
    core_mhz_ = core_speed_mhz(agent);
}

std::string ProcessDriver::state_dir() const {
    std::lock_guard lock(mutex_);
    if (!configured_state_dir_.empty()) return configured_state_dir_;
    if (!context().task_state_dir.empty()) return context().task_state_dir;
    return "/var/lib/drover-plugins/" + name();
}

std::string ProcessDriver::task_cgroup(const std::string& task_id) const {
    if (context().cgroup_parent.empty() || cgroup::mounted().version == cgroup::Version::None) return "";
    return context().cgroup_parent + "/" + sdk::task_dir_name(task_id);
}

Result<sdk::ProcessHost*> ProcessDriver::host() {
    std::string dir = state_dir();
    std::lock_guard lock(mutex_);
    if (!host_) {
        DROVER_TRY(host_, sdk::ProcessHost::open(
                              {.state_dir = dir, .cgroup_parent = context().cgroup_parent, .shim_path = ""}));
    }
    return host_.get();
}

Result<std::shared_ptr<ProcessDriver::Task>> ProcessDriver::find(const std::string& task_id) {
    std::lock_guard lock(mutex_);
    auto it = tasks_.find(task_id);
    if (it == tasks_.end()) return not_found(task_id);
    return it->second;
}

Result<sdk::StartedTask> ProcessDriver::adopt(const sdk::TaskConfig& config,
                                              std::shared_ptr<sdk::ProcessTask> process) {
    HandleState state{.pid = process->pid(), .started_unix_ns = process->started_ns()};
    sdk::StartedTask started;
    started.handle = {.version = kHandleVersion,
                      .config = config,
                      .state = sdk::TaskState::Running,
                      .driver_state = handle_schema().encode(state)};
    auto task = std::make_shared<Task>();
    task->process = std::move(process);
    task->name = config.name;
    std::lock_guard lock(mutex_);
    tasks_.insert_or_assign(config.id, std::move(task));
    return started;
}

Result<sdk::StartedTask> ProcessDriver::start_task(const sdk::TaskConfig& config) {
    if (find(config.id)) return make_error(Code::AlreadyExists, "task {} exists already", config.id);
    DROVER_CHECK(check_output(config.stdout_path, "stdout"));
    DROVER_CHECK(check_output(config.stderr_path, "stderr"));
    DROVER_TRY(sdk::ProcessHost * host, this->host());
    auto prepared = prepare(config);
    if (!prepared) {
        if (Status cleaned = cleanup(config.id); !cleaned)
            log::warn(name(), "cannot clean up", {{"task", config.id}, {"error", cleaned.error().message()}});
        return std::move(prepared).error();
    }
    auto process = host->start(*prepared);
    // A host whose plugin died during StartTask asks its successor again: what the first one started is the answer.
    if (!process && process.error().code() == Code::AlreadyExists) {
        process = host->recover(config.id);
        // What failed to start there has failed, and goes; what has ended since then has ended well or badly.
        if (process && (*process)->status().phase == sdk::ProcessPhase::StartFailed) {
            Error failed(Code::Internal, (*process)->status().message);
            DROVER_CHECK((*process)->destroy(true));
            process = std::move(failed);
        }
    }
    if (!process) {
        Error error = explain(std::move(process).error(), config.id);
        if (Status cleaned = cleanup(config.id); !cleaned)
            log::warn(name(), "cannot clean up", {{"task", config.id}, {"error", cleaned.error().message()}});
        return error;
    }
    log::info(name(), "task started", {{"task", config.id}, {"pid", (*process)->pid()}});
    return adopt(config, std::move(*process));
}

Status ProcessDriver::recover_task(const sdk::TaskHandle& handle) {
    if (find(handle.config.id)) return {};
    if (!handle.driver_state.empty() && handle.version != kHandleVersion) {
        return make_error(Code::InvalidArgument, "handle version: expected {}, found {}", kHandleVersion,
                          handle.version);
    }
    DROVER_TRY(sdk::ProcessHost * host, this->host());
    auto process = host->recover(handle.config.id);
    if (!process) {
        if (process.error().code() == Code::NotFound) return not_found(handle.config.id);
        return std::move(process).error().context("recover task " + handle.config.id);
    }
    log::info(name(), "task recovered", {{"task", handle.config.id}, {"pid", (*process)->pid()}});
    DROVER_TRY(auto adopted, adopt(handle.config, std::move(*process)));
    (void)adopted;
    return {};
}

Status ProcessDriver::wait_task(const std::string& task_id, sdk::ExitCallback done) {
    DROVER_TRY(auto task, find(task_id));
    task->process->on_exit([done = std::move(done)](const sdk::ProcessStatus& status) { done(exit_result(status)); });
    return {};
}

Status ProcessDriver::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) {
    auto task = find(task_id);
    if (!task) return {};
    int number = kStopSignalDefault;
    if (!signal.empty()) {
        DROVER_TRY(number, parse_signal(signal));
    }
    return (*task)->process->stop(number, timeout_ns);
}

Status ProcessDriver::destroy_task(const std::string& task_id, sdk::Force force) {
    std::shared_ptr<sdk::ProcessTask> process;
    if (auto known = find(task_id)) {
        process = (*known)->process;
    } else {
        DROVER_TRY(sdk::ProcessHost * host, this->host());
        auto found = host->recover(task_id, sdk::ProcessHost::InLaunch::Return);
        if (found) {
            process = *found;
        } else if (found.error().code() != Code::NotFound) {
            return std::move(found).error().context("destroy task " + task_id);
        }
    }
    if (process) DROVER_CHECK(process->destroy(force == sdk::Force::Yes));
    DROVER_CHECK(cleanup(task_id));
    std::lock_guard lock(mutex_);
    tasks_.erase(task_id);
    return {};
}

Result<sdk::TaskStatus> ProcessDriver::inspect_task(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id));
    sdk::ProcessStatus status = task->process->status();
    return sdk::TaskStatus{.id = task_id,
                           .name = task->name,
                           .state = status.ended() ? sdk::TaskState::Exited : sdk::TaskState::Running,
                           .started_unix_ns = status.started_ns,
                           .completed_unix_ns = status.finished_ns,
                           .exit = exit_result(status),
                           .attributes = {{"pid", std::to_string(status.pid)}},
                           .network = {}};
}

Result<sdk::TaskStats> ProcessDriver::task_stats(const std::string& task_id) {
    DROVER_TRY(auto task, find(task_id));
    DROVER_TRY(cgroup::Stats now, task->process->stats());
    std::lock_guard lock(mutex_);
    return task->usage.measure(now, task->process->started_ns(), core_mhz_);
}

Status ProcessDriver::signal_task(const std::string& task_id, const std::string& signal) {
    DROVER_TRY(auto task, find(task_id));
    DROVER_TRY(int number, parse_signal(signal));
    return task->process->signal(number);
}

Result<sdk::ExecProgram> ProcessDriver::exec_program(const sdk::ProcessTask&, const sdk::ExecRequest&) {
    return make_error(Code::Unimplemented, "driver does not support exec");
}

Result<sdk::ExecOutput> ProcessDriver::exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                                 int64_t timeout_ns) {
    DROVER_TRY(auto task, find(task_id));
    DROVER_TRY(auto program, exec_program(*task->process, {.command = command, .tty = false}));
    return sdk::run_exec_captured(program, timeout_ns);
}

Result<sdk::ExitResult> ProcessDriver::exec_task_streaming(const std::string& task_id,
                                                           const sdk::ExecRequest& request, sdk::ExecStream& stream) {
    DROVER_TRY(auto task, find(task_id));
    DROVER_TRY(auto program, exec_program(*task->process, request));
    return sdk::run_exec(program, request, stream);
}

}  // namespace drover::drivers
