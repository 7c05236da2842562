// SPDX-License-Identifier: Apache-2.0
#include "agent/task/task_machine.h"

#include "agent/task/events.h"
#include "base/clock.h"

namespace drover::agent {
namespace {

constexpr uint32_t kRecordFormat = 1;
constexpr int kStopAttemptsMax = 5;
constexpr int64_t kStopRetryNs = 5 * kSecond;
constexpr int64_t kStopRetryMaxNs = 2 * kMinute;

constexpr std::string_view kPending = "pending";
constexpr std::string_view kRunning = "running";
constexpr std::string_view kDead = "dead";

}  // namespace

TaskMachine TaskMachine::fresh(TaskSpec spec, Tick tick) {
    client::TaskRecord record;
    record.set_format(kRecordFormat);
    record.set_phase(client::WAITING);
    record.mutable_state()->set_state(std::string(kPending));
    events::append(*record.mutable_state(), events::received(tick.now_ns));
    return TaskMachine(std::move(spec), std::move(record));
}

TaskMachine TaskMachine::loaded(TaskSpec spec, client::TaskRecord record) {
    return TaskMachine(std::move(spec), std::move(record));
}

TaskActions TaskMachine::step(const TaskInput& input, Tick tick) {
    tick_ = tick;
    actions_.clear();
    std::visit([this](const auto& event) { on(event); }, input);
    return std::move(actions_);
}

bool TaskMachine::holds_instance() const {
    switch (record_.phase()) {
        case client::STARTING:
        case client::RUNNING:
        case client::STOPPING:
        case client::EXITED:
            return !record_.task_id().empty();
        default:
            return false;
    }
}

// ---- starting
// --------------------------------------------------------------------------------------------------------

void TaskMachine::on(const task_event::GateOpened&) {
    if (record_.phase() != client::WAITING) return;
    show(events::task_setup(tick_.now_ns, "Building Task Directory"));
    begin_setup();
}

void TaskMachine::begin_setup() {
    enter(client::SETUP);
    record_.clear_exit();
    record_.clear_handle();
    record_.clear_network();
    record_.set_unrecoverable(false);
    record_.set_start_failed(false);
    setup_running_ = true;
    actions_.emplace_back(task_action::RunSetup{});
}

void TaskMachine::on(const task_event::SetupDone&) {
    if (record_.phase() != client::SETUP) return;
    setup_running_ = false;
    if (record_.kill()) return die();
    record_.set_task_id(
        fmt::format("{}/{}/{:08x}", spec_.alloc_id, spec_.name, static_cast<uint32_t>(tick_.random)));
    enter(client::STARTING);
    if (record_.window_start_ns() == 0) record_.set_window_start_ns(tick_.now_ns);
    persist();
    actions_.emplace_back(task_action::StartTask{record_.task_id()});
}

void TaskMachine::on(const task_event::SetupFailed& failed) {
    if (record_.phase() != client::SETUP) return;
    setup_running_ = false;
    show(failed.event);
    if (record_.kill()) return die();
    record_.set_start_failed(true);
    record_.set_unrecoverable(failed.retry == Retry::No);
    record_.clear_task_id();
    enter(client::EXITED);
    decide();
}

void TaskMachine::on(const task_event::Started& started) {
    if (record_.phase() != client::STARTING) return;
    *record_.mutable_handle() = started.handle;
    *record_.mutable_network() = started.network;
    enter(client::RUNNING);
    link_ = Link::Attached;
    show_state(kRunning);
    show(events::started(tick_.now_ns));
    // The exit is awaited before the handle is on disk: if the agent dies here, the stored task id leads back
    // to it.
    actions_.emplace_back(task_action::Report{});
    actions_.emplace_back(task_action::WaitTask{record_.task_id()});
    persist();
    if (record_.kill() || record_.restart_requested()) begin_stop();
}

void TaskMachine::on(const task_event::StartFailed& failed) {
    if (record_.phase() != client::STARTING) return;
    show(events::driver_failure(tick_.now_ns, failed.error));
    record_.set_start_failed(true);
    record_.set_unrecoverable(failed.retry == Retry::No);
    end_instance();  // a failed start may have left something behind
}

void TaskMachine::on(const task_event::StartUnknown&) {
    if (record_.phase() != client::STARTING) return;
    link_ = Link::Recovering;
    actions_.emplace_back(task_action::RecoverTask{record_.task_id()});
}

// ---- finding it again
// ------------------------------------------------------------------------------------------------

void TaskMachine::on(const task_event::Restarted&) {
    switch (record_.phase()) {
        case client::WAITING:
        case client::LOST:
        case client::DEAD:
            break;
        case client::SETUP:
            begin_setup();
            break;
        case client::STARTING:
        case client::RUNNING:
        case client::STOPPING:
            link_ = Link::Recovering;
            actions_.emplace_back(task_action::RecoverTask{record_.task_id()});
            break;
        case client::EXITED:
            // Its logs may not be flushed and the driver may still hold it; both are done again without harm.
            if (record_.task_id().empty()) {
                decide();
            } else {
                actions_.emplace_back(task_action::Destroy{record_.task_id()});
            }
            break;
        case client::DELAY:
            actions_.emplace_back(
                task_action::ArmTimer{std::max<int64_t>(0, record_.resume_at_ns() - tick_.now_ns)});
            break;
        default:
            break;
    }
    actions_.emplace_back(task_action::Report{});
}

void TaskMachine::on(const task_event::Recovered& recovered) {
    if (link_ != Link::Recovering) return;
    link_ = Link::Attached;
    const bool other_build = !recovered.build.empty() && record_.handle().plugin_build() != recovered.build;
    if (other_build) record_.mutable_handle()->set_plugin_build(recovered.build);
    if (record_.phase() == client::STARTING) {
        // The agent or the plugin died between StartTask and the stored handle: it was started, and is ours.
        enter(client::RUNNING);
        show_state(kRunning);
        show(events::started(tick_.now_ns));
        persist();
    } else if (other_build) {
        persist();
    }
    actions_.emplace_back(task_action::WaitTask{record_.task_id()});
    actions_.emplace_back(task_action::Report{});
    if (record_.phase() == client::STOPPING) {
        if (record_.stop_delayed())
            send_stop();
        else
            begin_stop();
    } else if (record_.kill() || record_.restart_requested()) {
        begin_stop();
    }
}

void TaskMachine::on(const task_event::RecoverFailed& failed) {
    if (link_ != Link::Recovering) return;
    link_ = Link::None;
    if (record_.phase() == client::STARTING) {
        // Not known by its id: nothing was started, or it is destroyed by force now, before a new instance.
        record_.set_restart_requested(true);
        record_.set_start_failed(true);
        end_instance();
        return;
    }
    if (record_.phase() == client::STOPPING) {
        // It was being ended anyway; how it ended nobody can tell.
        client::ExitResult exit;
        exit.set_error(failed.error);
        on(task_event::Exited{exit});
        return;
    }
    record_.set_last_error(failed.error);
    show(events::restore_failed(tick_.now_ns, failed.error));
    show_state(kPending);
    record_.mutable_exit()->set_error(fmt::format("task was lost: {}", failed.error));
    end_instance();
}

void TaskMachine::on(const task_event::RecoverRefused& refused) {
    if (link_ != Link::Recovering) return;
    // What was to end anyway is ended by force, as far as this plugin can.
    if (record_.phase() != client::RUNNING || record_.kill() || record_.restart_requested())
        return on(task_event::RecoverFailed{refused.error});
    link_ = Link::Refused;
    show(events::left_alone(tick_.now_ns, refused.error));
    persist();
    actions_.emplace_back(task_action::AwaitDriver{});
    actions_.emplace_back(task_action::Report{});
}

void TaskMachine::on(const task_event::DriverLost&) {
    if (!holds_instance() || record_.phase() == client::EXITED) return;
    if (link_ == Link::AwaitingDriver || link_ == Link::Refused) return;
    link_ = Link::AwaitingDriver;
    actions_.emplace_back(task_action::AwaitDriver{});
}

void TaskMachine::on(const task_event::DriverReady&) {
    if (link_ != Link::AwaitingDriver && link_ != Link::Refused) return;
    link_ = Link::Recovering;
    actions_.emplace_back(task_action::RecoverTask{record_.task_id()});
}

void TaskMachine::on(const task_event::ServerContact&) {
    server_contacted_ = true;
    if (record_.phase() == client::LOST) decide();
}

// ---- ending
// ----------------------------------------------------------------------------------------------------------

void TaskMachine::on(const task_event::Exited& exited) {
    if (record_.phase() != client::RUNNING && record_.phase() != client::STOPPING) return;
    link_ = Link::None;
    *record_.mutable_exit() = exited.exit;
    show(events::terminated(tick_.now_ns, exited.exit));
    end_instance();
}

void TaskMachine::end_instance() {
    link_ = Link::None;
    enter(client::EXITED);
    persist();
    actions_.emplace_back(task_action::Report{});
    actions_.emplace_back(task_action::Destroy{record_.task_id()});
}

void TaskMachine::on(const task_event::Destroyed&) {
    if (record_.phase() != client::EXITED) return;
    const bool lost = !record_.last_error().empty();
    if (lost && !server_contacted_ && !record_.kill()) {
        // Without a server nobody can say whether it was replaced meanwhile, so it must not run again yet.
        enter(client::LOST);
        persist();
        actions_.emplace_back(task_action::Report{});
        return;
    }
    decide();
}

void TaskMachine::decide() {
    if (record_.kill()) return die();
    record_.clear_last_error();
    if (record_.restart_requested()) {
        const bool retry_start = record_.start_failed();
        record_.set_restart_requested(false);
        if (!retry_start) show(events::restarting(tick_.now_ns, 0, ""));
        show_state(kPending);
        begin_setup();
        persist();
        actions_.emplace_back(task_action::Report{});
        return;
    }
    const auto& exit = record_.exit();
    const bool success =
        !record_.start_failed() && exit.exit_code() == 0 && exit.signal() == 0 && exit.error().empty();
    const EndKind end = record_.unrecoverable() ? EndKind::Unrecoverable
                        : success               ? EndKind::Success
                                                : EndKind::Failure;
    RestartWindow window{record_.window_start_ns(), record_.window_count()};
    const auto decision =
        decide_restart(spec_.restart, window, end, !record_.start_failed(), tick_.now_ns, tick_.random);
    record_.set_window_start_ns(window.start_ns);
    record_.set_window_count(window.count);
    switch (decision.verdict) {
        case RestartVerdict::Done:
            return die();
        case RestartVerdict::Fail:
            show(events::not_restarting(tick_.now_ns, decision.reason));
            return die();
        case RestartVerdict::Restart:
            enter(client::DELAY);
            record_.set_resume_at_ns(tick_.now_ns + decision.delay_ns);
            show_state(kPending);
            show(events::restarting(tick_.now_ns, decision.delay_ns, decision.reason));
            persist();
            actions_.emplace_back(task_action::ArmTimer{decision.delay_ns});
            actions_.emplace_back(task_action::Report{});
            return;
    }
}

void TaskMachine::die() {
    if (record_.kill() && record_.phase() != client::DEAD)
        show(events::killed(tick_.now_ns, record_.last_error()));
    enter(client::DEAD);
    link_ = Link::None;
    show_state(kDead);
    persist();
    actions_.emplace_back(task_action::Report{});
}

// ---- asked for
// -------------------------------------------------------------------------------------------------------

void TaskMachine::on(const task_event::Kill& kill) {
    if (record_.phase() == client::DEAD || record_.kill()) return;
    for (const auto& reason : kill.reasons) show(reason);
    record_.set_kill(true);
    record_.set_no_shutdown_delay(kill.no_shutdown_delay);
    record_.set_restart_requested(false);
    switch (record_.phase()) {
        case client::WAITING:
        case client::DELAY:
        case client::LOST:
            return die();
        case client::SETUP:  // its end leads to DEAD; a restart would begin it anew
            if (!setup_running_) return die();
            persist();
            break;
        case client::STOPPING:  // a restart was under way; it becomes an end
            show(events::killing(tick_.now_ns, "", spec_.kill_timeout_ns));
            persist();
            break;
        case client::RUNNING:
            if (link_ == Link::Attached) return begin_stop();
            if (link_ == Link::Refused) {
                show(events::killing(tick_.now_ns, "", spec_.kill_timeout_ns));
                return end_instance();
            }
            persist();
            break;
        default:
            persist();
            break;
    }
    actions_.emplace_back(task_action::Report{});
}

void TaskMachine::on(const task_event::Restart& restart) {
    switch (record_.phase()) {
        case client::RUNNING:
            show(events::restart_signaled(tick_.now_ns, restart.reason));
            record_.set_restart_requested(true);
            if (link_ == Link::Attached) return begin_stop();
            if (link_ == Link::Refused) return end_instance();
            persist();
            break;
        case client::DELAY:
        case client::DEAD:
            if (record_.phase() == client::DEAD && !restart.also_dead) return;
            show(events::restart_signaled(tick_.now_ns, restart.reason));
            record_.set_kill(false);
            record_.mutable_state()->set_failed(false);
            record_.mutable_state()->clear_finished_at();
            record_.set_start_failed(false);
            record_.set_restart_requested(true);
            decide();
            return;
        default:
            return;
    }
    actions_.emplace_back(task_action::Report{});
}

// RUNNING or STOPPING, attached: shows the intention, waits for the shutdown delay, then asks the driver.
void TaskMachine::begin_stop() {
    const bool first = record_.phase() != client::STOPPING;
    enter(client::STOPPING);
    stop_attempts_ = 0;
    if (first && record_.kill()) show(events::killing(tick_.now_ns, "", spec_.kill_timeout_ns));
    const bool delay = spec_.shutdown_delay_ns > 0;
    record_.set_stop_delayed(!delay || record_.no_shutdown_delay());
    if (delay && first) {
        show(record_.no_shutdown_delay()
                 ? events::skipping_shutdown_delay(tick_.now_ns, spec_.shutdown_delay_ns)
                 : events::waiting_shutdown_delay(tick_.now_ns, spec_.shutdown_delay_ns));
    }
    persist();
    actions_.emplace_back(task_action::Report{});
    if (record_.stop_delayed()) {
        send_stop();
    } else {
        actions_.emplace_back(task_action::ArmTimer{spec_.shutdown_delay_ns});
    }
}

void TaskMachine::send_stop() {
    actions_.emplace_back(task_action::StopTask{record_.task_id(), spec_.kill_timeout_ns, spec_.kill_signal});
}

void TaskMachine::on(const task_event::TimerFired&) {
    if (record_.phase() == client::DELAY) {
        begin_setup();
        persist();
    } else if (record_.phase() == client::STOPPING && link_ == Link::Attached) {
        record_.set_stop_delayed(true);
        send_stop();
    }
}

void TaskMachine::on(const task_event::StopFailed& failed) {
    if (record_.phase() != client::STOPPING || link_ != Link::Attached) return;
    if (++stop_attempts_ >= kStopAttemptsMax) {
        // The driver cannot end it: the last means is to destroy it by force.
        record_.set_last_error(fmt::format("failed to stop task: {}", failed.error));
        link_ = Link::None;
        end_instance();
        return;
    }
    int64_t delay = kStopRetryNs;
    for (int i = 1; i < stop_attempts_; ++i) delay = std::min(delay * 4, kStopRetryMaxNs);
    actions_.emplace_back(task_action::ArmTimer{delay});
}

void TaskMachine::on(const task_event::Signal& signal) {
    if (record_.phase() != client::RUNNING) return;
    show(events::signaling(tick_.now_ns, signal.signal, signal.reason));
    actions_.emplace_back(task_action::SendSignal{record_.task_id(), signal.signal});
    persist();
    actions_.emplace_back(task_action::Report{});
}

void TaskMachine::on(const task_event::Note& note) {
    show(note.event);
    persist();
    actions_.emplace_back(task_action::Report{});
}

void TaskMachine::on(const task_event::Abort& abort) {
    if (record_.phase() != client::WAITING) return;
    show(abort.event);
    record_.mutable_state()->set_failed(true);
    die();
}

// ---- helpers
// ---------------------------------------------------------------------------------------------------------

void TaskMachine::show(model::TaskEvent event) {
    events::append(*record_.mutable_state(), std::move(event));
}

void TaskMachine::show_state(std::string_view state) {
    auto& shown = *record_.mutable_state();
    if (shown.state() == state) return;
    if (state == kRunning) shown.set_started_at(tick_.now_ns);
    if (state == kDead) shown.set_finished_at(tick_.now_ns);
    shown.set_state(std::string(state));
}

void TaskMachine::persist() {
    actions_.emplace_back(task_action::Persist{std::make_shared<const client::TaskRecord>(record_)});
}

}  // namespace drover::agent
