// SPDX-License-Identifier: Apache-2.0
#include "agent/task/task_runner.h"

#include <boost/asio/thread_pool.hpp>

#include "agent/logs/logd_client.h"
#include "agent/store/store.h"
#include "agent/task/events.h"
#include "agent/task/failpoint.h"
#include "agent/task/task_spec.h"
#include "base/clock.h"
#include "base/log.h"
#include "model/status.h"

#include <sys/random.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client.alloc_runner.task_runner";
constexpr int64_t kLogFlushNs = 2 * kSecond;  // for each output, after the exit
constexpr int64_t kReconnectPauseNs = 100 * kMillisecond;

TaskMachine::Tick tick() {
    uint64_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
        random = static_cast<uint64_t>(mono_now());
    return {unix_now(), random};
}

client::ExitResult to_record(const sdk::ExitResult& exit) {
    client::ExitResult out;
    out.set_exit_code(exit.exit_code);
    out.set_signal(exit.signal);
    out.set_oom_killed(exit.oom_killed);
    out.set_error(exit.error);
    return out;
}

}  // namespace

TaskRunner::TaskRunner(RunnerContext& context, Strand strand, std::shared_ptr<const model::Allocation> alloc,
                       std::string name, std::function<void()> changed)
    : context_(context),
      strand_(strand),
      name_(std::move(name)),
      changed_(std::move(changed)),
      timer_(strand),
      retry_timer_(strand) {
    use(std::move(alloc));
}

TaskRunner::~TaskRunner() = default;

void TaskRunner::use(std::shared_ptr<const model::Allocation> alloc) {
    alloc_ = std::move(alloc);
    group_ = model::find_group(alloc_->job(), alloc_->task_group());
    DROVER_ASSERT(group_ != nullptr);  // checked by alloc_runner
    task_ = model::find_task(*group_, name_);
    DROVER_ASSERT(task_ != nullptr);
}

void TaskRunner::begin_fresh() {
    machine_ = std::make_unique<TaskMachine>(
        TaskMachine::fresh(make_task_spec(*alloc_, *group_, *task_, context_.kill_timeout_ns_max), tick()));
}

void TaskRunner::begin_loaded(client::TaskRecord record) {
    machine_ = std::make_unique<TaskMachine>(TaskMachine::loaded(
        make_task_spec(*alloc_, *group_, *task_, context_.kill_timeout_ns_max), std::move(record)));
    for (const auto& event : machine_->record().state().events())
        logged_until_ns_ = std::max(logged_until_ns_, event.time());
    input(task_event::Restarted{});
}

void TaskRunner::begin_adopted(const std::string& task_id) {
    begin_fresh();
    client::TaskRecord record = machine_->record();
    record.set_phase(client::STARTING);
    record.set_task_id(task_id);
    context_.store.put_task(alloc_->id(), name_, record);
    begin_loaded(std::move(record));
}

void TaskRunner::input(const TaskInput& event) {
    if (detached_) return;
    const bool was_dead = machine_->dead();
    for (auto& action : machine_->step(event, tick())) queue_.push_back(std::move(action));
    log_events();
    if (machine_->dead() && !was_dead) release_logs();
    pump();
}

void TaskRunner::log_events() {
    const int64_t before = logged_until_ns_;
    for (const auto& event : machine_->record().state().events()) {
        if (event.time() <= before) continue;
        logged_until_ns_ = std::max(logged_until_ns_, event.time());
        log::info(kComponent, "Task event",
                  {{"alloc_id", alloc_->id()},
                   {"task", name_},
                   {"type", event.type()},
                   {"msg", event.display_message()},
                   {"failed", event.fails_task()}});
    }
}

void TaskRunner::update(std::shared_ptr<const model::Allocation> alloc) {
    use(std::move(alloc));
    machine_->set_spec(make_task_spec(*alloc_, *group_, *task_, context_.kill_timeout_ns_max));
}

void TaskRunner::detach() {
    detached_ = true;
    queue_.clear();
    wait_.reset();
    connected_.reset();
    stats_.reset();
    timer_.cancel();
    retry_timer_.cancel();
}

// Actions are performed in order; a Persist holds back those behind it until it is on disk.
void TaskRunner::pump() {
    while (!queue_.empty() && !storing_ && !detached_) {
        const TaskAction action = std::move(queue_.front());
        queue_.pop_front();
        std::visit([this](const auto& a) { perform(a); }, action);
    }
}

