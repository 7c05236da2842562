// SPDX-License-Identifier: Apache-2.0
#include "agent/task/task_spec.h"

#include "base/clock.h"
#include "model/status.h"

namespace drover::agent {
namespace {

constexpr int64_t kKillTimeoutDefault = 5 * kSecond;

// The task's own restart block lies on top of the group's; registration has filled in both, so defaults here
// only matter for jobs that came another way.
RestartRules rules(const std::string& job_type, const model::TaskGroup& group, const model::Task& task) {
    const bool batch = job_type == model::kJobTypeBatch || job_type == model::kJobTypeSysBatch;
    RestartRules out;
    out.attempts = batch ? 3 : 2;
    out.interval_ns = batch ? 24 * kHour : 30 * kMinute;
    out.delay_ns = 15 * kSecond;
    for (const auto* policy : {&group.restart_policy(), &task.restart_policy()}) {
        if (policy->has_attempts()) out.attempts = policy->attempts();
        if (policy->has_interval()) out.interval_ns = policy->interval();
        if (policy->has_delay()) out.delay_ns = policy->delay();
        if (policy->has_mode()) out.mode = policy->mode() == "delay" ? RestartMode::Delay : RestartMode::Fail;
    }
    out.on_success = !batch;
    if (task.has_lifecycle() && !task.lifecycle().hook().empty()) {
        const auto& hook = task.lifecycle().hook();
        if (hook == model::kLifecyclePoststop)
            out.on_success = false;
        else
            out.on_success = out.on_success && task.lifecycle().sidecar();
    }
    return out;
}

}  // namespace

TaskSpec make_task_spec(const model::Allocation& alloc, const model::TaskGroup& group,
                        const model::Task& task, int64_t kill_timeout_ns_max) {
    TaskSpec spec;
    spec.alloc_id = alloc.id();
    spec.name = task.name();
    spec.restart = rules(alloc.job().type(), group, task);
    spec.kill_timeout_ns =
        std::min(task.has_kill_timeout() ? task.kill_timeout() : kKillTimeoutDefault, kill_timeout_ns_max);
    spec.shutdown_delay_ns = task.shutdown_delay();
    spec.kill_signal = task.kill_signal();
    return spec;
}

}  // namespace drover::agent
