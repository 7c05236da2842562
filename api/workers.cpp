// SPDX-License-Identifier: Apache-2.0
#include "api/workers.h"

#include <system_error>
#include <thread>

namespace drover::api {
namespace {
constexpr std::chrono::seconds kIdleExit{10};
}

bool Workers::run(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    if (stopping_ || running_ + queue_.size() >= threads_max_ + queue_max_) return false;
    size_t free_threads = threads_ - running_;  // idle, or about to be
    if (free_threads <= queue_.size() && threads_ < threads_max_) {
        try {
            std::thread([this] { loop(); }).detach();  // counted in threads_, waited for in stop()
            ++threads_;
        } catch (const std::system_error&) {
            if (threads_ == 0) return false;
        }
    }
    queue_.push_back(std::move(job));
    wake_.notify_one();
    return true;
}

void Workers::loop() {
    std::unique_lock lock(mutex_);
    while (true) {
        bool woken = wake_.wait_for(lock, kIdleExit, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_ || !woken) break;
        auto job = std::move(queue_.front());
        queue_.pop_front();
        ++running_;
        lock.unlock();
        job();
        job = nullptr;  // what it holds must go before the lock is taken again
        lock.lock();
        --running_;
    }
    --threads_;
    ended_.notify_all();
}

void Workers::stop() {
    std::deque<std::function<void()>> dropped;
    std::unique_lock lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
    wake_.notify_all();
    ended_.wait(lock, [this] { return threads_ == 0; });
}

}  // namespace drover::api