void TaskRunner::perform(const task_action::Persist& action) {
    storing_ = true;
    const auto phase = action.record->phase();
    if (phase == client::STARTING) failpoint("before_intent");
    if (phase == client::RUNNING) failpoint("after_start");
    if (phase == client::EXITED) failpoint("after_exit");
    context_.store.put_task(alloc_->id(), name_, *action.record, on_strand([phase](TaskRunner& self) {
                                if (phase == client::STARTING) failpoint("after_intent");
                                if (phase == client::RUNNING) failpoint("after_handle");
                                if (phase == client::EXITED) failpoint("exit_stored");
                                self.storing_ = false;
                                self.pump();
                            }));
}

void TaskRunner::perform(const task_action::Report&) {
    changed_();
}

// ---- before the start
// ------------------------------------------------------------------------------------------------

Result<std::shared_ptr<Driver>> TaskRunner::driver() {
    return context_.driver(task_->driver());
}

TaskContext TaskRunner::make_context(sdk::Capabilities capabilities) const {
    return TaskContext{.alloc = alloc_,
                       .group = group_,
                       .task = task_,
                       .node = context_.node(),
                       .capabilities = std::move(capabilities),
                       .dir = AllocDir(context_.alloc_root, alloc_->id()),
                       .region = context_.region,
                       .cgroup_parent = context_.cgroup_parent,
                       .fifo_dir = fmt::format("{}/{}", context_.fifo_root, alloc_->id()),
                       .client_options = &context_.client_options,
                       .logd = context_.logd,
                       .env = {},
                       .config = {}};
}

void TaskRunner::setup_failed(model::TaskEvent event, Retry retry) {
    task_event::SetupFailed failed;
    failed.event = std::move(event);
    failed.retry = retry;
    input(failed);
}

void TaskRunner::perform(const task_action::RunSetup&) {
    if (logs_releasing_) {
        setup_waits_ = true;
        return;
    }
    logs_drained_ = false;
    auto found = driver();
    if (!found) return setup_failed(events::driver_failure(unix_now(), found.error().message()), Retry::No);
    (*found)->capabilities(on_strand([](TaskRunner& self, Result<sdk::Capabilities> result) {
        if (!result) {
            const auto& error = result.error();
            return self.setup_failed(events::driver_failure(unix_now(), error.message()),
                                     plugin_lost(error) ? Retry::Yes : error.retry());
        }
        self.run_hooks(std::move(*result));
    }));
}

void TaskRunner::run_hooks(sdk::Capabilities capabilities) {
    auto context = std::make_shared<TaskContext>(make_context(std::move(capabilities)));
    auto done = on_strand([context](TaskRunner& self, const Hook* failed, Status status) {
        if (failed == nullptr) return self.decode_config(context);
        const auto message = status.error().message();
        self.setup_failed(failed->failure == HookFailure::Validation
                              ? events::failed_validation(unix_now(), message)
                              : events::setup_failure(unix_now(), message),
                          status.error().retry());
    });
    boost::asio::post(context_.pool, [context, done]() mutable {
        for (const auto& hook : task_hooks()) {
            auto status = hook.run(*context);
            if (!status) {
                return done(
                    &hook,
                    Status(
                        Error(status.error()).context(fmt::format("failed to setup task: {}", hook.name))));
            }
        }
        done(static_cast<const Hook*>(nullptr), Status());
    });
}

void TaskRunner::decode_config(std::shared_ptr<TaskContext> context) {
    auto found = driver();
    if (!found) return setup_failed(events::driver_failure(unix_now(), found.error().message()), Retry::No);
    auto config = std::shared_ptr<const model::MapValue>(alloc_, &task_->config());
    (*found)->decode_config(
        config, hcl_variables(context->env),
        on_strand([context](TaskRunner& self, Result<std::string> result) {
            if (!result) {
                const auto& error = result.error();
                if (plugin_lost(error))
                    return self.setup_failed(events::driver_failure(unix_now(), error.message()), Retry::Yes);
                return self.setup_failed(events::failed_validation(unix_now(), error.message()), Retry::No);
            }
            self.config_ = std::move(context->config);
            self.config_.msgpack_driver_config = std::move(*result);
            self.input(task_event::SetupDone{});
        }));
}

// ---- driver calls
// ----------------------------------------------------------------------------------------------------

