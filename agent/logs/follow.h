// SPDX-License-Identifier: Apache-2.0
// Reading a file, or a task's rotated log files, as frames, to the end or on and on: what
// /v1/client/fs/stream and /v1/client/fs/logs send. Used by node_service. Only reads; waits by inotify on the
// directory, never by polling files.
#pragma once
#include <memory>
#include <string>

#include "agent/allocdir/alloc_dir.h"
#include "base/result.h"
#include "ports/node_port.h"

namespace drover::agent {

constexpr size_t kFrameBytesMax = 64 << 10;

// One file inside the allocation directory. `origin` is "start" or "end"; the offset counts from there.
// Following, a shorter file is "file truncated" and read from its start; a removed one is "file deleted" and
// ends the stream.
Result<std::unique_ptr<ports::FrameStream>> follow_file(const AllocDir& dir, const std::string& path,
                                                        const std::string& origin, int64_t offset,
                                                        bool follow);

// <dir>/alloc/logs/<name>.N in the order of N, as if they were one file: an offset from the end may reach
// into older ones. Following, it goes on with the next file when there is one.
Result<std::unique_ptr<ports::FrameStream>> follow_logs(const AllocDir& dir, const std::string& name,
                                                        const std::string& origin, int64_t offset,
                                                        bool follow);

}  // namespace drover::agent
