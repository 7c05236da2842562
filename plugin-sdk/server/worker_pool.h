// SPDX-License-Identifier: Apache-2.0
// Threads for calls that block: as many as there are jobs, up to a limit, and none when there is nothing to do (an idle
// plugin has no thread of it). Used by the services; jobs beyond the limit wait in order.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace drover::sdk {

class WorkerPool {
 public:
    explicit WorkerPool(size_t threads_max, int64_t idle_ns = 5'000'000'000)
        : threads_max_(threads_max), idle_ns_(idle_ns) {}
    ~WorkerPool();  // runs what is queued, waits for all

    // Any thread. A job must not throw.
    void post(std::function<void()> job);
    size_t threads() const;

 private:
    void run();

    const size_t threads_max_;
    const int64_t idle_ns_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable gone_;
    std::deque<std::function<void()>> jobs_;
    size_t threads_ = 0;
    size_t idle_ = 0;
    bool closing_ = false;
};

}  // namespace drover::sdk
