// SPDX-License-Identifier: Apache-2.0
// An OCI bundle: the config.json and the root directory that runc or crun starts a container from. The root is made of
// read-only bind mounts, of this machine's directories or of those of an unpacked image: nothing is copied, and a crash
// leaves no mount behind, since they are the container's own. config_json() is pure; make_root() makes mount points.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
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

struct Rlimit {
    std::string type;  // "RLIMIT_NOFILE"
    uint64_t soft = 0;
    uint64_t hard = 0;
    friend bool operator==(const Rlimit&, const Rlimit&) = default;
};

// The container's ids 0..count-1 are the machine's first..first+count-1, users and groups alike.
struct IdMap {
    uint32_t first = 0;
    uint32_t count = 0;
    friend bool operator==(const IdMap&, const IdMap&) = default;
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
    std::vector<Rlimit> rlimits;
    bool no_new_privileges = false;
    std::string seccomp;          // OCI's linux.seccomp as JSON text; empty: unconfined
    std::optional<IdMap> id_map;  // a user namespace; needs private_pid and private_ipc
    std::string cgroup;           // "drover/x/container"; empty: the runtime's default
};

// Where the root of a container with a user namespace is mounted: a directory that anybody can walk to and that is the
// source of no other mount. It must exist, and stays empty: the mount is the container's own.
inline constexpr char kCoveredRoot[] = "/run/drover-root";

// The text of config.json.
std::string config_json(const Bundle& bundle);

// What a task's root is made of: mounts, and symlinks made again (as /bin is where /usr is merged).
struct HostView {
    struct Entry {
        std::string source;       // on this machine
        std::string destination;  // for the task
        bool is_directory = true;
        friend bool operator==(const Entry&, const Entry&) = default;
    };
    std::vector<Entry> entries;
    std::vector<std::pair<std::string, std::string>> symlinks;  // destination, target
};
// Those of `wanted` (this machine's path -> the task's) that exist.
HostView host_view(const std::map<std::string, std::string>& wanted);
const std::map<std::string, std::string>& default_host_paths();
// What an unpacked image has at its top, but for what each task gets anew (/proc, /dev, /tmp, ...).
Result<HostView> image_view(const std::string& dir);

// Makes the root with a place for each mount and the symlinks; again is fine. The root itself stays read-only in the
// container: what a task writes goes to its own directories.
Status make_root(const std::string& root, const HostView& view, const std::vector<std::string>& mount_points);

}  // namespace drover::drivers::oci
