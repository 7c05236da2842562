// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/coordinator.h"

#include <algorithm>

namespace drover::agent {
namespace {

bool is_sidecar(const TaskView& task) {
    return task.role == TaskRole::PrestartSidecar || task.role == TaskRole::PoststartSidecar;
}

bool gate_open(const TaskView& task, const std::vector<TaskView>& tasks) {
    const auto all = [&](auto predicate) { return std::all_of(tasks.begin(), tasks.end(), predicate); };
    switch (task.role) {
        case TaskRole::Prestart:
        case TaskRole::PrestartSidecar:
            return true;
        case TaskRole::Main:
            return all([](const TaskView& other) {
                if (other.role == TaskRole::Prestart) return other.dead && !other.failed;
                if (other.role == TaskRole::PrestartSidecar)
                    return other.running || (other.dead && !other.failed);
                return true;
            });
        case TaskRole::Poststart:
        case TaskRole::PoststartSidecar:
            return all([](const TaskView& other) {
                return other.role != TaskRole::Main || other.running || other.dead;
            });
        case TaskRole::Poststop:
            return all([](const TaskView& other) { return other.role == TaskRole::Poststop || other.dead; });
    }
    return false;
}

// Leader first and alone, then everything but sidecars, then sidecars; poststop tasks only when abandoned.
void kill_in_order(const std::vector<TaskView>& tasks, bool poststop_too, const KillOrder& pattern,
                   Coordination& out) {
    const auto stage_of = [](const TaskView& task) {
        if (task.leader) return 0;
        return is_sidecar(task) ? 2 : 1;
    };
    int stage = 3;
    for (const auto& task : tasks) {
        if (task.dead || (task.role == TaskRole::Poststop && !poststop_too)) continue;
        stage = std::min(stage, stage_of(task));
    }
    for (const auto& task : tasks) {
        if (task.dead || task.killing || (task.role == TaskRole::Poststop && !poststop_too)) continue;
        if (stage_of(task) != stage) continue;
        KillOrder order = pattern;
        order.task = task.name;
        out.kill.push_back(std::move(order));
    }
}

}  // namespace

TaskRole task_role(const std::string& hook, bool sidecar) {
    if (hook == "prestart") return sidecar ? TaskRole::PrestartSidecar : TaskRole::Prestart;
    if (hook == "poststart") return sidecar ? TaskRole::PoststartSidecar : TaskRole::Poststart;
    if (hook == "poststop") return TaskRole::Poststop;
    return TaskRole::Main;
}

bool all_dead(const std::vector<TaskView>& tasks) {
    return std::all_of(tasks.begin(), tasks.end(), [](const TaskView& task) { return task.dead; });
}

Coordination coordinate(const std::vector<TaskView>& tasks, Wanted wanted) {
    Coordination out;
    const bool ending = wanted != Wanted::Run;
    bool winding_down = ending;
    if (ending) {
        kill_in_order(tasks, wanted == Wanted::Abandon, KillOrder{}, out);
    } else {
        const auto failed = std::find_if(tasks.begin(), tasks.end(), [](const TaskView& task) {
            return task.dead && task.failed && task.role != TaskRole::Poststop;
        });
        const auto leader = std::find_if(tasks.begin(), tasks.end(),
                                         [](const TaskView& task) { return task.leader && task.dead; });
        const bool main_dead = std::all_of(tasks.begin(), tasks.end(), [](const TaskView& task) {
            return task.dead || is_sidecar(task) || task.role == TaskRole::Poststop;
        });
        winding_down = failed != tasks.end() || leader != tasks.end() || main_dead;
        if (failed != tasks.end()) {
            kill_in_order(tasks, false, KillOrder{"", KillOrder::Why::SiblingFailed, failed->name}, out);
        } else if (leader != tasks.end()) {
            kill_in_order(tasks, false, KillOrder{"", KillOrder::Why::LeaderDead, ""}, out);
        } else if (main_dead) {
            kill_in_order(tasks, false, KillOrder{"", KillOrder::Why::MainDead, ""}, out);
        }
    }
    for (const auto& task : tasks) {
        if (task.begun || task.dead || task.killing) continue;
        const bool poststop = task.role == TaskRole::Poststop;
        if (winding_down && (!poststop || wanted == Wanted::Abandon)) continue;
        if (gate_open(task, tasks)) out.start.push_back(task.name);
    }
    return out;
}

ClientStatus client_status(const std::vector<TaskView>& tasks) {
    bool pending = false;
    bool running = false;
    for (const auto& task : tasks) {
        if (task.dead && task.failed) return {"failed", "Failed tasks"};
        running = running || task.running;
        pending = pending || (!task.running && !task.dead);
    }
    if (running) return {"running", "Tasks are running"};
    if (pending) return {"pending", "No tasks have started"};
    return {"complete", "All tasks have completed"};
}

}  // namespace drover::agent
