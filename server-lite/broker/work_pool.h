// SPDX-License-Identifier: Apache-2.0
// WorkPool: a few threads for what must not run on the log's apply thread, the timer thread or a caller's:
// answering reads, dry runs of the scheduler, watching deployments, GC.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace drover::server {

class WorkPool {
 public:
    explicit WorkPool(unsigned threads);
    ~WorkPool();
    // False when stopping: then `work` was not taken.
    bool post(std::function<void()> work);
    void stop();  // what waits is run, then the threads end

 private:
    void run();
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> queue_;
    bool stopping_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace drover::server
