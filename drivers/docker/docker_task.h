// SPDX-License-Identifier: Apache-2.0
// DockerTask: what the plugin knows of one container, and the record that finds it again.
//
//   running -> container ended (its lines are still being written) -> exited (waiters are told)
#pragma once
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "drover/usage.h"
#include "drivers/docker/engine.h"
#include "drover/config.h"
#include "drover/driver.h"

namespace drover::drivers {

// Written before the container is made, so that a crash anywhere later leaves nothing unknown.
struct TaskRecord {
    std::string task_id, alloc_id, name, image_id;
    std::string stdout_path, stderr_path;
    bool tty = false;
    bool keep_container = false;  // gc.container = false
};
const sdk::Schema<TaskRecord>& task_record_schema();

// How the container ended; the API has no signal, so 128 + n is read as signal n, as every shell does.
sdk::ExitResult exit_of(const ContainerInfo& info);

class DockerTask {
 public:
    DockerTask(TaskRecord record, std::string dir) : record(std::move(record)), dir(std::move(dir)) {}

    const TaskRecord record;
    const std::string dir;  // its state directory

    // The container as last seen. Empty id: found by its record while the daemon was away.
    void seen(const ContainerInfo& info);
    ContainerInfo container() const;

    // The container has ended: true the first time. The result is told by publish(), after the log.
    bool ended(sdk::ExitResult result, int64_t finished_unix_ns);
    void publish();
    bool container_ended() const;
    std::optional<sdk::ExitResult> exit() const;  // once published
    void on_exit(sdk::ExitCallback callback);
    // False when the timeout passes first.
    bool wait_exit(int64_t timeout_ns) const;

    sdk::TaskStatus status() const;
    void note_oom();
    sdk::TaskStats measure(const cgroup::Stats& now, double core_mhz);

 private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    ContainerInfo container_;
    std::optional<sdk::ExitResult> result_;
    int64_t finished_ns_ = 0;
    bool published_ = false;
    bool oom_seen_ = false;
    std::vector<sdk::ExitCallback> waiters_;
    sdk::UsageMeter usage_;
};

}  // namespace drover::drivers
