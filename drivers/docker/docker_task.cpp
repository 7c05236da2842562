// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/docker_task.h"

namespace drover::drivers {

const sdk::Schema<TaskRecord>& task_record_schema() {
    using R = TaskRecord;
    static const auto schema = sdk::Schema<R>()
                                   .required("task_id", &R::task_id)
                                   .optional("alloc_id", &R::alloc_id)
                                   .optional("name", &R::name)
                                   .optional("image_id", &R::image_id)
                                   .optional("stdout_path", &R::stdout_path)
                                   .optional("stderr_path", &R::stderr_path)
                                   .optional("tty", &R::tty)
                                   .optional("keep_container", &R::keep_container);
    return schema;
}

sdk::ExitResult exit_of(const ContainerInfo& info) {
    constexpr int kSignalBase = 128, kSignalMax = 64;
    const bool signalled = info.exit_code > kSignalBase && info.exit_code <= kSignalBase + kSignalMax;
    return {.exit_code = info.exit_code,
            .signal = signalled ? info.exit_code - kSignalBase : 0,
            .oom_killed = info.oom_killed,
            .error = info.exit_code == 0 ? "" : info.error};
}

void DockerTask::seen(const ContainerInfo& info) {
    std::lock_guard lock(mutex_);
    container_ = info;
}

ContainerInfo DockerTask::container() const {
    std::lock_guard lock(mutex_);
    return container_;
}

bool DockerTask::ended(sdk::ExitResult result, int64_t finished_unix_ns) {
    std::lock_guard lock(mutex_);
    if (result_) return false;
    result.oom_killed = result.oom_killed || oom_seen_;
    result_ = std::move(result);
    finished_ns_ = finished_unix_ns;
    return true;
}

void DockerTask::publish() {
    std::vector<sdk::ExitCallback> waiters;
    sdk::ExitResult result;
    {
        std::lock_guard lock(mutex_);
        if (!result_ || published_) return;
        published_ = true;
        waiters.swap(waiters_);
        result = *result_;
    }
    changed_.notify_all();
    for (const auto& waiter : waiters) waiter(result);
}

bool DockerTask::container_ended() const {
    std::lock_guard lock(mutex_);
    return result_.has_value();
}

std::optional<sdk::ExitResult> DockerTask::exit() const {
    std::lock_guard lock(mutex_);
    return published_ ? result_ : std::nullopt;
}

void DockerTask::on_exit(sdk::ExitCallback callback) {
    sdk::ExitResult result;
    {
        std::lock_guard lock(mutex_);
        if (!published_) return waiters_.push_back(std::move(callback));
        result = *result_;
    }
    callback(result);
}

bool DockerTask::wait_exit(int64_t timeout_ns) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return published_; });
}

sdk::TaskStatus DockerTask::status() const {
    std::lock_guard lock(mutex_);
    sdk::TaskStatus out{
        .id = record.task_id,
        .name = record.name,
        .state = published_ ? sdk::TaskState::Exited : sdk::TaskState::Running,
        .started_unix_ns = container_.started_ns,
        .completed_unix_ns = published_ ? finished_ns_ : 0,
        .exit = published_ ? *result_ : sdk::ExitResult(),
        .attributes = {{"container_id", container_.id}, {"pid", std::to_string(container_.pid)}},
        .network = {}};
    return out;
}

void DockerTask::note_oom() {
    std::lock_guard lock(mutex_);
    oom_seen_ = true;
}

sdk::TaskStats DockerTask::measure(const cgroup::Stats& now, double core_mhz) {
    std::lock_guard lock(mutex_);
    return usage_.measure(now, container_.started_ns, core_mhz);
}

}  // namespace drover::drivers