void TaskRunner::perform(const task_action::StartTask& action) {
    auto found = driver();
    if (!found) return input(task_event::StartFailed{found.error().message(), Retry::No});
    config_.id = action.task_id;
    connect_tries_ = 0;
    (*found)->start_task(config_, on_strand([](TaskRunner& self, Result<sdk::StartedTask> result) {
                             if (!result) {
                                 const auto& error = result.error();
                                 if (outcome_unknown(error)) return self.input(task_event::StartUnknown{});
                                 return self.input(task_event::StartFailed{
                                     error.message(), plugin_down(error) ? Retry::Yes : error.retry()});
                             }
                             task_event::Started started;
                             started.handle.set_driver(self.task_->driver());
                             started.handle.set_version(result->handle.version);
                             started.handle.set_driver_state(result->handle.driver_state);
                             if (result->network) {
                                 started.network.mutable_port_map()->insert(result->network->port_map.begin(),
                                                                            result->network->port_map.end());
                                 started.network.set_addr(result->network->address);
                                 started.network.set_auto_advertise(result->network->auto_advertise);
                             }
                             self.input(started);
                         }));
    failpoint("start_sent");
}

void TaskRunner::perform(const task_action::RecoverTask& action) {
    auto found = driver();
    if (!found) return input(task_event::RecoverFailed{found.error().message()});
    (*found)->capabilities(
        on_strand([task_id = action.task_id](TaskRunner& self, Result<sdk::Capabilities> result) {
            self.recover_with(task_id, std::move(result));
        }));
}

// The config is made anew; what belongs to the driver is in driver_state, empty when the agent died before it
// had it.
void TaskRunner::recover_with(const std::string& task_id, Result<sdk::Capabilities> capabilities) {
    if (!capabilities) return input(task_event::DriverLost{});
    auto found = driver();
    if (!found) return input(task_event::RecoverFailed{found.error().message()});
    auto context = make_context(std::move(*capabilities));
    for (const auto& hook : task_hooks()) {
        if (!hook.again_to_recover) continue;
        if (auto status = hook.run(context); !status)
            log::debug(kComponent, "config of a running task", {{"error", status.error().message()}});
    }
    const auto& record = machine_->record();
    sdk::TaskHandle handle;
    handle.config = std::move(context.config);
    handle.config.id = task_id;
    handle.version = record.handle().version();
    handle.state = sdk::TaskState::Running;
    handle.driver_state = record.handle().driver_state();
    (*found)->recover_task(std::move(handle), on_strand([](TaskRunner& self, Result<void> result) {
                               if (result) {
                                   self.connect_tries_ = 0;
                                   return self.input(task_event::Recovered{});
                               }
                               if (plugin_lost(result.error())) return self.input(task_event::DriverLost{});
                               const std::string why =
                                   self.context_.rebooted ? "the machine was restarted: " : "";
                               self.input(task_event::RecoverFailed{why + result.error().message()});
                           }));
}

void TaskRunner::perform(const task_action::WaitTask& action) {
    auto found = driver();
    if (!found) return;
    wait_ = (*found)->wait_task(
        action.task_id,
        on_strand([task_id = action.task_id](TaskRunner& self, Result<sdk::ExitResult> result) {
            if (self.machine_->record().task_id() != task_id) return;
            if (!result && plugin_lost(result.error())) return self.input(task_event::DriverLost{});
            task_event::Exited exited;
            if (result)
                exited.exit = to_record(*result);
            else
                exited.exit.set_error(result.error().message());
            self.stats_.reset();
            self.input(exited);
        }));
}

void TaskRunner::perform(const task_action::StopTask& action) {
    auto found = driver();
    if (!found) return input(task_event::StopFailed{found.error().message()});
    (*found)->stop_task(
        action.task_id, action.timeout_ns, action.signal,
        on_strand([task_id = action.task_id](TaskRunner& self, Result<void> result) {
            if (self.machine_->record().task_id() != task_id || result || plugin_lost(result.error())) return;
            log::warn(kComponent, "failed to stop task",
                      {{"task_id", task_id}, {"error", result.error().message()}});
            self.input(task_event::StopFailed{result.error().message()});
        }));
    failpoint("stop_sent");
}

void TaskRunner::perform(const task_action::SendSignal& action) {
    auto done = std::exchange(signal_done_, nullptr);
    auto found = driver();
    if (!found) {
        if (done) done(found.error());
        return;
    }
    (*found)->signal_task(action.task_id, action.signal, [done](Result<void> result) {
        if (done) done(std::move(result));
    });
}

void TaskRunner::signal(const std::string& signal, std::function<void(Status)> done) {
    if (machine_->record().phase() != client::RUNNING) {
        return done(make_error(Code::FailedPrecondition, "Task not running"));
    }
    signal_done_ = std::move(done);
    input(task_event::Signal{signal, ""});
}

// ---- after the exit
// --------------------------------------------------------------------------------------------------

