// SPDX-License-Identifier: Apache-2.0
// What a container sees of the machine: the task's directories always, the operator's volumes, and of the
// job's own wishes only what stays inside the allocation, unless the agent enables volumes.
#include <sys/stat.h>

#include <climits>
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"
#include "drivers/docker/container_spec.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

Error invalid(std::string message) {
    return Error(Code::InvalidArgument, std::move(message));
}

Result<std::string> real_path(const std::string& path) {
    char resolved[PATH_MAX];
    if (!::realpath(path.c_str(), resolved)) return Error::from_errno(path);
    return std::string(resolved);
}

// A symlink without a target included.
bool is_there(const std::string& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

bool inside(const std::string& path, const std::string& dir) {
    return path == dir || starts_with(path, dir == "/" ? dir : dir + "/");
}

std::vector<std::string> words(const std::string& path) {
    std::vector<std::string> out;
    for (const std::string& word : split(path, '/'))
        if (!word.empty() && word != ".") out.push_back(word);
    return out;
}

std::string bind_text(const std::string& source, const std::string& target, const std::string& options,
                      const DockerPluginConfig& plugin) {
    std::string all = options;
    if (plugin.volumes && !plugin.volumes->selinuxlabel.empty())
        all += (all.empty() ? "" : ",") + plugin.volumes->selinuxlabel;
    return source + ":" + target + (all.empty() ? "" : ":" + all);
}

Result<std::string> propagation(const std::string& mode) {
    if (mode.empty() || mode == "private") return std::string("rprivate");
    if (mode == "host-to-task") return std::string("rslave");
    if (mode == "bidirectional") return std::string("rshared");
    return invalid(
        fmt::format("propagation_mode: expected private, host-to-task or bidirectional, found \"{}\"", mode));
}

// Where a host path of the job leads; paths out of the allocation are for agents that enable volumes.
Result<std::string> host_path(const sdk::TaskConfig& task, const std::string& path,
                              const DockerPluginConfig& plugin, std::string_view field) {
    if (path.empty()) return invalid(fmt::format("{}: the path on the host is empty", field));
    if (path[0] != '/') return path_in_alloc(task, path, field);
    if (plugin.volumes_enabled()) return path;
    auto alloc = real_path(task.alloc_dir);
    auto real = real_path(path);
    if (alloc && real && inside(*real, *alloc)) return *real;
    return Error(
        Code::PermissionDenied,
        fmt::format("{}: volumes are not enabled on this agent; cannot mount host path \"{}\"", field, path));
}

// "host:container[:options]"
Result<std::string> volume(const sdk::TaskConfig& task, const std::string& text,
                           const DockerTaskConfig& config, const DockerPluginConfig& plugin) {
    auto parts = split(text, ':');
    if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty())
        return invalid(fmt::format(
            "volumes: expected \"host:container\" or \"host:container:options\", found \"{}\"", text));
    if (parts[1][0] != '/')
        return invalid(fmt::format("volumes: \"{}\" in \"{}\" is no absolute path", parts[1], text));
    const std::string options = parts.size() == 3 ? parts[2] : "";
    if (!config.volume_driver.empty()) {
        if (!plugin.volumes_enabled())
            return Error(
                Code::PermissionDenied,
                "volume_driver: volumes are not enabled on this agent; only its directories can be mounted");
        return bind_text(parts[0], parts[1], options, plugin);
    }
    DROVER_TRY(std::string source, host_path(task, parts[0], plugin, "volumes"));
    return bind_text(source, parts[1], options, plugin);
}

Result<json> bind_mount(const sdk::TaskConfig& task, const DockerMount& mount,
                        const DockerPluginConfig& plugin) {
    DROVER_TRY(std::string source, host_path(task, mount.source, plugin, "mount"));
    if (!path_exists(source))
        return Error(Code::NotFound, fmt::format("mount {}: \"{}\" does not exist", mount.target, source));
    json out{{"Type", "bind"}, {"Source", source}, {"Target", mount.target}, {"ReadOnly", mount.readonly}};
    if (mount.bind_options && !mount.bind_options->propagation.empty())
        out["BindOptions"] = {{"Propagation", mount.bind_options->propagation}};
    return out;
}

