// SPDX-License-Identifier: Apache-2.0
// LogSpool: the place between the daemon's log and the task's stdout and stderr, such that a kill -9 at any
// instruction loses no byte and doubles none. Messages are appended to a file, then one commit says that they
// are there and up to where the daemon's log was read; from the file they are moved by sendfile(2), which
// leaves the new offset in a page shared with the disk before it returns: a killed process cannot have sent
// without having recorded it.
//
//   <dir>/log.state     the mapped page
//   <dir>/log.<n>.<g>   what stream n has to send, generation g; a new one is begun when it is long and all
//   is sent
//
// Not thread-safe. Survives the plugin and the agent, not the machine (neither do pipes).
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "drivers/docker/log_parser.h"

namespace drover::drivers {

class LogSpool {
 public:
    // Makes the files in `dir` or takes them over.
    static Result<LogSpool> open(const std::string& dir);
    LogSpool(LogSpool&&) noexcept = default;
    LogSpool& operator=(LogSpool&&) noexcept = default;

    // What has been committed, this process's predecessors included.
    LogPosition position() const;

    // Adds to what the next commit() makes valid.
    Status append(LogSource source, std::string_view bytes);
    Status commit(const LogPosition& position);

    // Moves committed bytes to `out` (a FIFO, non-blocking, or a file at its end). False: it is full now.
    // EPIPE is Unavailable.
    Result<bool> send(LogSource source, int out);
    uint64_t unsent(LogSource source) const;
    // Enough for now: append no more before some is sent.
    bool full() const;

 private:
    struct Shared;
    struct Unmap {
        void operator()(Shared* shared) const;
    };
    struct Stream {
        UniqueFd file;
        uint64_t appended = 0;  // bytes in the file, committed or not
    };
    LogSpool() = default;
    Status rotate(size_t stream);
    std::string path(size_t stream, uint64_t generation) const;

    std::string dir_;
    std::unique_ptr<Shared, Unmap> shared_;
    std::array<Stream, 2> streams_;
};

}  // namespace drover::drivers
