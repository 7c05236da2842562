// SPDX-License-Identifier: Apache-2.0
// One FIFO and the files it is drained into. The state is the files themselves: the highest number is the
// active one, its end is where to go on. Used by the worker alone.
#pragma once
#include <string>

#include "logd/common.h"

namespace drover::logd {

// Scratch for finding the newline near the size limit; one for all streams. Holds copies only (tee).
struct Scratch {
    int pipe_read = -1;
    int pipe_write = -1;
    char* bytes = nullptr;  // kScratchBytes, given back to the kernel after use
    bool open();
    void forget();
};
constexpr size_t kOvershootMax = 16 << 10;  // a line may run that far over the limit before it is cut
constexpr size_t kScratchBytes = (1 << 20) + kOvershootMax;
constexpr size_t kTurnBytesMax = 1 << 20;  // what one FIFO may move while the others wait

class Stream {
 public:
    Stream(uint64_t key, const StreamView& view);
    Stream(const Stream&) = delete;
    ~Stream();

    uint64_t key() const { return key_; }
    int fifo() const { return fifo_; }
    const std::string& fifo_path() const { return fifo_path_; }
    uint64_t index() const { return index_; }
    int trouble() const { return trouble_; }  // errno of what keeps it from writing; 0: nothing
    size_t waiting() const;                   // bytes in the pipe
    bool same_as(const StreamView& view) const;
    void set_limits(const StreamView& view);

    int open(const StreamView& view, pid_t other);  // the FIFO; errno or 0
    // Moves at most kTurnBytesMax from the FIFO into the files. Returns the bytes moved; trouble() tells if
    // it is stuck.
    size_t drain(Scratch& scratch);

 private:
    bool open_active();
    bool open_index(uint64_t index, bool exclusive);
    bool rotate();
    void point_link();
    void unlink_oldest();
    struct Cut {
        size_t bytes;
        bool then_rotate;
    };
    Cut find_cut(Scratch& scratch, size_t waiting, uint64_t size);
    bool ends_with_newline(uint64_t size) const;
    std::string file_name(uint64_t index) const;

    uint64_t key_;
    std::string fifo_path_, dir_path_, name_;
    uint64_t files_max_ = 1;
    uint64_t file_bytes_max_ = 1;
    int fifo_ = -1, dir_ = -1, file_ = -1;
    uint64_t index_ = 0;
    int trouble_ = 0;
};

}  // namespace drover::logd
