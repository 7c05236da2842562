// SPDX-License-Identifier: Apache-2.0
// TimerQueue: one thread that runs functions at monotonic times: heartbeats, delayed evaluations, nack
// timeouts, the ends of blocking queries, GC. Functions must be short; they may schedule and cancel.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace drover::server {

class TimerQueue {
 public:
    TimerQueue();
    ~TimerQueue();
    // Runs `fire` once, at or after `at` (CLOCK_MONOTONIC ns). The id is never 0.
    uint64_t schedule(int64_t at, std::function<void()> fire);
    // A timer that is firing right now on the timer thread is not waited for.
    void cancel(uint64_t id);
    void stop();  // pending timers are dropped

 private:
    void run();

    std::mutex mutex_;
    std::condition_variable wake_;
    std::map<std::pair<int64_t, uint64_t>, std::function<void()>> timers_;
    std::unordered_map<uint64_t, int64_t> at_;
    uint64_t next_id_ = 1;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace drover::server
