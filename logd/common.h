// SPDX-License-Identifier: Apache-2.0
// What keeper and worker share: the directory, locks, notes, opening a stream's FIFO, a little server. Built
// without exceptions; only base/sys.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/sys/logd_wire.h"
#include "base/sys/proc.h"

namespace drover::logd {

constexpr int kPipeBytes = 1 << 20;

struct Home {
    const char* path = nullptr;
    int fd = -1;
};

void note(const Home& home, const char* who, const char* what, const char* detail, int error_number);
// Takes the lock and writes our pid into it; -1 when somebody has it (or with patience: waits for it).
enum class Patience { None, Seconds, Forever };
int take_lock(const Home& home, const char* name, Patience patience);
pid_t lock_holder(const Home& home, const char* name);  // as written there; 0: nothing
void calm_process();  // all signals blocked, not the OOM killer's first choice, as many descriptors as
                      // allowed

// A stream's file in memory.
struct StreamFile {
    char bytes[kStreamBytesMax];
    StreamView view;
};
// nullptr when loaded, else why not.
const char* load_stream(const Home& home, uint64_t key, StreamFile* file, int* error_number);
std::vector<uint64_t> stream_keys(const Home& home);
// Opens the FIFO that was meant, read-write; when its path is gone, through the descriptor of `other` (the
// other process of logd). -1 with errno.
int open_fifo(const StreamView& view, pid_t other);

// A listening unix socket and its clients. The owner polls the descriptors and calls back in.
struct Connection {
    int fd = -1;
    size_t used = 0;
    bool watching = false;
    char bytes[sizeof(RequestFrame)];
};
class Server {
 public:
    bool listen(const Home& home, const char* name);
    int fd() const { return listen_fd_; }
    std::vector<Connection>& connections() { return connections_; }
    int accept();  // the new descriptor or -1
    // 1: `frame` holds the next request; 0: nothing yet; -1: closed.
    int read(Connection& connection, RequestFrame* frame);
    void send(Connection& connection, const Reply& reply);  // closes a connection that does not take it
    void close(Connection& connection);
    void sweep();  // forgets closed connections

 private:
    int listen_fd_ = -1;
    std::vector<Connection> connections_;
};

int run_keeper(const Home& home);
int run_worker(const Home& home, pid_t keeper);

}  // namespace drover::logd
