// SPDX-License-Identifier: Apache-2.0
#include "drivers/mock/mock_task.h"

#include <fcntl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"

namespace drover::drivers {
namespace {

std::chrono::system_clock::time_point time_point(int64_t unix_ns) {
    return std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(unix_ns)));
}

}  // namespace

MockTask::MockTask(sdk::TaskConfig task, MockTaskConfig config, int64_t started_unix_ns)
    : task_(std::move(task)),
      config_(std::move(config)),
      started_unix_ns_(started_unix_ns),
      script_(config_.rpc, config_.crash_at, config_.hang_at) {
    bool recovered = unix_now() - started_unix_ns_ > kSecond / 10;
    thread_ = std::thread([this, recovered] { run(recovered); });
}

MockTask::~MockTask() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void MockTask::run(bool recovered) {
    if (!recovered && !config_.stdout_string.empty()) write_output();
    std::unique_lock lock(mutex_);
    bool completed = sleep_until(lock, time_point(started_unix_ns_ + config_.run_for.count()));
    exit_ = completed ? sdk::ExitResult{.exit_code = config_.exit_code,
                                        .signal = config_.exit_signal,
                                        .oom_killed = config_.oom_killed,
                                        .error = config_.exit_err_msg}
                      : sdk::ExitResult{};
    completed_unix_ns_ = unix_now();
    auto waiters = std::move(waiters_);
    sdk::ExitResult exit = *exit_;
    changed_.notify_all();
    lock.unlock();
    for (auto& waiter : waiters) waiter(exit);
}

bool MockTask::sleep_until(std::unique_lock<std::mutex>& lock, std::chrono::system_clock::time_point when) {
    return !changed_.wait_until(lock, when, [this] { return stopping_; });
}

void MockTask::write_output() {
    if (task_.stdout_path.empty()) return;
    UniqueFd fd(::open(task_.stdout_path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    if (!fd) {
        log::error("mock_driver", "cannot open the task's stdout",
                   {{"path", task_.stdout_path}, {"errno", errno}});
        return;
    }
    for (int32_t i = 0; i <= config_.stdout_repeat; ++i) {
        if (i > 0) {
            std::unique_lock lock(mutex_);
            if (!sleep_until(lock, std::chrono::system_clock::now() +
                                       std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                           config_.stdout_repeat_duration)))
                return;
        }
        if (!write_all(fd.get(), config_.stdout_string)) return;  // nobody reads any more
    }
}

void MockTask::wait(sdk::ExitCallback done) {
    std::unique_lock lock(mutex_);
    if (!exit_) return waiters_.push_back(std::move(done));
    sdk::ExitResult exit = *exit_;
    lock.unlock();
    done(exit);
}

void MockTask::stop(int64_t timeout_ns) {
    std::unique_lock lock(mutex_);
    auto patience = std::min(config_.kill_after, std::chrono::nanoseconds(timeout_ns));
    changed_.wait_for(lock, patience, [this] { return exit_.has_value(); });
    stopping_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return exit_.has_value(); });
}

bool MockTask::ended() const {
    std::lock_guard lock(mutex_);
    return exit_.has_value();
}

sdk::TaskStatus MockTask::status() const {
    std::lock_guard lock(mutex_);
    return {.id = task_.id,
            .name = task_.name,
            .state = exit_ ? sdk::TaskState::Exited : sdk::TaskState::Running,
            .started_unix_ns = started_unix_ns_,
            .completed_unix_ns = completed_unix_ns_,
            .exit = exit_.value_or(sdk::ExitResult{}),
            .attributes = {},
            .network = {}};
}

}  // namespace drover::drivers