Result<json> job_mount(const sdk::TaskConfig& task, const DockerMount& mount,
                       const DockerPluginConfig& plugin) {
    if (mount.target.empty() || mount.target[0] != '/')
        return invalid(fmt::format("mount: target: \"{}\" is no absolute path", mount.target));
    if (mount.type == "bind") return bind_mount(task, mount, plugin);
    json out{{"Type", mount.type}, {"Target", mount.target}, {"ReadOnly", mount.readonly}};
    if (mount.type == "tmpfs") {
        if (!mount.source.empty())
            return invalid(fmt::format("mount {}: a tmpfs has no source", mount.target));
        json options = json::object();
        if (mount.tmpfs_options && mount.tmpfs_options->size > 0)
            options["SizeBytes"] = mount.tmpfs_options->size;
        if (mount.tmpfs_options && mount.tmpfs_options->mode > 0) options["Mode"] = mount.tmpfs_options->mode;
        if (!options.empty()) out["TmpfsOptions"] = options;
        return out;
    }
    if (mount.type != "volume")
        return invalid(fmt::format("mount {}: type: expected bind, volume or tmpfs, found \"{}\"",
                                   mount.target, mount.type));
    if (mount.source.find('/') != std::string::npos)
        return invalid(
            fmt::format("mount {}: source: \"{}\" is no volume's name", mount.target, mount.source));
    out["Source"] = mount.source;
    if (!mount.volume_options) return out;
    const DockerVolumeOptions& given = *mount.volume_options;
    json options{{"NoCopy", given.no_copy}, {"Labels", given.labels}};
    if (given.driver_config) {
        // A driver's options can name any path of the machine.
        if (!plugin.volumes_enabled())
            return Error(
                Code::PermissionDenied,
                fmt::format("mount {}: volumes are not enabled on this agent; driver_config cannot be given",
                            mount.target));
        options["DriverConfig"] = {{"Name", given.driver_config->name},
                                   {"Options", given.driver_config->options}};
    }
    out["VolumeOptions"] = options;
    return out;
}

json device(const std::string& outside, const std::string& within, const std::string& permissions) {
    return {{"PathOnHost", outside},
            {"PathInContainer", within.empty() ? outside : within},
            {"CgroupPermissions", permissions.empty() ? "rwm" : permissions}};
}

Status add_devices(const sdk::TaskConfig& task, const DockerTaskConfig& config, json& host) {
    json devices = json::array();
    auto add = [&](const std::string& outside, const std::string& within,
                   const std::string& permissions) -> Status {
        if (permissions.find_first_not_of("rwm") != std::string::npos)
            return invalid(fmt::format(
                "devices: cgroup_permissions: expected letters of \"rwm\", found \"{}\"", permissions));
        if (!path_exists(outside))
            return Error(Code::NotFound, fmt::format("devices: \"{}\" does not exist", outside));
        devices.push_back(device(outside, within, permissions));
        return {};
    };
    for (const DockerDevice& node : config.devices)
        DROVER_CHECK(add(node.host_path, node.container_path, node.cgroup_permissions));
    for (const sdk::DeviceNode& node : task.devices)
        DROVER_CHECK(add(node.host_path, node.task_path, node.cgroup_permissions));
    if (!devices.empty()) host["Devices"] = devices;
    return {};
}

}  // namespace

Result<std::string> path_in_alloc(const sdk::TaskConfig& task, const std::string& path,
                                  std::string_view field) {
    DROVER_TRY(std::string alloc, real_path(task.alloc_dir));
    DROVER_TRY(std::string at, real_path(task.task_dir()));
    auto escapes = [&] {
        return invalid(fmt::format("{}: \"{}\" leads out of the allocation's directory", field, path));
    };
    bool missing = false;
    for (const std::string& word : words(path)) {
        // What is missing is made by the daemon, as it is named: it has no ".." to go back by.
        if (word == ".." && missing) return escapes();
        std::string next = at + "/" + word;
        if (!missing) {
            auto real = real_path(next);
            if (real) next = *real;
            // A dangling symlink leads who knows where.
            else if (real.error().code() != Code::NotFound || is_there(next))
                return escapes();
            else
                missing = true;
        }
        if (!inside(next, alloc)) return escapes();
        at = next;
    }
    return at;
}

Status add_mounts(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                  const DockerPluginConfig& plugin, const ContainerFacts& facts, json& host) {
    std::vector<std::string> binds{bind_text(task.shared_alloc_dir(), "/alloc", "", plugin),
                                   bind_text(task.task_dir() + "/local", "/local", "", plugin),
                                   bind_text(task.task_dir() + "/secrets", "/secrets", "", plugin)};
    if (!facts.resolv_conf.empty()) binds.push_back(facts.resolv_conf + ":/etc/resolv.conf:ro");
    if (!facts.hosts.empty()) binds.push_back(facts.hosts + ":/etc/hosts:ro");
    for (const std::string& text : config.volumes) {
        DROVER_TRY(std::string made, volume(task, text, config, plugin));
        binds.push_back(std::move(made));
    }
    host["Binds"] = binds;

    json mounts = json::array();
    for (const auto* list : {&config.mount, &config.mounts}) {
        for (const DockerMount& mount : *list) {
            DROVER_TRY(json made, job_mount(task, mount, plugin));
            mounts.push_back(std::move(made));
        }
    }
    for (const sdk::Mount& mount : task.mounts) {
        if (mount.task_path.empty() || mount.task_path[0] != '/')
            return invalid(fmt::format("mount: \"{}\" is no absolute path", mount.task_path));
        if (!path_exists(mount.host_path))
            return Error(Code::NotFound,
                         fmt::format("mount {}: \"{}\" does not exist", mount.task_path, mount.host_path));
        DROVER_TRY(std::string mode, propagation(mount.propagation_mode));
        mounts.push_back({{"Type", "bind"},
                          {"Source", mount.host_path},
                          {"Target", mount.task_path},
                          {"ReadOnly", mount.read_only},
                          {"BindOptions", {{"Propagation", mode}}}});
    }
    if (!mounts.empty()) host["Mounts"] = mounts;
    return add_devices(task, config, host);
}

}  // namespace drover::drivers
