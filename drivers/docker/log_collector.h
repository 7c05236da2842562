// SPDX-License-Identifier: Apache-2.0
// LogCollector: one thread that follows the daemon's logs of all containers and writes them to the tasks'
// stdout and stderr. No process and no thread for a container. A connection that breaks (daemon restarted) is
// made again from the last position; a reader that is slow or away holds back its own task only.
//
// Crash: all is in each task's LogSpool; add() in the next process goes on where this one was killed.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "drivers/docker/engine.h"

namespace drover::drivers {

struct LogTarget {
    std::string container_id;
    std::string spool_dir;
    std::string stdout_path;
    std::string stderr_path;
    bool tty = false;
};

class LogCollector {
 public:
    explicit LogCollector(Engine& engine);
    ~LogCollector();

    // Idempotent. The thread starts with the first one.
    void add(const std::string& task_id, LogTarget target);
    // The container has ended. `done` is called once, on the collector's thread, when all its lines are
    // written, or none can be; at once for unknown tasks.
    void finish(const std::string& task_id, std::function<void()> done);
    // Forgets the task; its files are closed when this returns. A `done` still owed is called.
    void remove(const std::string& task_id);

 private:
    class Stream;
    void run();
    void wake();

    Engine& engine_;
    std::mutex mutex_;  // of streams_ and stopping_; held by the thread but for its sleep
    std::map<std::string, std::unique_ptr<Stream>> streams_;
    bool stopping_ = false;
    UniqueFd wake_;
    std::thread thread_;
};

}  // namespace drover::drivers
