// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/timer_queue.h"

#include "base/clock.h"

namespace drover::server {

TimerQueue::TimerQueue() : thread_([this] { run(); }) {}
TimerQueue::~TimerQueue() {
    stop();
}

uint64_t TimerQueue::schedule(int64_t at, std::function<void()> fire) {
    std::lock_guard lock(mutex_);
    const auto id = next_id_++;
    timers_.emplace(std::pair(at, id), std::move(fire));
    at_.emplace(id, at);
    if (timers_.begin()->first.second == id) wake_.notify_one();
    return id;
}

void TimerQueue::cancel(uint64_t id) {
    std::lock_guard lock(mutex_);
    auto found = at_.find(id);
    if (found == at_.end()) return;
    timers_.erase({found->second, id});
    at_.erase(found);
}

void TimerQueue::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        if (timers_.empty()) {
            wake_.wait(lock);
            continue;
        }
        auto first = timers_.begin();
        const int64_t left = first->first.first - mono_now();
        if (left > 0) {
            wake_.wait_for(lock, std::chrono::nanoseconds(left));
            continue;
        }
        auto fire = std::move(first->second);
        at_.erase(first->first.second);
        timers_.erase(first);
        lock.unlock();
        fire();
        fire = nullptr;
        lock.lock();
    }
}

void TimerQueue::stop() {
    decltype(timers_) dropped;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        dropped.swap(timers_);
        at_.clear();
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

}  // namespace drover::server
