// SPDX-License-Identifier: Apache-2.0
// Small whole-file and directory operations with errors that name the path. No caching, no globbing.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace drover {

// The whole file as bytes; refuses more than `bytes_max` (ResourceExhausted).
Result<std::string> read_file(const std::string& path, uint64_t bytes_max = 256u << 20);

// Replaces the file atomically and durably: temporary file beside it, write, fsync, rename, fsync of the
// directory. After a crash the old or the new content is there, never a mixture.
Status write_file_durable(const std::string& path, std::string_view bytes, mode_t mode = 0600);

// Writes without durability (cgroup and proc files, tests).
Status write_file(const std::string& path, std::string_view bytes, mode_t mode = 0600);

// mkdir -p; existing directories keep their mode, new ones get exactly `mode` whatever the umask.
Status make_dirs(const std::string& path, mode_t mode = 0700);

// rm -rf that never follows symlinks and never crosses into another mount; a missing path is success.
Status remove_tree(const std::string& path);

// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> list_dir(const std::string& path);

bool path_exists(const std::string& path);

Status write_all(int fd, std::string_view bytes);
Status set_nonblocking(int fd);

// "a" + "b" -> "a/b"; an absolute second part is joined too (never replaces the first).
std::string join_path(std::string_view a, std::string_view b);

}  // namespace drover
