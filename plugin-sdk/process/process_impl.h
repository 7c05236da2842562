// SPDX-License-Identifier: Apache-2.0
// What ProcessHost and ProcessTask share. The watch thread owns the connections; a task's status sits behind
// its own mutex, because any thread may ask for it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "base/fd.h"
#include "base/sys/shim_wire.h"
#include "drover/process_task.h"

namespace drover::sdk {

struct ProcessTask::Impl {
    // Set before the task is shared, constant afterwards.
    std::string id;
    std::string dir;
    UniqueFd dir_fd;
    UniqueFd pidfd;  // invalid when the process was gone already
    std::optional<cgroup::Cgroup> group;
    std::mutex stats_mutex;
    std::optional<cgroup::StatsReader> stats;  // from the first sample on
    ProcessHost::Impl* host = nullptr;

    mutable std::mutex mutex;
    mutable std::condition_variable changed;
    ProcessStatus status;
    std::vector<std::function<void(const ProcessStatus&)>> callbacks;

    // Of the watch thread.
    UniqueFd connection;
    std::string received;
    int64_t retry_at_ns = 0;  // when not connected
    int64_t retry_nap_ns = 0;
    int64_t next_adopt_ns = 0;  // not before
    int64_t adopt_backoff_ns = 0;

    // Takes the end over and calls back; later calls change nothing.
    void finish(const shim::Record& record);
    bool ended() const;
};

ProcessStatus to_status(const shim::Record& record);

struct ProcessHost::Impl {
    ProcessHostOptions options;
    std::string shim;
    std::vector<std::string> shim_join;

    std::thread thread;
    UniqueFd epoll;
    UniqueFd wake;
    std::atomic<bool> stopping{false};
    std::mutex mutex;  // of `added`
    std::vector<std::shared_ptr<ProcessTask::Impl>> added;

    // Of the watch thread: tasks that have not ended, by connection or waiting for one.
    std::map<int, std::shared_ptr<ProcessTask::Impl>> connected;
    std::vector<std::shared_ptr<ProcessTask::Impl>> retrying;

    void watch(std::shared_ptr<ProcessTask::Impl> task);  // any thread
    void run();
    void read_connection(int fd);
    void lose_connection(int fd);
    // True when the task needs no more attempts: connected or ended.
    bool attempt(const std::shared_ptr<ProcessTask::Impl>& task);

    Result<std::shared_ptr<ProcessTask::Impl>> make_task(const std::string& id, const std::string& dir);
    // Removes what a start left that got nowhere. Unavailable: it may get somewhere yet.
    Status clear_unstarted(ProcessTask::Impl* task);
    // The spec's bytes, with the files of the task's group; makes nothing yet.
    Status place(const ProcessSpec& spec, std::optional<cgroup::Cgroup>* group, std::string* spec_bytes);
};

// Removes what a task directory holds except FIFOs, records last, then the directory when nothing is left.
// The caller has its lock.
Status clear_task_dir(const std::string& dir);

constexpr int64_t kShimAnswerNs = 20'000'000'000;  // far beyond what a healthy shim takes, its kill included

}  // namespace drover::sdk
