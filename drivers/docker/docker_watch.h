// SPDX-License-Identifier: Apache-2.0
// DockerWatch: the two threads that notice things. One follows the daemon's events (a container died, was out
// of memory, was removed) and asks for a look at everything whenever the stream begins anew; the other does
// what has its time (image clean-up, dangling containers, exits whose log never ended).
#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "drivers/docker/engine.h"

namespace drover::drivers {

class DockerWatch {
 public:
    struct Hooks {
        // `action`: "die", "oom", "destroy". On the events' thread, as the next one.
        std::function<void(const std::string& task_id, const std::string& action)> event;
        // Events may have been missed: look at every task. Also now and then, since nothing else would notice
        // a lost one.
        std::function<void()> resync;
        // Does what is due; returns when to be called again (monotonic). On the other thread.
        std::function<int64_t()> chores;
    };

    DockerWatch(Engine& engine, std::string label, Hooks hooks);
    ~DockerWatch();
    void poke_chores();

 private:
    void follow_events();
    void read_events(HttpExchange& stream);
    void run_chores();

    Engine& engine_;
    const std::string label_;
    const Hooks hooks_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    bool poked_ = false;
    HttpExchange* open_ = nullptr;  // to interrupt it
    std::thread events_, chores_;
};

}  // namespace drover::drivers
