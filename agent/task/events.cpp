// SPDX-License-Identifier: Apache-2.0
#include "agent/task/events.h"

#include "base/clock.h"
#include "proto/client/state.pb.h"

namespace drover::agent::events {
namespace {

model::TaskEvent make(int64_t now_ns, std::string_view type, std::string_view display) {
    model::TaskEvent event;
    event.set_type(std::string(type));
    event.set_time(now_ns);
    event.set_display_message(std::string(display));
    return event;
}

model::TaskEvent with_message(int64_t now_ns, std::string_view type, std::string_view message) {
    auto event = make(now_ns, type, message);
    event.set_message(std::string(message));
    (*event.mutable_details())["message"] = std::string(message);
    return event;
}

std::string or_default(std::string_view text, std::string_view fallback) {
    return std::string(text.empty() ? fallback : text);
}

}  // namespace

model::TaskEvent received(int64_t now_ns) {
    return make(now_ns, "Received", "Task received by client");
}

model::TaskEvent task_setup(int64_t now_ns, std::string_view message) {
    return with_message(now_ns, "Task Setup", message);
}

model::TaskEvent setup_failure(int64_t now_ns, std::string_view error) {
    auto event = make(now_ns, "Setup Failure", or_default(error, "Task setup failed"));
    event.set_setup_error(std::string(error));
    (*event.mutable_details())["setup_error"] = std::string(error);
    return event;
}

model::TaskEvent failed_validation(int64_t now_ns, std::string_view error) {
    auto event = make(now_ns, "Failed Validation", or_default(error, "Validation of task failed"));
    event.set_validation_error(std::string(error));
    (*event.mutable_details())["validation_error"] = std::string(error);
    return event;
}

model::TaskEvent driver_failure(int64_t now_ns, std::string_view error) {
    auto event = make(now_ns, "Driver Failure", or_default(error, "Failed to start task"));
    event.set_driver_error(std::string(error));
    (*event.mutable_details())["driver_error"] = std::string(error);
    return event;
}

model::TaskEvent driver_message(int64_t now_ns, std::string_view message) {
    auto event = make(now_ns, "Driver", message);
    event.set_driver_message(std::string(message));
    (*event.mutable_details())["driver_message"] = std::string(message);
    return event;
}

model::TaskEvent started(int64_t now_ns) {
    return make(now_ns, "Started", "Task started by client");
}

model::TaskEvent terminated(int64_t now_ns, const client::ExitResult& exit) {
    std::string text = fmt::format("Exit Code: {}", exit.exit_code());
    if (exit.signal() != 0) text += fmt::format(", Signal: {}", exit.signal());
    if (!exit.error().empty()) text += fmt::format(", Exit Message: \"{}\"", exit.error());
    auto event = make(now_ns, "Terminated", text);
    event.set_exit_code(exit.exit_code());
    event.set_signal(exit.signal());
    if (!exit.error().empty()) event.set_message(exit.error());
    auto& details = *event.mutable_details();
    details["exit_code"] = fmt::format("{}", exit.exit_code());
    details["signal"] = fmt::format("{}", exit.signal());
    details["oom_killed"] = exit.oom_killed() ? "true" : "false";
    if (!exit.error().empty()) details["exit_message"] = exit.error();
    return event;
}

model::TaskEvent restarting(int64_t now_ns, int64_t delay_ns, std::string_view reason) {
    std::string text = fmt::format("Task restarting in {}", format_duration(delay_ns));
    if (!reason.empty() && reason != "Restart within policy") text = fmt::format("{} - {}", reason, text);
    auto event = make(now_ns, "Restarting", text);
    event.set_start_delay(delay_ns);
    event.set_restart_reason(std::string(reason));
    (*event.mutable_details())["start_delay"] = fmt::format("{}", delay_ns);
    (*event.mutable_details())["restart_reason"] = std::string(reason);
    return event;
}

model::TaskEvent not_restarting(int64_t now_ns, std::string_view reason) {
    auto event = make(now_ns, "Not Restarting", or_default(reason, "Task exceeded restart policy"));
    event.set_restart_reason(std::string(reason));
    event.set_fails_task(true);
    (*event.mutable_details())["restart_reason"] = std::string(reason);
    (*event.mutable_details())["fails_task"] = "true";
    return event;
}

model::TaskEvent restart_signaled(int64_t now_ns, std::string_view reason) {
    auto event = make(now_ns, "Restart Signaled", or_default(reason, "Task signaled to restart"));
    event.set_restart_reason(std::string(reason));
    (*event.mutable_details())["restart_reason"] = std::string(reason);
    return event;
}

model::TaskEvent signaling(int64_t now_ns, std::string_view signal, std::string_view reason) {
    std::string text =
        signal.empty() ? "Task being sent a signal" : fmt::format("Task being sent signal {}", signal);
    if (!reason.empty()) text += fmt::format(": {}", reason);
    auto event = make(now_ns, "Signaling", text);
    event.set_task_signal(std::string(signal));
    event.set_task_signal_reason(std::string(reason));
    (*event.mutable_details())["task_signal"] = std::string(signal);
    (*event.mutable_details())["task_signal_reason"] = std::string(reason);
    return event;
}

model::TaskEvent killing(int64_t now_ns, std::string_view reason, int64_t timeout_ns) {
    std::string text(reason);
    if (text.empty()) {
        text = timeout_ns > 0 ? fmt::format("Sent interrupt. Waiting {} before force killing",
                                            format_duration(timeout_ns))
                              : "Sent interrupt";
    }
    auto event = make(now_ns, "Killing", text);
    event.set_kill_reason(std::string(reason));
    event.set_kill_timeout(timeout_ns);
    if (!reason.empty()) (*event.mutable_details())["kill_reason"] = std::string(reason);
    if (timeout_ns > 0) (*event.mutable_details())["kill_timeout"] = format_duration(timeout_ns);
    return event;
}

model::TaskEvent killed(int64_t now_ns, std::string_view error) {
    auto event = make(now_ns, "Killed", or_default(error, "Task successfully killed"));
    if (!error.empty()) {
        event.set_kill_error(std::string(error));
        (*event.mutable_details())["kill_error"] = std::string(error);
    }
    return event;
}

model::TaskEvent sibling_failed(int64_t now_ns, std::string_view sibling) {
    auto event = make(now_ns, "Sibling Task Failed", fmt::format("Task's sibling \"{}\" failed", sibling));
    event.set_failed_sibling(std::string(sibling));
    (*event.mutable_details())["failed_sibling"] = std::string(sibling);
    return event;
}

model::TaskEvent leader_dead(int64_t now_ns) {
    return make(now_ns, "Leader Task Dead", "Leader Task in Group dead");
}

model::TaskEvent main_dead(int64_t now_ns) {
    return make(now_ns, "Main Tasks Dead", "Main tasks in the group died");
}

model::TaskEvent restore_failed(int64_t now_ns, std::string_view why) {
    return with_message(
        now_ns, "Failed Restoring Task",
        fmt::format("failed to restore task; will not run until server is contacted: {}", why));
}

model::TaskEvent left_alone(int64_t now_ns, std::string_view why) {
    return with_message(
        now_ns, "Failed Restoring Task",
        fmt::format("the driver's new plugin cannot take over the task, which is left as it is: {}", why));
}

model::TaskEvent waiting_shutdown_delay(int64_t now_ns, int64_t delay_ns) {
    return make(
        now_ns, "Waiting for shutdown delay",
        fmt::format("Waiting for shutdown_delay of {} before killing the task.", format_duration(delay_ns)));
}

model::TaskEvent skipping_shutdown_delay(int64_t now_ns, int64_t delay_ns) {
    return make(
        now_ns, "Skipping shutdown delay",
        fmt::format("Skipping shutdown_delay of {} before killing the task.", format_duration(delay_ns)));
}

model::TaskEvent alloc_unhealthy(int64_t now_ns, std::string_view why) {
    return with_message(now_ns, "Alloc Unhealthy", why);
}

model::TaskEvent disk_exceeded(int64_t now_ns, std::string_view message) {
    return with_message(now_ns, "Disk Resources Exceeded", message);
}

void append(model::TaskState& state, model::TaskEvent event) {
    if (event.fails_task()) state.set_failed(true);
    if (event.type() == "Restarting") {
        state.set_restarts(state.restarts() + 1);
        state.set_last_restart(event.time());
    }
    while (state.events_size() >= kEventsPerTaskMax) state.mutable_events()->DeleteSubrange(0, 1);
    *state.add_events() = std::move(event);
}

}  // namespace drover::agent::events
