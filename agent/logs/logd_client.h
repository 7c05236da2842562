// SPDX-License-Identifier: Apache-2.0
// The agent's side of drover-logd: starts it when it is not there, tells it which FIFOs to drain into which
// files, hears of full disks. Streams live in files under <data_dir>/client/logd/, so what was added stays
// added whoever is killed. Used by the log hook (tasks) and by the plugin host (plugins' stdout and stderr).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::agent {

// One FIFO and the files it is drained into: <dir>/<name>.0, .1, ... and the link <dir>/<name> to the active
// one.
struct LogStream {
    std::string id;    // unique and stable: "<alloc id>/<task>/stdout", "plugin/raw_exec/stderr"
    std::string fifo;  // absolute path; made (0600) by add() when missing
    std::string dir;   // absolute path, must exist; its last component is never followed when a symlink
    std::string name;  // "web.stdout"; no '/'
    uint32_t max_files = 10;
    uint64_t max_file_bytes = 10u << 20;

    friend bool operator==(const LogStream&, const LogStream&) = default;
};

// The disk under a stream's files is full (its writers wait, nothing is lost), or there is room again.
struct LogEvent {
    std::string stream_id;
    bool full = false;
    int error_number = 0;
    std::string message;
};

struct LogStreamStatus {
    std::string id;
    uint64_t waiting_bytes = 0;  // in the pipe
    uint64_t file_index = 0;
    bool full = false;
};

struct LogdOptions {
    std::string state_dir;  // <data_dir>/client/logd; made with 0700 when missing
    std::string binary;     // drover-logd
    std::string cgroup;     // "<parent>/logd"; empty: none
};

// Thread-safe. Calls block for one exchange on a unix socket (milliseconds; seconds while logd is being
// restarted).
class LogdClient {
 public:
    static Result<std::unique_ptr<LogdClient>> open(LogdOptions options);
    ~LogdClient();  // logd goes on

    // Starts the keeper unless one lives. Called by add() too; the agent calls it at start, and after that a
    // thread of this client sees a dead keeper at once and starts the next.
    Status ensure_running();

    // Makes the FIFO when missing and has logd hold and drain it; when this returns, both processes have it
    // open, so that a writer can be started. Adding again what is there is fine; other limits replace the old
    // ones.
    Status add(const LogStream& stream);

    // Once the writers are gone: returns when the FIFO is empty, i.e. every byte is in the files.
    // DeadlineExceeded otherwise (disk full): the stream goes on as before. A stream that is not there is
    // success.
    Status flush(const std::string& id, int64_t timeout_ns);

    // Forgets a stream; bytes still in the pipe are lost unless flushed. Does not unlink the FIFO or the
    // files.
    Status remove(const std::string& id);

    Result<std::vector<LogStreamStatus>> status();
    std::vector<LogStream> streams() const;  // as persisted

    // Called on this client's thread, once per change, also for what was full before the agent came back.
    void on_event(std::function<void(const LogEvent&)> callback);

    // `-dev` and tests: ends keeper and worker.
    Status shutdown();

    pid_t keeper_pid();  // 0: none
    pid_t worker_pid();

 private:
    struct Impl;
    explicit LogdClient(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::agent
