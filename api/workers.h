// SPDX-License-Identifier: Apache-2.0
// Workers: a bounded set of threads for calls that block (disk, NodePort, a followed log, another agent's
// answer). Threads start when needed and end when idle, so that an idle agent has none. Thread-safe.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

namespace drover::api {

class Workers {
 public:
    Workers(size_t threads_max, size_t queue_max) : threads_max_(threads_max), queue_max_(queue_max) {}
    ~Workers() { stop(); }

    // False when every thread is busy and the queue is full, or after stop(): the caller answers "busy".
    bool run(std::function<void()> job);
    // Drops what waits, returns when what runs has ended. The jobs must have been told to end.
    void stop();

 private:
    void loop();

    const size_t threads_max_;
    const size_t queue_max_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable ended_;
    std::deque<std::function<void()>> queue_;
    size_t threads_ = 0;
    size_t running_ = 0;  // threads with a job
    bool stopping_ = false;
};

}  // namespace drover::api
