// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/task_bundle.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/limits.h"
#include "drivers/common/users.h"
#include "drivers/oci/capabilities.h"
#include "drivers/oci/seccomp.h"

namespace drover::drivers::oci {
namespace {

constexpr uint32_t kNobody = 65'534;  // by number: not every image or machine has the name
// For the runtime, whose processes start in the task's group. With cgroup v2 the copy in memory that runc runs itself
// from counts as well: 14.5 MB for one of its processes, and 16 MB were not enough.
int64_t memory_mb_min() { return cgroup::mounted().version == cgroup::Version::V2 ? 24 : 16; }

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
    for (const HostView::Entry& entry : host.entries)
        mounts.push_back({entry.source, entry.destination, {"ro", "nosuid", "nodev", "rslave"}});
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

// What has no say about what the task sees, only about what it may do.
Status add_confinement(const IsolationTaskConfig& config, const IsolationPluginConfig& plugin, Bundle& bundle) {
    DROVER_TRY(auto limits, parse_ulimits(config.ulimit));
    for (const sdk::ProcessRlimit& limit : limits)
        bundle.rlimits.push_back({rlimit_name(limit.resource), limit.soft, limit.hard});
    bundle.no_new_privileges = plugin.no_new_privileges;
    if (plugin.seccomp_profile.empty() || plugin.seccomp_profile == "default") {
        bundle.seccomp = default_seccomp_profile(bundle.capabilities);
    } else if (plugin.seccomp_profile != "unconfined") {
        DROVER_TRY(bundle.seccomp, load_seccomp_profile(plugin.seccomp_profile));
    }
    if (!config.userns_mode.empty() && config.userns_mode != "host")
        return make_error(Code::InvalidArgument, "userns_mode: expected \"host\" or nothing, found \"{}\"",
                          config.userns_mode);
    if (config.userns_mode == "host") return {};
    DROVER_TRY(bundle.id_map, parse_id_map(plugin.userns_host_ids));
    if (!bundle.id_map) return {};
    if (!bundle.private_pid || !bundle.private_ipc)
        return make_error(Code::InvalidArgument,
                          "pid_mode and ipc_mode \"host\" need userns_mode = \"host\": tasks have user namespaces");
    for (uint64_t id : {bundle.uid, bundle.gid})
        if (id >= bundle.id_map->count)
            return make_error(Code::InvalidArgument, "user: id {} is not among the {} of the task's user namespace", id,
                              bundle.id_map->count);
    return {};
}

// The path without symlinks, NotFound and all.
Result<std::string> real_path(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) return Error::from_errno(path);
    return std::string(resolved);
}

}  // namespace

Result<HostView> task_root(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin) {
    if (config.image_dir.empty())
        return host_view(plugin.chroot_env.empty() ? default_host_paths() : plugin.chroot_env);
    const std::string wanted =
        config.image_dir[0] == '/' ? config.image_dir : join_path(task.task_dir(), config.image_dir);
    auto path = real_path(wanted);
    if (!path) return std::move(path).error().context("image_dir");
    std::vector<std::string> allowed = plugin.image_paths;
    allowed.push_back(join_path(task.task_dir(), "local"));
    for (const std::string& base : allowed)
        if (auto real = real_path(base); real && starts_with(*path + "/", *real + "/")) return image_view(*path);
    return make_error(Code::PermissionDenied,
                      "image_dir: \"{}\" is neither in the task's local directory nor below one of the agent's "
                      "plugin config's image_paths",
                      *path);
}

Result<std::optional<IdMap>> parse_id_map(const std::string& text) {
    if (text.empty()) return std::optional<IdMap>();
    DROVER_TRY(IdRanges ids, IdRanges::parse(text, "userns_host_ids"));
    if (ids.ranges().size() != 1 || ids.ranges()[0].first == 0)
        return make_error(Code::InvalidArgument, "userns_host_ids: expected one range above 0, found \"{}\"", text);
    const auto [first, last] = ids.ranges()[0];
    return std::optional<IdMap>(IdMap{static_cast<uint32_t>(first), static_cast<uint32_t>(last - first + 1)});
}

Result<Bundle> task_bundle(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                           const IsolationPluginConfig& plugin, const HostView& host, const std::string& dir) {
    Bundle bundle;
    bundle.root = dir + "/root";
    DROVER_TRY(bundle.private_pid, is_private(config.pid_mode, plugin.default_pid_mode, "pid_mode"));
    DROVER_TRY(bundle.private_ipc, is_private(config.ipc_mode, plugin.default_ipc_mode, "ipc_mode"));
    DROVER_TRY(bundle.capabilities, task_capabilities(plugin.allow_caps, config.cap_add, config.cap_drop));
    sdk::ProcessUser user{.uid = kNobody, .gid = kNobody, .groups = {}};
    if (!task.user.empty()) {
        DROVER_TRY(user, find_user(task.user));
        DROVER_TRY(DeniedIds denied, DeniedIds::parse(plugin.denied_host_uids, plugin.denied_host_gids));
        DROVER_CHECK(denied.check(task.user, user));
    }
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

    DROVER_CHECK(add_confinement(config, plugin, bundle));
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

Result<cgroup::Limits> task_limits(const sdk::TaskConfig& task, const IsolationTaskConfig& config,
                                   const IsolationPluginConfig& plugin) {
    cgroup::Limits limits = resource_limits(task.resources);
    if (limits.memory_limit_bytes && *limits.memory_limit_bytes < memory_mb_min() << 20)
        return make_error(Code::InvalidArgument, "memory: {} MB is less than the {} MB that starting a container takes",
                          *limits.memory_limit_bytes >> 20, memory_mb_min());
    if (config.cpu_hard_limit) DROVER_CHECK(add_cpu_quota(task.resources, config.cpu_cfs_period, &limits));
    DROVER_TRY(limits.pids_max, pids_limit(config.pids_limit, plugin.pids_limit));
    // The operator's default must not keep tasks from running where the kernel cannot count.
    const std::vector<std::string> controllers = cgroup::mounted().controllers();
    if (config.pids_limit == 0 && !std::binary_search(controllers.begin(), controllers.end(), "pids"))
        limits.pids_max.reset();
    if (config.io_weight && (*config.io_weight < 1 || *config.io_weight > 10'000))
        return make_error(Code::InvalidArgument, "io_weight: expected 1 to 10000, found {}", *config.io_weight);
    limits.io_weight = config.io_weight;
    return limits;
}

}  // namespace drover::drivers::oci
