// SPDX-License-Identifier: Apache-2.0
// The directory of one allocation: built before its tasks, read by the API, destroyed when the allocation is
// collected.
//   <alloc_dir>/<alloc id>/alloc/{data,logs,tmp}          shared by the tasks, 0777
//   <alloc_dir>/<alloc id>/<task>/{local,tmp}             0777; tmp with the sticky bit
//   <alloc_dir>/<alloc id>/<task>/{secrets,private}       0700, of the task's user (plain directories, no
//   tmpfs)
// Tasks write in here and may try anything with symlinks: all paths that come from outside are opened beneath
// a directory descriptor. Blocking; call from the blocking pool.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace drover::model {
class AllocFileInfo;
}

namespace drover::agent {

struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
};

class AllocDir {
 public:
    AllocDir(std::string root, std::string alloc_id);

    const std::string& path() const { return path_; }  // <alloc_dir>/<alloc id>
    std::string shared() const { return path_ + "/alloc"; }
    std::string logs() const { return path_ + "/alloc/logs"; }
    std::string task(const std::string& name) const { return path_ + "/" + name; }

    // Makes what is missing; again is fine.
    Status build() const;
    Status build_task(const std::string& name, Owner secrets_owner) const;
    // Removes everything, never following symlinks or crossing mounts. Again is fine.
    Status destroy() const;

    // For the API. `path` is relative to the allocation directory (a leading '/' is ignored).
    // PermissionDenied when it leaves the directory or names a secret; NotFound when missing.
    Result<std::vector<model::AllocFileInfo>> list(const std::string& path) const;
    Result<model::AllocFileInfo> stat(const std::string& path) const;
    Result<UniqueFd> open(const std::string& path) const;  // a regular file, for reading

 private:
    Result<UniqueFd> open_beneath(const std::string& path, int flags) const;

    std::string path_;
};

// A user by name or number ("nobody", "1000", "1000:1000"); InvalidArgument when unknown.
Result<Owner> lookup_owner(const std::string& user);

// Go's FileMode text: "-rw-r--r--", "dtrwxrwxrwx".
std::string file_mode_text(mode_t mode);

}  // namespace drover::agent
