// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/worker_pool.h"

#include <thread>

namespace drover::sdk {

WorkerPool::~WorkerPool() {
    std::unique_lock lock(mutex_);
    closing_ = true;
    wake_.notify_all();
    gone_.wait(lock, [this] { return threads_ == 0; });
}

void WorkerPool::post(std::function<void()> job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_ >= jobs_.size()) {
        wake_.notify_one();
    } else if (threads_ < threads_max_) {
        ++threads_;
        std::thread([this] { run(); }).detach();
    }
}

size_t WorkerPool::threads() const {
    std::lock_guard lock(mutex_);
    return threads_;
}

void WorkerPool::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (jobs_.empty()) {
            ++idle_;
            bool woken =
                wake_.wait_for(lock, std::chrono::nanoseconds(idle_ns_), [this] { return closing_ || !jobs_.empty(); });
            --idle_;
            if (jobs_.empty() && (closing_ || !woken)) break;
            if (jobs_.empty()) continue;
        }
        std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        job = nullptr;  // what it holds goes before the lock comes back
        lock.lock();
    }
    --threads_;
    gone_.notify_all();
}

}  // namespace drover::sdk
