// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/bundle.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace drover::drivers::oci {
namespace {

using nlohmann::json;

// Each task's own, whatever an image has there.
constexpr const char* kOwnPaths[] = {"proc", "dev", "sys", "tmp", "alloc", "local", "secrets"};

json mount(std::string destination, std::string type, std::string source, std::vector<std::string> options) {
    return {{"destination", std::move(destination)},
            {"type", std::move(type)},
            {"source", std::move(source)},
            {"options", std::move(options)}};
}

json all_mounts(const Bundle& bundle) {
    json out = json::array();
    // With a user namespace the root itself is a mount: the runtime, nobody on this machine by then, could not walk to
    // it, but is given its mounts' sources open.
    if (bundle.id_map) out.push_back(mount("/", "bind", bundle.root, {"rbind", "rprivate"}));
    out.push_back(mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}));
    out.push_back(mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}));
    out.push_back(mount("/dev/pts", "devpts", "devpts",
                        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}));
    // The machine's shared memory goes with its ipc namespace.
    if (bundle.private_ipc) {
        out.push_back(mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}));
        out.push_back(mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}));
    } else {
        out.push_back(mount("/dev/shm", "bind", "/dev/shm", {"rbind", "nosuid", "noexec", "nodev"}));
        out.push_back(mount("/dev/mqueue", "bind", "/dev/mqueue", {"rbind", "nosuid", "noexec", "nodev"}));
    }
    if (bundle.id_map)  // a sysfs belongs to the network namespace's owner
        out.push_back(mount("/sys", "bind", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}));
    else
        out.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
    for (const BindMount& bind : bundle.mounts) {
        std::vector<std::string> options = {"rbind"};
        options.insert(options.end(), bind.options.begin(), bind.options.end());
        out.push_back(mount(bind.destination, "bind", bind.source, std::move(options)));
    }
    return out;
}

json namespaces(const Bundle& bundle) {
    json out = json::array({{{"type", "mount"}}});
    if (bundle.private_pid) out.push_back({{"type", "pid"}});
    if (bundle.private_ipc) out.push_back({{"type", "ipc"}});
    if (bundle.id_map) out.push_back({{"type", "user"}});
    if (!bundle.hostname.empty()) out.push_back({{"type", "uts"}});
    if (!bundle.network_namespace.empty()) out.push_back({{"type", "network"}, {"path", bundle.network_namespace}});
    return out;
}

json linux_part(const Bundle& bundle) {
    json devices = json::array();
    json rules = json::array({{{"allow", false}, {"access", "rwm"}}});
    for (const Device& device : bundle.devices) {
        devices.push_back({{"path", device.path},
                           {"type", std::string(1, device.type)},
                           {"major", device.major},
                           {"minor", device.minor},
                           {"fileMode", device.mode},
                           {"uid", device.uid},
                           {"gid", device.gid}});
        rules.push_back({{"allow", true},
                         {"type", std::string(1, device.type)},
                         {"major", device.major},
                         {"minor", device.minor},
                         {"access", device.access}});
    }
    json out = {{"namespaces", namespaces(bundle)},
                {"devices", std::move(devices)},
                {"resources", {{"devices", std::move(rules)}}},
                // Slaves: what the machine mounts later below a directory shows up, nothing goes the other way.
                {"rootfsPropagation", "rslave"},
                {"maskedPaths",
                 {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                  "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"}},
                {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}};
    if (!bundle.cgroup.empty()) out["cgroupsPath"] = "/" + bundle.cgroup;
    if (!bundle.seccomp.empty()) out["seccomp"] = json::parse(bundle.seccomp, nullptr, false);
    if (bundle.id_map) {
        const json map = json::array(
            {{{"containerID", 0}, {"hostID", bundle.id_map->first}, {"size", bundle.id_map->count}}});
        out["uidMappings"] = map;
        out["gidMappings"] = map;
    }
    return out;
}

}  // namespace

std::string config_json(const Bundle& bundle) {
    json capabilities;
    for (const char* set : {"bounding", "effective", "inheritable", "permitted", "ambient"})
        capabilities[set] = bundle.capabilities;
    json rlimits = json::array();
    for (const Rlimit& limit : bundle.rlimits)
        rlimits.push_back({{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}});
    json config = {{"ociVersion", "1.0.2"},
                   {"process",
                    {{"terminal", false},
                     {"user", {{"uid", bundle.uid}, {"gid", bundle.gid}, {"additionalGids", bundle.groups}}},
                     {"args", bundle.args},
                     {"env", bundle.env},
                     {"cwd", bundle.work_dir},
                     {"capabilities", std::move(capabilities)},
                     {"rlimits", std::move(rlimits)},
                     {"noNewPrivileges", bundle.no_new_privileges}}},
                   {"root", {{"path", bundle.id_map ? std::string(kCoveredRoot) : bundle.root}, {"readonly", true}}},
                   {"mounts", all_mounts(bundle)},
                   {"linux", linux_part(bundle)}};
    if (!bundle.hostname.empty()) config["hostname"] = bundle.hostname;
    // Arguments and environment may hold any bytes; JSON may not.
    return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

const std::map<std::string, std::string>& default_host_paths() {
    static const std::map<std::string, std::string> paths = [] {
        std::map<std::string, std::string> out;
        for (const char* path : {"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
                                 "/run/resolvconf", "/run/systemd/resolve"})
            out.emplace(path, path);
        return out;
    }();
    return paths;
}

HostView host_view(const std::map<std::string, std::string>& wanted) {
    HostView view;
    for (const auto& [source, destination] : wanted) {
        struct stat info {};
        if (::lstat(source.c_str(), &info) != 0) continue;
        if (!S_ISLNK(info.st_mode)) {
            view.entries.push_back({source, destination, S_ISDIR(info.st_mode)});
            continue;
        }
        std::string target(4096, '\0');
        ssize_t size = ::readlink(source.c_str(), target.data(), target.size());
        if (size <= 0) continue;
        target.resize(static_cast<size_t>(size));
        view.symlinks.emplace_back(destination, target);
    }
    return view;
}

Result<HostView> image_view(const std::string& dir) {
    DROVER_TRY(auto names, list_dir(dir));
    std::map<std::string, std::string> wanted;
    for (const std::string& name : names)
        if (std::find(std::begin(kOwnPaths), std::end(kOwnPaths), name) == std::end(kOwnPaths))
            wanted.emplace(join_path(dir, name), "/" + name);
    return host_view(wanted);
}

Status make_root(const std::string& root, const HostView& view, const std::vector<std::string>& mount_points) {
    DROVER_CHECK(make_dirs(root, 0755));
    auto make_parent = [&](const std::string& path) { return make_dirs(path.substr(0, path.rfind('/')), 0755); };
    for (const HostView::Entry& entry : view.entries) {
        const std::string path = root + entry.destination;
        if (entry.is_directory) {
            DROVER_CHECK(make_dirs(path, 0755));
        } else {
            DROVER_CHECK(make_parent(path));
            DROVER_CHECK(write_file(path, "", 0644));
        }
    }
    for (const auto& [path, target] : view.symlinks) {
        const std::string link = root + path;
        DROVER_CHECK(make_parent(link));
        if (::symlink(target.c_str(), link.c_str()) != 0 && errno != EEXIST)
            return Error::from_errno("symlink " + link);
    }
    for (const std::string& path : mount_points) DROVER_CHECK(make_dirs(root + path, 0755));
    return {};
}

}  // namespace drover::drivers::oci
