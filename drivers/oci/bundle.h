// SPDX-License-Identifier: Apache-2.0
// An OCI bundle: the config.json and the root directory that runc or crun starts a container from. The root is made of
// bind mounts of this machine's own directories, read-only, so nothing is copied and no image is needed. Used by exec
// (java later). config_json() is pure; make_root() writes directories only.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::drivers::oci {

struct BindMount {
    std::string source;                // on this machine
    std::string destination;           // in the container
    std::vector<std::string> options;  // beside rbind: "ro", "nosuid", "rprivate", ...
    friend bool operator==(const BindMount&, const BindMount&) = default;
};

struct Device {
    std::string path;  // in the container
    char type = 'c';   // c, b, p
    int64_t major = 0;
    int64_t minor = 0;
    uint32_t mode = 0;  // permission bits
    uid_t uid = 0;
    gid_t gid = 0;
    std::string access;  // of "rwm"
    friend bool operator==(const Device&, const Device&) = default;
};

struct Bundle {
    std::string root;  // the root directory's path
    std::vector<std::string> args;
    std::vector<std::string> env;
    std::string work_dir = "/";
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
    std::vector<std::string> capabilities;  // "CAP_CHOWN", ...: all the task may have, also without being root
    bool private_pid = true;
    bool private_ipc = true;
    std::string network_namespace;  // path; empty: the machine's
    std::string hostname;           // not empty: a uts namespace with it
    std::vector<BindMount> mounts;
    std::vector<Device> devices;
    std::string cgroup;  // "drover/x/container"; empty: the runtime's default
};

// The text of config.json.
std::string config_json(const Bundle& bundle);

// What of this machine a task sees: those of `wanted` that exist. A directory becomes a mount, a symlink (as /bin is
// where /usr is merged) the same symlink in the root.
struct HostView {
    std::vector<std::string> directories;
    std::vector<std::pair<std::string, std::string>> symlinks;  // path, target
};
HostView host_view(const std::vector<std::string>& wanted);
const std::vector<std::string>& default_host_paths();

// Makes the root with a place for each mount and the symlinks; again is fine. The root itself stays read-only in the
// container: what a task writes goes to its own directories.
Status make_root(const std::string& root, const HostView& view, const std::vector<std::string>& mount_points);

}  // namespace drover::drivers::oci