void TaskRunner::perform(const task_action::Destroy& action) {
    wait_.reset();
    if (context_.logd == nullptr || task_->log_config().disabled()) return destroy_in_driver(action.task_id);
    // The last lines are in the pipe when the exit is known; they are in the file before anyone hears of the
    // end.
    auto next = on_strand([task_id = action.task_id](TaskRunner& self, bool drained) {
        failpoint("logs_flushed");
        self.logs_drained_ = drained;
        self.destroy_in_driver(task_id);
    });
    const std::string id = fmt::format("{}/{}", alloc_->id(), name_);
    boost::asio::post(context_.pool, [logd = context_.logd, id, next]() mutable {
        bool drained = true;
        for (const char* which : {"stdout", "stderr"}) {
            auto flushed = logd->flush(fmt::format("{}/{}", id, which), kLogFlushNs);
            if (flushed) continue;
            drained = false;
            log::warn(kComponent, "log not drained yet",
                      {{"stream", id}, {"error", flushed.error().message()}});
        }
        next(drained);
    });
}

// A dead task needs no FIFOs any more. If they are not empty (full disk), or the agent dies here, they go
// with the allocation.
void TaskRunner::release_logs() {
    if (!logs_drained_ || context_.logd == nullptr) return;
    logs_releasing_ = true;
    auto done = on_strand([](TaskRunner& self) {
        self.logs_releasing_ = false;
        if (std::exchange(self.setup_waits_, false)) self.perform(task_action::RunSetup{});
    });
    boost::asio::post(context_.pool, [logd = context_.logd, id = fmt::format("{}/{}", alloc_->id(), name_),
                                      fifo = fmt::format("{}/{}/{}", context_.fifo_root, alloc_->id(), name_),
                                      done]() mutable {
        for (const char* which : {"stdout", "stderr"}) {
            auto removed = logd->remove(fmt::format("{}/{}", id, which));
            if (removed)
                ::unlink(fmt::format("{}.{}", fifo, which).c_str());
            else
                log::warn(kComponent, "log stream not removed",
                          {{"stream", id}, {"error", removed.error().message()}});
        }
        done();
    });
}

void TaskRunner::destroy_in_driver(const std::string& task_id) {
    auto found = driver();
    if (!found) return input(task_event::Destroyed{});  // the driver is not there any more at all
    (*found)->destroy_task(
        task_id, Driver::Destroy::Force, on_strand([task_id](TaskRunner& self, Result<void> result) {
            if (!result && plugin_lost(result.error())) {
                return self.when_connected([&self, task_id] { self.destroy_in_driver(task_id); });
            }
            if (!result && result.error().code() != Code::NotFound) {
                log::warn(kComponent, "driver could not destroy task",
                          {{"task_id", task_id}, {"error", result.error().message()}});
            }
            failpoint("after_destroy");
            self.input(task_event::Destroyed{});
        }));
}

// ---- waiting
// ---------------------------------------------------------------------------------------------------------

void TaskRunner::perform(const task_action::AwaitDriver&) {
    wait_.reset();
    when_connected([this] { input(task_event::DriverReady{}); });
}

// A pause before each further try: the host may not have noticed yet that the instance is gone.
void TaskRunner::when_connected(std::function<void()> then) {
    const int64_t pause = connect_tries_++ == 0 ? 0 : kReconnectPauseNs;
    retry_timer_.expires_after(std::chrono::nanoseconds(pause));
    retry_timer_.async_wait(
        [weak = weak_from_this(), then = std::move(then)](const boost::system::error_code& ec) mutable {
            auto self = weak.lock();
            if (ec || !self || self->detached_) return;
            auto found = self->driver();
            if (!found) {
                log::error(kComponent, "driver is gone", {{"error", found.error().message()}});
                return;
            }
            const uint64_t serial = ++self->connected_serial_;
            auto ready = self->on_strand([serial, then = std::move(then)](TaskRunner& runner) {
                if (runner.connected_serial_ != serial) return;
                ++runner.connected_serial_;
                runner.connected_.reset();
                then();
            });
            self->connected_ = (*found)->on_connected([ready](uint64_t) mutable { ready(); });
        });
}

void TaskRunner::perform(const task_action::ArmTimer& action) {
    const uint64_t serial = ++timer_serial_;
    timer_.expires_after(std::chrono::nanoseconds(std::max<int64_t>(0, action.delay_ns)));
    timer_.async_wait([weak = weak_from_this(), serial](const boost::system::error_code& ec) {
        auto self = weak.lock();
        if (ec || !self || self->detached_ || self->timer_serial_ != serial) return;
        self->input(task_event::TimerFired{});
    });
}

}  // namespace drover::agent
