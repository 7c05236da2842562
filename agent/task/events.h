// SPDX-License-Identifier: Apache-2.0
// Task events with Nomad's types, details and display messages. Pure; the time comes with the call. Each
// function makes one complete event, so that no other file knows the wording.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace drover::model {
class TaskEvent;
class TaskState;
}  // namespace drover::model
namespace drover::client {
class ExitResult;
}

namespace drover::agent::events {

inline constexpr int kEventsPerTaskMax = 10;

model::TaskEvent received(int64_t now_ns);
model::TaskEvent task_setup(int64_t now_ns, std::string_view message);
model::TaskEvent setup_failure(int64_t now_ns, std::string_view error);
model::TaskEvent failed_validation(int64_t now_ns, std::string_view error);
model::TaskEvent driver_failure(int64_t now_ns, std::string_view error);
model::TaskEvent driver_message(int64_t now_ns, std::string_view message);
model::TaskEvent started(int64_t now_ns);
model::TaskEvent terminated(int64_t now_ns, const client::ExitResult& exit);
model::TaskEvent restarting(int64_t now_ns, int64_t delay_ns, std::string_view reason);
model::TaskEvent not_restarting(int64_t now_ns, std::string_view reason);
model::TaskEvent restart_signaled(int64_t now_ns, std::string_view reason);
model::TaskEvent signaling(int64_t now_ns, std::string_view signal, std::string_view reason);
model::TaskEvent killing(int64_t now_ns, std::string_view reason, int64_t timeout_ns);
model::TaskEvent killed(int64_t now_ns, std::string_view error);
model::TaskEvent sibling_failed(int64_t now_ns, std::string_view sibling);
model::TaskEvent leader_dead(int64_t now_ns);
model::TaskEvent main_dead(int64_t now_ns);
model::TaskEvent restore_failed(int64_t now_ns, std::string_view why);
model::TaskEvent left_alone(int64_t now_ns, std::string_view why);
model::TaskEvent waiting_shutdown_delay(int64_t now_ns, int64_t delay_ns);
model::TaskEvent skipping_shutdown_delay(int64_t now_ns, int64_t delay_ns);
model::TaskEvent alloc_unhealthy(int64_t now_ns, std::string_view why);
model::TaskEvent disk_exceeded(int64_t now_ns, std::string_view message);

// Appends to the state's list, dropping the oldest above the limit; does what an event implies (restart
// counts, "fails the task").
void append(model::TaskState& state, model::TaskEvent event);

}  // namespace drover::agent::events
