// SPDX-License-Identifier: Apache-2.0
// The shim's one state and its parts. One thread, no allocation, no exceptions, no assertion: whatever
// happens, the task goes on and its end is told truthfully. Parts: launch.cpp (from spec to running),
// adopt.cpp (taking over from a killed shim), loop.cpp (watch, answer, end), tree.cpp (kill all), record.cpp
// (what is written where).
#pragma once
#include <sys/types.h>

#include <cstdint>

#include "base/sys/proc.h"
#include "base/sys/shim_wire.h"

namespace drover::shim {

constexpr int kStatusFd = 3;        // inherited: the Record of the start goes here
constexpr int kInheritedPidfd = 4;  // inherited by an adopting shim: the plugin's pidfd of the task
constexpr size_t kClientsMax = 16;
constexpr size_t kOomFilesMax = 8;

// The strings point into the mapped spec, which stays mapped: what is not touched costs no memory.
struct Spec {
    SpecReader reader;
    const char* command = nullptr;
    const char* work_dir = "/";
    const char* stdin_path = "/dev/null";
    const char* stdout_path = "/dev/null";
    const char* stderr_path = "/dev/null";
    const char* cgroup2 = nullptr;
    const char* kill_freezer = nullptr;
    const char* kill_cgroup2 = nullptr;
    const char* pid_file = nullptr;
    const char* oom_files[kOomFilesMax] = {};
    size_t oom_files_count = 0;
    uint32_t args = 0, envs = 0;
    uint32_t drain_ms = 60'000;
    uint32_t launch_ms = 60'000;
};

struct Client {
    int fd = -1;
    bool waiting = false;  // for the end of the task
    uint32_t id = 0;       // of the request it waits for
    uint32_t used = 0;
    char bytes[sizeof(FrameHeader) + sizeof(StopRequest) + 8];
};

struct Shim {
    int dir_fd = -1;
    int lock_fd = -1;
    int listen_fd = -1;
    int signal_fd = -1;
    int pidfd = -1;
    int fifo_fds[2] = {-1, -1};
    bool has_status_fd = false;
    bool is_child = false;  // the watched process is ours to reap
    bool forgotten = false;
    bool sent_kill = false;       // SIGKILL came from us, so it was not the OOM killer
    bool durable = false;         // the exit record is on disk
    bool tree_killed = false;     // what the task left behind is gone too
    char own_oom_score[16] = {};  // as inherited, restored for the task
    int64_t launch_deadline_ns = 0;
    int64_t stop_deadline_ns = 0;  // 0: none
    int64_t drain_deadline_ns = 0;
    int64_t next_try_ns = 0;  // to write the exit record again
    Record record = {};
    Spec spec;
    Client clients[kClientsMax];

    bool ended() const { return record.phase >= Phase::Exited; }
};

// record.cpp
bool read_record(int dir_fd, const char* name, Record* record);
bool write_started(Shim& shim);  // atomic, not fsynced: of use during this boot only
bool write_exit(Shim& shim);     // durable; false: try again
void reserve_exit(Shim& shim);   // so that a full disk cannot take the record away
void send_status(Shim& shim);    // to whoever started us
void note(Shim& shim, const char* what, int error_number);
void end_with(Shim& shim, Phase phase, const char* message,
              int error_number);  // fills record, writes nothing
void count_oom_kills(Shim& shim);

// launch.cpp
const char* load_spec(Shim& shim, int* error_number);
const char* open_fifos(Shim& shim, int* error_number);
const char* launch(Shim& shim, int* error_number);
void launcher_done(Shim& shim, bool status_known, int wait_status);

// adopt.cpp
void adopt(Shim& shim, int inherited_pidfd);
bool foreign_wait_status(Shim& shim, int* wait_status);

// loop.cpp
void loop(Shim& shim);

// tree.cpp
void kill_tree(Shim& shim);

}  // namespace drover::shim
