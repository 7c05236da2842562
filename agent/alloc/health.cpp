// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/health.h"

#include <algorithm>

#include "base/clock.h"

namespace drover::agent {
namespace {

// Those that must keep running for the allocation to be healthy.
bool lasting(const TaskView& task) {
    return task.role == TaskRole::Main || task.role == TaskRole::PrestartSidecar ||
           task.role == TaskRole::PoststartSidecar;
}

}  // namespace

HealthVerdict assess_health(const HealthRules& rules, const std::vector<HealthView>& tasks,
                            int64_t watched_since_ns, int64_t now_ns) {
    int64_t latest_start = watched_since_ns;
    std::string missing;
    for (const auto& view : tasks) {
        const auto& task = view.task;
        if (task.role == TaskRole::Poststop) continue;
        if (task.dead && (task.failed || task.role == TaskRole::Main)) {
            return {false, 0, fmt::format("Unhealthy because of failed task: {}", task.name)};
        }
        if (lasting(task) && !task.running) missing = task.name;
        if (!lasting(task) && !task.dead) missing = task.name;
        if (task.running) latest_start = std::max(latest_start, view.started_at_ns);
    }
    const int64_t deadline = watched_since_ns + rules.deadline_ns;
    const int64_t healthy_at = latest_start + rules.min_healthy_ns;
    if (missing.empty() && now_ns >= healthy_at) return {true, 0, ""};
    if (now_ns >= deadline) {
        return {false, 0,
                missing.empty()
                    ? fmt::format("Task not running for min_healthy_time of {} by healthy_deadline of {}",
                                  format_duration(rules.min_healthy_ns), format_duration(rules.deadline_ns))
                    : fmt::format("Task not running by deadline: {}", missing)};
    }
    return {std::nullopt, missing.empty() ? std::min(healthy_at, deadline) : deadline, ""};
}

}  // namespace drover::agent
