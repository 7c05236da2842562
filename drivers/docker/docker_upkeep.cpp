// SPDX-License-Identifier: Apache-2.0
// What happens by itself: containers end, images and containers are cleaned up.
#include <sys/stat.h>

#include <set>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/docker_driver.h"

namespace drover::drivers {
namespace {

// How long an exit waits for the end of its log. A reader that has gone must not hold it for ever.
constexpr int64_t kDrainNs = 10 * kSecond;
constexpr int64_t kSettleNs = 2 * kSecond;  // between a die event and the state that follows

}  // namespace

void DockerDriver::tell(const std::string& task_id, const std::string& alloc_id, const std::string& task_name,
                        const std::string& message, const StringMap& annotations) const {
    if (!context().emit_event) return;
    context().emit_event({.task_id = task_id,
                          .alloc_id = alloc_id,
                          .task_name = task_name,
                          .timestamp_unix_ns = unix_now(),
                          .message = message,
                          .annotations = annotations});
}

void DockerDriver::look(Core& core, const TaskPtr& task) {
    if (task->container_ended()) return;
    const bool first = task->container().id.empty();
    std::optional<ContainerInfo> info;
    if (first) {
        auto found = find_container(core, task->record.task_id);
        if (!found) return;
        info = std::move(*found);
    } else {
        auto found = core.engine->inspect(task->container().id);
        if (!found && found.error().code() != Code::NotFound) return;
        if (found) info = std::move(*found);
    }
    if (!info) {
        return set_ended(core, task,
                         {.exit_code = -1,
                          .signal = 0,
                          .oom_killed = false,
                          .error = fmt::format("the task's end was not seen: its container {} is gone",
                                               task->container().id)},
                         unix_now());
    }
    task->seen(*info);
    if (first) follow(core, task);
    if (info->running || info->status == "paused" || info->status == "restarting") return;
    set_ended(core, task, exit_of(*info), info->finished_ns ? info->finished_ns : unix_now());
}

void DockerDriver::set_ended(Core& core, const TaskPtr& task, sdk::ExitResult result, int64_t finished_ns) {
    if (!task->ended(std::move(result), finished_ns)) return;
    {
        std::lock_guard lock(mutex_);
        exits_due_[task->record.task_id] = mono_now() + kDrainNs;
    }
    core.logs.finish(task->record.task_id, [task] { task->publish(); });
    core.watch->poke_chores();
}

void DockerDriver::on_event(Core& core, const std::string& task_id, const std::string& action) {
    auto found = find(task_id);
    if (!found) return;
    const TaskPtr& task = *found;
    if (action == "oom") {
        task->note_oom();
        tell(task->record.task_id, task->record.alloc_id, task->record.name, "Container ran out of memory",
             {});
        return;
    }
    // The event may come a moment before the state.
    for (const int64_t deadline = mono_now() + kSettleNs; mono_now() < deadline; ::usleep(20'000)) {
        look(core, task);
        if (task->container_ended()) return;
    }
}

int64_t DockerDriver::chores(Core& core) {
    const DockerPluginConfig plugin = config();
    int64_t next = HttpExchange::kForever;
    std::vector<TaskPtr> overdue;
    {
        std::lock_guard lock(mutex_);
        for (auto it = exits_due_.begin(); it != exits_due_.end();) {
            auto task = tasks_.find(it->first);
            const bool told = task == tasks_.end() || task->second->exit();
            if (!told && it->second <= mono_now()) overdue.push_back(task->second);
            if (told || it->second <= mono_now()) {
                it = exits_due_.erase(it);
            } else {
                next = std::min(next, it->second);
                ++it;
            }
        }
    }
    for (const TaskPtr& task : overdue) {
        log::warn(name(), "a task's log is not written to its end", {{"task", task->record.task_id}});
        task->publish();
    }
    next = std::min(next, core.images.collect(plugin));
    const DockerDangling dangling = plugin.dangling();
    if (!dangling.enabled) return next;
    if (mono_now() >= core.dangling_at) {
        remove_dangling(core, dangling);
        core.dangling_at = mono_now() + dangling.period.count();
    }
    return std::min(next, core.dangling_at);
}

// Ours by their label, known to nobody: a start that was cut off and never asked for again. A host that comes
// back has the grace to recover its tasks first.
void DockerDriver::remove_dangling(Core& core, const DockerDangling& how) {
    auto containers = core.engine->list({std::string(kOwnerLabel) + "=" + core.owner});
    if (!containers) return;
    std::set<std::string> there;
    const int64_t youngest = (unix_now() - how.creation_grace.count()) / kSecond;
    for (const ContainerSummary& container : *containers) {
        auto label = container.labels.find(kTaskLabel);
        if (label == container.labels.end()) continue;  // a network's: removed with it
        there.insert(core.task_dir(label->second));
        if (find(label->second) || container.created_unix_s > youngest) continue;
        log::warn(name(), how.dry_run ? "dangling container found" : "removing a dangling container",
                  {{"container", container.id}, {"task", label->second}});
        if (how.dry_run || !core.engine->remove(container.id)) continue;
        there.erase(core.task_dir(label->second));
    }
    if (how.dry_run) return;
    for (const TaskPtr& task : all_tasks()) there.insert(task->dir);
    for (const std::string& entry : list_dir(core.root + "/tasks").value_or(std::vector<std::string>())) {
        const std::string dir = core.root + "/tasks/" + entry;
        struct stat info {};
        if (there.count(dir) || ::stat(dir.c_str(), &info) != 0 || info.st_mtime > youngest) continue;
        if (Status removed = remove_tree(dir); !removed)
            log::warn(name(), "cannot clean up", {{"directory", dir}, {"error", removed.error().message()}});
    }
}

}  // namespace drover::drivers
