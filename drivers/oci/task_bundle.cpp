// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/task_bundle.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/users.h"
#include "drivers/oci/capabilities.h"

namespace drover::drivers::oci {
namespace {

constexpr char kDefaultUser[] = "nobody";

Result<bool> is_private(const std::string& mode, const std::string& fallback, std::string_view field) {
    const std::string& chosen = mode.empty() ? fallback : mode;
    if (chosen == "private") return true;
    if (chosen == "host") return false;
    return make_error(Code::InvalidArgument, "{}: expected \"private\" or \"host\", found \"{}\"", field, chosen);
}

Result<std::vector<std::string>> propagation(const std::string& mode) {
    if (mode.empty() || mode == "private") return std::vector<std::string>{"rprivate"};
    if (mode == "host-to-task") return std::vector<std::string>{"rslave"};
    if (mode == "bidirectional") return std::vector<std::string>{"rshared"};
    return make_error(Code::InvalidArgument,
                      "propagation_mode: expected private, host-to-task or bidirectional, found \"{}\"", mode);
}

Result<Device> device_node(const sdk::DeviceNode& node) {
    struct stat info {};
    if (::stat(node.host_path.c_str(), &info) != 0) return Error::from_errno("device " + node.host_path);
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode))
        return make_error(Code::InvalidArgument, "device {}: is no device node", node.host_path);
    return Device{.path = node.task_path,
                       .type = S_ISBLK(info.st_mode) ? 'b' : 'c',
                       .major = major(info.st_rdev),
                       .minor = minor(info.st_rdev),
                       .mode = info.st_mode & 0777,
                       .uid = info.st_uid,
                       .gid = info.st_gid,
                       .access = node.cgroup_permissions.empty() ? "rwm" : node.cgroup_permissions};
}

// The task's own directories, then what the agent adds (volumes, devices' files).
Result<std::vector<BindMount>> task_mounts(const sdk::TaskConfig& task, const HostView& host) {
    std::vector<BindMount> mounts;
    for (const std::string& path : host.directories)
        mounts.push_back({path, path, {"ro", "nosuid", "nodev", "rslave"}});
    mounts.push_back({task.shared_alloc_dir(), "/alloc", {"nosuid", "nodev", "rprivate"}});
    for (const char* name : {"local", "secrets", "tmp"})
        mounts.push_back({join_path(task.task_dir(), name), std::string("/") + name, {"nosuid", "nodev", "rprivate"}});
    for (const sdk::Mount& mount : task.mounts) {
        if (mount.task_path.empty() || mount.task_path[0] != '/')
            return make_error(Code::InvalidArgument, "mount: \"{}\" is no absolute path", mount.task_path);
        if (!path_exists(mount.host_path))
            return make_error(Code::NotFound, "mount {}: \"{}\" does not exist", mount.task_path, mount.host_path);
        DROVER_TRY(auto options, propagation(mount.propagation_mode));
        if (mount.read_only) options.push_back("ro");
        mounts.push_back({mount.host_path, mount.task_path, std::move(options)});
    }
    return mounts;
}

}  // namespace

Result<Bundle> task_bundle(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin, const HostView& host, const std::string& dir) {
    Bundle bundle;
    bundle.root = dir + "/root";
    DROVER_TRY(bundle.private_pid, is_private(config.pid_mode, plugin.default_pid_mode, "pid_mode"));
    DROVER_TRY(bundle.private_ipc, is_private(config.ipc_mode, plugin.default_ipc_mode, "ipc_mode"));
    DROVER_TRY(bundle.capabilities, task_capabilities(plugin.allow_caps, config.cap_add, config.cap_drop));
    DROVER_TRY(auto user, find_user(task.user.empty() ? kDefaultUser : task.user));
    bundle.uid = user.uid;
    bundle.gid = user.gid;
    bundle.groups = user.groups;
    DROVER_TRY(bundle.mounts, task_mounts(task, host));
    for (const sdk::DeviceNode& node : task.devices) {
        DROVER_TRY(auto device, device_node(node));
        bundle.devices.push_back(std::move(device));
    }
    if (!config.work_dir.empty()) bundle.work_dir = config.work_dir;
    if (bundle.work_dir[0] != '/')
        return make_error(Code::InvalidArgument, "work_dir: must be an absolute path, found \"{}\"", bundle.work_dir);
    for (const auto& [key, value] : task.env) bundle.env.push_back(key + "=" + value);
    if (!task.env.contains("PATH")) bundle.env.push_back(std::string("PATH=") + kDefaultPath);

    if (task.network_isolation && task.network_isolation->mode == sdk::NetworkMode::Group) {
        bundle.network_namespace = task.network_isolation->path;
        if (task.network_isolation->hosts) bundle.hostname = task.network_isolation->hosts->hostname;
    }
    return bundle;
}

std::vector<ViewEntry> view_of(const Bundle& bundle, const HostView& host) {
    std::vector<ViewEntry> view;
    // Later mounts cover earlier ones.
    for (auto it = bundle.mounts.rbegin(); it != bundle.mounts.rend(); ++it)
        view.push_back({it->destination, it->source});
    for (const auto& [path, target] : host.symlinks) view.push_back({path, path});
    return view;
}

cgroup::Limits task_limits(const sdk::Resources& resources) {
    cgroup::Limits limits;
    if (resources.cpu_mhz > 0)
        limits.cpu_shares = static_cast<uint64_t>(std::clamp<int64_t>(resources.cpu_mhz, 2, 262'144));
    limits.cpuset_cpus = resources.linux_resources.cpuset_cpus;
    constexpr int64_t kMb = 1 << 20;
    if (int64_t hard_mb = std::max(resources.memory_mb, resources.memory_max_mb); hard_mb > 0) {
        limits.memory_limit_bytes = hard_mb * kMb;
        limits.memory_swap_bytes = 0;
        if (resources.memory_mb > 0 && resources.memory_mb < hard_mb)
            limits.memory_soft_bytes = resources.memory_mb * kMb;
    }
    return limits;
}

}  // namespace drover::drivers::oci
