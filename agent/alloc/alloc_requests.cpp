// SPDX-License-Identifier: Apache-2.0
// AllocRunner's answers to the API and to events of drivers and logd; on its strand like the rest of it.
#include "agent/alloc/alloc_runner.h"
#include "agent/task/events.h"
#include "base/clock.h"
#include "model/status.h"

namespace drover::agent {

// ---------------------------------------------------------------------------------------------

const TaskRunner* AllocRunner::find(const std::string& task) const {
    const auto found = tasks_.find(task);
    return found == tasks_.end() ? nullptr : found->second.get();
}

Status AllocRunner::restart(const std::string& task, bool all_tasks) {
    if (!ready_ || destroying_ || wanted() != Wanted::Run) {
        return make_error(Code::FailedPrecondition, "allocation {:?} is not running", id_);
    }
    if (!task.empty() && !tasks_.contains(task)) {
        return make_error(Code::NotFound, "Could not find task {:?} in allocation", task);
    }
    if (all_dead(views()))
        return make_error(Code::FailedPrecondition, "restart of an alloc that should not run");
    for (auto& [name, runner] : tasks_) {
        if (!task.empty() && name != task) continue;
        if (task.empty() && !all_tasks &&
            runner->machine().record().state().state() != model::kTaskStateRunning)
            continue;
        runner->input(task_event::Restart{task.empty() && all_tasks ? "User requested all tasks to restart"
                                          : task.empty() ? "User requested running tasks to restart"
                                                         : "User requested task to restart",
                                          all_tasks});
    }
    return {};
}

void AllocRunner::signal(const std::string& task, const std::string& signal,
                         std::function<void(Status)> done) {
    if (!task.empty()) {
        const auto found = tasks_.find(task);
        if (found == tasks_.end()) return done(make_error(Code::NotFound, "Task not found"));
        return found->second->signal(signal, std::move(done));
    }
    struct All {
        std::mutex mutex;
        size_t open = 0;
        Status first;
    };
    auto all = std::make_shared<All>();
    all->open = tasks_.size();
    for (auto& [name, runner] : tasks_) {
        runner->signal(signal, [all, done](Status status) {
            std::unique_lock lock(all->mutex);
            if (!status && all->first) all->first = std::move(status);
            if (--all->open > 0) return;
            lock.unlock();
            done(all->first);
        });
    }
}

void AllocRunner::stats(const std::string& task, std::function<void(Result<Samples>)> done) {
    if (!task.empty() && !tasks_.contains(task))
        return done(make_error(Code::NotFound, "allocation {:?} has no task {:?}", id_, task));
    struct All {
        std::mutex mutex;
        size_t open = 1;
        Samples samples;
    };
    auto all = std::make_shared<All>();
    const auto one_less = [all, done] {
        {
            std::lock_guard lock(all->mutex);
            if (--all->open > 0) return;
        }
        done(std::move(all->samples));
    };
    for (auto& [name, runner] : tasks_) {
        if (!task.empty() && name != task) continue;
        {
            std::lock_guard lock(all->mutex);
            ++all->open;
        }
        runner->stats([all, one_less, name = name](Result<sdk::TaskStats> sample) {
            if (sample) {
                std::lock_guard lock(all->mutex);
                all->samples[name] = std::move(*sample);
            }
            one_less();
        });
    }
    one_less();
}

void AllocRunner::driver_event(const sdk::TaskEvent& event) {
    const auto found = tasks_.find(event.task_name);
    if (found == tasks_.end() || !ready_ || removing_) return;
    found->second->input(task_event::Note{events::driver_message(unix_now(), event.message)});
}

void AllocRunner::log_disk_full(const std::string& task, const std::string& message) {
    const auto found = tasks_.find(task);
    if (found == tasks_.end() || !ready_ || removing_) return;
    found->second->input(task_event::Note{events::disk_exceeded(unix_now(), message)});
}

}  // namespace drover::agent
