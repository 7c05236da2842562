// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_command.h"

#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "drivers/qemu/qemu_image.h"

namespace drover::drivers {
namespace {

constexpr const char* kDriveInterfaces[] = {"ide", "scsi", "sd", "mtd", "floppy", "pflash", "virtio", "none"};

// qemu's options are separated by commas; a comma in a value is written twice.
std::string value(const std::string& text) {
    return replace_all(text, ",", ",,");
}

// "-drive" and "--drive" are the same flag.
std::string flag_of(const std::string& arg) {
    return starts_with(arg, "--") ? arg.substr(1) : arg;
}

Status check_args(const std::vector<std::string>& args, const std::vector<std::string>& allowlist) {
    if (allowlist.empty()) return {};
    for (const std::string& arg : args) {
        if (arg.empty() || arg[0] != '-') continue;
        auto same = [&](const std::string& allowed) { return flag_of(allowed) == flag_of(arg); };
        if (!std::any_of(allowlist.begin(), allowlist.end(), same)) {
            return make_error(Code::PermissionDenied,
                              "args: \"{}\" is not in the plugin's args_allowlist (allowed: {})", arg,
                              join(allowlist, ", "));
        }
    }
    return {};
}

// Whether the job's own arguments choose the accelerator: qemu takes one choice only.
bool args_choose_accelerator(const std::vector<std::string>& args) {
    return std::any_of(args.begin(), args.end(), [](const std::string& arg) {
        return flag_of(arg) == "-accel" || flag_of(arg) == "-enable-kvm" ||
               arg.find("accel=") != std::string::npos;
    });
}

struct Listen {
    std::string ip;
    int32_t port = 0;
};

// Where the port with this label is to be listened at: in a network namespace of the allocation's own that is
// the port's inner number, at any address.
Result<Listen> allocated_port(const sdk::TaskConfig& task, const std::string& label) {
    const bool own_network =
        task.network_isolation && task.network_isolation->mode == sdk::NetworkMode::Group;
    std::vector<std::string> labels;
    for (const sdk::PortMapping& port : task.resources.ports) {
        if (port.label == label) {
            if (own_network) return Listen{"", port.to > 0 ? port.to : port.host_port};
            return Listen{port.host_ip, port.host_port};
        }
        labels.push_back(port.label);
    }
    for (const sdk::NetworkResource& network : task.resources.networks) {
        for (const auto* ports : {&network.reserved_ports, &network.dynamic_ports}) {
            for (const sdk::NetworkPort& port : *ports) {
                if (port.label == label) return Listen{network.ip, port.value};
                labels.push_back(port.label);
            }
        }
    }
    return make_error(Code::InvalidArgument,
                      "port_map: the allocation has no port with the label \"{}\" (it has: {})", label,
                      labels.empty() ? "none" : join(labels, ", "));
}

Result<std::vector<std::string>> network_arguments(const sdk::TaskConfig& task,
                                                   const QemuTaskConfig& config) {
    std::vector<std::string> out;
    if (config.port_map.empty()) return out;
    std::string forwards;
    for (const auto& [label, guest_port] : config.port_map) {
        if (guest_port < 1 || guest_port > 65535)
            return make_error(Code::InvalidArgument, "port_map: {}: expected 1 to 65535, found {}", label,
                              guest_port);
        DROVER_TRY(Listen at, allocated_port(task, label));
        for (const char* protocol : {"tcp", "udp"})
            forwards += fmt::format(",hostfwd={}:{}:{}-:{}", protocol, at.ip, at.port, guest_port);
    }
    out = {"-netdev", "user,id=user.0" + forwards, "-device", "virtio-net,netdev=user.0"};
    return out;
}

Result<std::vector<std::string>> boot_arguments(const sdk::TaskConfig& task, const QemuTaskConfig& config,
                                                const QemuPluginConfig& plugin) {
    if (config.image_path.empty() && config.kernel.empty())
        return make_error(Code::InvalidArgument, "image_path: is required when no kernel is given");
    if (config.kernel.empty() && !(config.initrd.empty() && config.append.empty()))
        return make_error(Code::InvalidArgument, "{}: needs a kernel",
                          config.initrd.empty() ? "append" : "initrd");
    std::vector<std::string> allowed = plugin.image_paths, out;
    allowed.push_back(task.alloc_dir);
    if (!config.image_path.empty()) {
        const auto& interfaces = kDriveInterfaces;
        if (std::find(std::begin(interfaces), std::end(interfaces), config.drive_interface) ==
            std::end(interfaces))
            return make_error(Code::InvalidArgument, "drive_interface: expected one of {}, found \"{}\"",
                              fmt::join(interfaces, ", "), config.drive_interface);
        DROVER_TRY(GuestFile image, find_image("image_path", config.image_path, task.task_dir(), allowed));
        std::string drive = fmt::format("file={},if={}", value(image.path), config.drive_interface), level;
        for (const std::string& format : image.formats) {
            drive += fmt::format(",{}driver={}", level, format);
            level += "backing.";
        }
        out.insert(out.end(), {"-drive", drive});
    }
    const std::pair<const char*, const std::string*> files[] = {{"kernel", &config.kernel},
                                                                {"initrd", &config.initrd}};
    for (const auto& [field, path] : files) {
        if (path->empty()) continue;
        DROVER_TRY(GuestFile file, find_guest_file(field, *path, task.task_dir(), allowed));
        out.insert(out.end(), {std::string("-") + field, file.path});
    }
    if (!config.append.empty()) out.insert(out.end(), {"-append", config.append});
    return out;
}

// "0-3,7" -> 5
int64_t count_cpus(const std::string& list) {
    int64_t count = 0;
    for (const std::string& range : split(list, ',')) {
        size_t dash = range.find('-');
        auto first = parse_int(range.substr(0, dash));
        auto last = dash == std::string::npos ? first : parse_int(range.substr(dash + 1));
        if (first && last && *last >= *first) count += *last - *first + 1;
    }
    return count;
}

}  // namespace

Result<std::vector<std::string>> qemu_arguments(const sdk::TaskConfig& task, const QemuTaskConfig& config,
                                                const QemuPluginConfig& plugin,
                                                const std::string& socket_dir) {
    if (task.resources.memory_mb < kQemuMemoryMinMb) {
        return make_error(Code::InvalidArgument,
                          "memory: a virtual machine needs at least {} MB, found {} MB", kQemuMemoryMinMb,
                          task.resources.memory_mb);
    }
    if (config.accelerator != "tcg" && config.accelerator != "kvm")
        return make_error(Code::InvalidArgument, "accelerator: expected \"tcg\" or \"kvm\", found \"{}\"",
                          config.accelerator);
    DROVER_CHECK(check_args(config.args, plugin.args_allowlist));
    std::vector<std::string> out = {"-name", "guest=" + value(task.id), "-m",
                                    std::to_string(task.resources.memory_mb) + "M"};
    // A guest that breaks out of its devices' emulation finds a process that may start no other and change no
    // user.
    out.insert(out.end(),
               {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
    if (!args_choose_accelerator(config.args)) {
        if (config.accelerator == "kvm")
            out.insert(out.end(), {"-accel", "kvm", "-cpu", "host"});
        else
            out.insert(out.end(), {"-accel", fmt::format("tcg,tb-size={}", kTranslatedCodeMb)});
    }
    if (int64_t cores = count_cpus(task.resources.linux_resources.cpuset_cpus); cores > 0)
        out.insert(out.end(), {"-smp", std::to_string(cores)});
    DROVER_TRY(auto boot, boot_arguments(task, config, plugin));
    out.insert(out.end(), boot.begin(), boot.end());
    DROVER_TRY(auto network, network_arguments(task, config));
    out.insert(out.end(), network.begin(), network.end());
    // The first serial port is the console: the task's standard output. No monitor there: a guest would be
    // one escape sequence away from it.
    out.insert(out.end(), {"-display", "none", "-monitor", "none", "-serial", "stdio"});
    out.insert(out.end(), {"-qmp", fmt::format("unix:{}/{},server=on,wait=off", socket_dir, kQmpSocket)});
    if (config.guest_agent) {
        out.insert(out.end(), {"-chardev",
                               fmt::format("socket,id=qga0,path={}/{},server=on,wait=off", socket_dir,
                                           kGuestAgentSocket),
                               "-device", "virtio-serial", "-device",
                               "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"});
    }
    out.insert(out.end(), config.args.begin(), config.args.end());
    return out;
}

Result<std::string> find_emulator(const std::string& name, const QemuPluginConfig& plugin,
                                  const std::string& search_path) {
    const auto& allowed = plugin.emulators_allowlist;
    const bool plain = name.find('/') == std::string::npos;
    const bool fits = allowed.empty() ? plain && starts_with(name, "qemu-system-")
                                      : std::find(allowed.begin(), allowed.end(), name) != allowed.end();
    if (!fits) {
        return make_error(Code::PermissionDenied, "emulator: \"{}\" is not allowed (allowed: {})", name,
                          allowed.empty() ? "qemu-system-*" : join(allowed, ", "));
    }
    if (!plain) {
        if (name[0] == '/' && ::access(name.c_str(), X_OK) == 0) return name;
        return make_error(Code::NotFound, "emulator: \"{}\" is no program of this machine", name);
    }
    for (const std::string& dir : split(search_path, ':'))
        if (std::string path = join_path(dir, name);
            !dir.empty() && dir[0] == '/' && ::access(path.c_str(), X_OK) == 0)
            return path;
    return make_error(Code::NotFound, "emulator: {} is not installed (looked in {})", name, search_path);
}

}  // namespace drover::drivers
