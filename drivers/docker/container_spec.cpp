// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/container_spec.h"

#include <fnmatch.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/strings.h"
#include "drivers/oci/capabilities.h"

namespace drover::drivers {
namespace {

using nlohmann::json;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kMemoryMinMb = 6;
constexpr int64_t kQuotaMinUs = 1000;  // the kernel's

Error invalid(std::string message) {
    return Error(Code::InvalidArgument, std::move(message));
}

Status add_memory(const sdk::TaskConfig& task, const DockerTaskConfig& config, json& host) {
    const int64_t reserved = task.resources.memory_mb;
    const int64_t limit = std::max({reserved, task.resources.memory_max_mb, config.memory_hard_limit});
    if (limit <= 0) return {};
    if (reserved < kMemoryMinMb)
        return invalid(
            fmt::format("memory: docker needs at least {} MB, found {} MB", kMemoryMinMb, reserved));
    if (config.memory_hard_limit != 0 && config.memory_hard_limit < reserved)
        return invalid(
            fmt::format("memory_hard_limit: must be at least the task's memory ({} MB), found {} MB",
                        reserved, config.memory_hard_limit));
    host["Memory"] = limit * kMiB;
    host["MemorySwap"] = limit * kMiB;  // the two together: no swap
    if (limit != reserved) host["MemoryReservation"] = reserved * kMiB;
    return {};
}

Status add_cpu(const sdk::TaskConfig& task, const DockerTaskConfig& config, const ContainerFacts& facts,
               json& host) {
    host["CpuShares"] = std::max<int64_t>(2, task.resources.cpu_mhz);
    // Reserved cores are the scheduler's decision, a list in the job is a wish.
    const std::string& cores = task.resources.linux_resources.cpuset_cpus;
    if (const std::string& cpus = cores.empty() ? config.cpuset_cpus : cores; !cpus.empty())
        host["CpusetCpus"] = cpus;
    if (!config.cpu_hard_limit) return {};
    if (config.cpu_cfs_period < kQuotaMinUs || config.cpu_cfs_period > 1'000'000)
        return invalid(
            fmt::format("cpu_cfs_period: expected 1000 to 1000000, found {}", config.cpu_cfs_period));
    const double fraction = task.resources.linux_resources.compute_fraction;
    host["CpuPeriod"] = config.cpu_cfs_period;
    host["CpuQuota"] = std::max<int64_t>(
        kQuotaMinUs,
        static_cast<int64_t>(fraction * static_cast<double>(config.cpu_cfs_period * facts.cpus)));
    return {};
}

Status add_pids(const DockerTaskConfig& config, const DockerPluginConfig& plugin, json& host) {
    if (plugin.pids_limit > 0 && config.pids_limit > plugin.pids_limit)
        return invalid(fmt::format("pids_limit: the agent allows at most {}, found {}", plugin.pids_limit,
                                   config.pids_limit));
    const int64_t limit = config.pids_limit > 0 ? config.pids_limit : plugin.pids_limit;
    if (limit > 0) host["PidsLimit"] = limit;
    return {};
}

Status add_privileges(const DockerTaskConfig& config, const DockerPluginConfig& plugin, json& host) {
    if (config.privileged) {
        if (!plugin.allow_privileged)
            return Error(Code::PermissionDenied,
                         "privileged: the agent's docker plugin does not allow it (allow_privileged)");
        host["Privileged"] = true;
    }
    // Every job is checked, also a privileged one, which then has all of them anyway.
    DROVER_TRY(auto capabilities, oci::task_capabilities(plugin.allow_caps, config.cap_add, config.cap_drop));
    if (!config.privileged) {
        host["CapDrop"] = {"ALL"};
        host["CapAdd"] = json(capabilities);
    }
    json options = json::array();
    for (const std::string& option : config.security_opt) {
        // The API wants a seccomp profile's text, people write its path.
        constexpr std::string_view kSeccomp = "seccomp=";
        const std::string value = starts_with(option, kSeccomp) ? option.substr(kSeccomp.size()) : "";
        if (value.empty() || value == "unconfined" || value[0] == '{') {
            options.push_back(option);
            continue;
        }
        auto profile = read_file(value, 1 << 20);
        if (!profile) return std::move(profile).error().context("security_opt");
        json parsed = json::parse(*profile, nullptr, false);
        if (!parsed.is_object()) return invalid(fmt::format("security_opt: {}: is no JSON object", value));
        options.push_back(std::string(kSeccomp) + parsed.dump());
    }
    if (!options.empty()) host["SecurityOpt"] = options;
    return {};
}

Status add_ulimits(const DockerTaskConfig& config, json& host) {
    json limits = json::array();
    for (const auto& [name, text] : config.ulimit) {
        auto parts = split(text, ':');
        auto soft = parse_int(parts[0]);
        auto hard = parts.size() > 1 ? parse_int(parts[1]) : soft;
        if (parts.size() > 2 || !soft || !hard)
            return invalid(
                fmt::format("ulimit.{}: expected \"soft\" or \"soft:hard\", found \"{}\"", name, text));
        limits.push_back({{"Name", name}, {"Soft", *soft}, {"Hard", *hard}});
    }
    if (!limits.empty()) host["Ulimits"] = limits;
    return {};
}

void add_logging(const DockerTaskConfig& config, const DockerPluginConfig& plugin, json& host) {
    // The daemon keeps what the plugin has not yet fetched, so that a dead plugin's lines wait here.
    json log{{"Type", "json-file"}, {"Config", {{"max-file", "2"}, {"max-size", "32m"}}}};
    for (const auto* given : {&plugin.logging, &config.logging}) {
        if (!*given) continue;
        const std::string& type = (*given)->type.empty() ? (*given)->driver : (*given)->type;
        if (!type.empty() && type != "json-file") log = {{"Type", type}, {"Config", json::object()}};
        for (const auto& [key, value] : (*given)->config) log["Config"][key] = value;
    }
    host["LogConfig"] = log;
}

const sdk::PortMapping* find_port(const sdk::TaskConfig& task, const std::string& label) {
    for (const sdk::PortMapping& port : task.resources.ports)
        if (port.label == label) return &port;
    return nullptr;
}

// `ports`: labels of the group's network; `port_map`: of the task's own (older jobs), with the port inside.
Status add_ports(const sdk::TaskConfig& task, const DockerTaskConfig& config, json& body, json& host) {
    json exposed = json::object(), bindings = json::object();
    auto publish = [&](int64_t inside, const std::string& ip, int64_t outside) {
        for (const char* protocol : {"tcp", "udp"}) {
            const std::string key = fmt::format("{}/{}", inside, protocol);
            exposed[key] = json::object();
            bindings[key].push_back({{"HostIp", ip}, {"HostPort", std::to_string(outside)}});
        }
    };
    for (const std::string& label : config.ports) {
        const sdk::PortMapping* port = find_port(task, label);
        if (!port) return invalid(fmt::format("ports: the group's network has no port \"{}\"", label));
        publish(port->to > 0 ? port->to : port->host_port, port->host_ip, port->host_port);
    }
    for (const auto& [label, inside] : config.port_map) {
        bool found = false;
        for (const sdk::NetworkResource& network : task.resources.networks) {
            for (const auto* ports : {&network.reserved_ports, &network.dynamic_ports}) {
                for (const sdk::NetworkPort& port : *ports) {
                    if (port.label != label) continue;
                    publish(inside, network.ip, port.value);
                    found = true;
                }
            }
        }
        if (!found) return invalid(fmt::format("port_map: the task's network has no port \"{}\"", label));
    }
    if (exposed.empty()) return {};
    body["ExposedPorts"] = exposed;
    host["PortBindings"] = bindings;
    return {};
}

Status add_network(const sdk::TaskConfig& task, const DockerTaskConfig& config, const ContainerFacts& facts,
                   json& body, json& host) {
    const bool joined = !facts.network_container.empty();
    if (joined) {
        if (!config.network_mode.empty())
            return invalid("network_mode: the group has a network block, which decides; remove one of them");
        // Name, hosts and resolver belong to the namespace; the driver mounts files for what the job says.
        host["NetworkMode"] = "container:" + facts.network_container;
        return {};
    }
    const std::string mode = config.network_mode.empty() ? "default" : config.network_mode;
    const bool shared = mode == "host" || starts_with(mode, "container:");
    host["NetworkMode"] = mode;
    if (!shared) DROVER_CHECK(add_ports(task, config, body, host));
    if (!config.hostname.empty()) body["Hostname"] = config.hostname;
    if (!config.mac_address.empty()) body["MacAddress"] = config.mac_address;
    if (!config.extra_hosts.empty()) host["ExtraHosts"] = config.extra_hosts;
    const sdk::DnsConfig dns = task.dns.value_or(sdk::DnsConfig());
    const auto& servers = config.dns_servers.empty() ? dns.servers : config.dns_servers;
    const auto& searches = config.dns_search_domains.empty() ? dns.searches : config.dns_search_domains;
    const auto& options = config.dns_options.empty() ? dns.options : config.dns_options;
    if (!servers.empty()) host["Dns"] = servers;
    if (!searches.empty()) host["DnsSearch"] = searches;
    if (!options.empty()) host["DnsOptions"] = options;
    if (mode == "default" || shared || mode == "none") return {};
    json endpoint = json::object();
    if (!config.network_aliases.empty()) endpoint["Aliases"] = config.network_aliases;
    json address = json::object();
    if (!config.ipv4_address.empty()) address["IPv4Address"] = config.ipv4_address;
    if (!config.ipv6_address.empty()) address["IPv6Address"] = config.ipv6_address;
    if (!address.empty()) endpoint["IPAMConfig"] = address;
    if (!endpoint.empty()) body["NetworkingConfig"] = {{"EndpointsConfig", {{mode, endpoint}}}};
    return {};
}

// The runtime that the job asks for, or the one that gives a task its GPUs.
Status add_runtime(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                   const DockerPluginConfig& plugin, const ContainerFacts& facts, json& host) {
    auto in = [](const std::vector<std::string>& names, const std::string& name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    std::string runtime = config.runtime;
    auto gpus = task.device_env.find("NVIDIA_VISIBLE_DEVICES");
    const bool wants_gpus = gpus != task.device_env.end() && !gpus->second.empty() && gpus->second != "void";
    if (runtime.empty() && wants_gpus) {
        if (in(facts.runtimes, plugin.nvidia_runtime)) {
            runtime = plugin.nvidia_runtime;
        } else {
            // Without that runtime the daemon may still have NVIDIA's hook; it says so if not.
            host["DeviceRequests"] = {{{"Driver", "nvidia"},
                                       {"DeviceIDs", split(gpus->second, ',')},
                                       {"Capabilities", json::array({json::array({"gpu"})})}}};
        }
    }
    if (runtime.empty()) return {};
    if (!in(plugin.allow_runtimes, runtime))
        return Error(Code::PermissionDenied, fmt::format("runtime: the agent allows {}, found \"{}\"",
                                                         join(plugin.allow_runtimes, ", "), runtime));
    if (!in(facts.runtimes, runtime))
        return Error(Code::FailedPrecondition, fmt::format("runtime: the daemon has {}, found \"{}\"",
                                                           join(facts.runtimes, ", "), runtime));
    host["Runtime"] = runtime;
    return {};
}

void add_labels(const sdk::TaskConfig& task, const DockerTaskConfig& config, const DockerPluginConfig& plugin,
                const ContainerFacts& facts, json& body) {
    json labels = json::object();
    for (const auto& [key, value] : config.labels) labels[key] = value;
    const std::vector<std::pair<std::string, std::string>> known{{"job_name", task.job_name},
                                                                 {"job_id", task.job_id},
                                                                 {"task_group_name", task.task_group_name},
                                                                 {"task_name", task.name},
                                                                 {"namespace", task.namespace_name},
                                                                 {"node_name", task.node_name},
                                                                 {"node_id", task.node_id}};
    for (const auto& [name, value] : known)
        for (const std::string& pattern : plugin.extra_labels)
            if (::fnmatch(pattern.c_str(), name.c_str(), 0) == 0)
                labels["com.hashicorp.nomad." + name] = value;
    // Last: a job must not be able to pass for another's.
    labels[kAllocLabel] = task.alloc_id;
    labels[kTaskLabel] = task.id;
    labels[kOwnerLabel] = facts.owner;
    body["Labels"] = labels;
}

Status add_command(const DockerTaskConfig& config, json& body) {
    if (const std::string* text = config.entrypoint.as_string()) {
        body["Entrypoint"] = json::array({*text});
    } else if (const sdk::Value::List* list = config.entrypoint.as_list()) {
        json words = json::array();
        for (const sdk::Value& item : *list) {
            if (!item.as_string())
                return invalid(
                    fmt::format("entrypoint: expected a list of text, found {}", item.kind_name()));
            words.push_back(*item.as_string());
        }
        if (!words.empty()) body["Entrypoint"] = words;
    } else if (!config.entrypoint.is_null()) {
        return invalid(fmt::format("entrypoint: expected text or a list of text, found {}",
                                   config.entrypoint.kind_name()));
    }
    std::vector<std::string> words;
    if (!config.command.empty()) words.push_back(config.command);
    words.insert(words.end(), config.args.begin(), config.args.end());
    if (!words.empty()) body["Cmd"] = words;
    if (!config.work_dir.empty()) {
        if (config.work_dir[0] != '/')
            return invalid(fmt::format("work_dir: must be an absolute path, found \"{}\"", config.work_dir));
        body["WorkingDir"] = config.work_dir;
    }
    return {};
}

}  // namespace

std::string container_name(const sdk::TaskConfig& task) {
    std::string name = task.name + "-" + task.alloc_id;
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '_';
    return std::isalnum(static_cast<unsigned char>(name[0])) ? name : "t" + name;
}

Result<json> container_spec(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                            const DockerPluginConfig& plugin, const ContainerFacts& facts) {
    json body = json::object(), host = json::object();
    body["Image"] = facts.image;
    DROVER_CHECK(add_command(config, body));
    std::vector<std::string> env;
    for (const auto& [key, value] : task.env) env.push_back(key + "=" + value);
    body["Env"] = env;
    if (!task.user.empty()) body["User"] = task.user;
    body["Tty"] = config.tty;
    body["OpenStdin"] = config.interactive;
    if (config.healthchecks && config.healthchecks->disable) body["Healthcheck"] = {{"Test", {"NONE"}}};
    add_labels(task, config, plugin, facts, body);

    DROVER_CHECK(add_memory(task, config, host));
    DROVER_CHECK(add_cpu(task, config, facts, host));
    DROVER_CHECK(add_pids(config, plugin, host));
    DROVER_CHECK(add_privileges(config, plugin, host));
    DROVER_CHECK(add_ulimits(config, host));
    DROVER_CHECK(add_runtime(task, config, plugin, facts, host));
    DROVER_CHECK(add_mounts(task, config, plugin, facts, host));
    DROVER_CHECK(add_network(task, config, facts, body, host));
    add_logging(config, plugin, host);
    if (config.readonly_rootfs) host["ReadonlyRootfs"] = true;
    if (config.init) host["Init"] = true;
    if (config.shm_size > 0) host["ShmSize"] = config.shm_size;
    if (config.oom_score_adj) host["OomScoreAdj"] = *config.oom_score_adj;
    if (!config.sysctl.empty()) host["Sysctls"] = config.sysctl;
    if (!config.storage_opt.empty()) host["StorageOpt"] = config.storage_opt;
    if (!config.group_add.empty()) host["GroupAdd"] = config.group_add;
    if (!config.volume_driver.empty()) host["VolumeDriver"] = config.volume_driver;
    for (const auto& [key, value] :
         {std::pair("IpcMode", config.ipc_mode), std::pair("PidMode", config.pid_mode),
          std::pair("UsernsMode", config.userns_mode), std::pair("UTSMode", config.uts_mode),
          std::pair("CgroupnsMode", config.cgroupns)})
        if (!value.empty()) host[key] = value;
    body["HostConfig"] = std::move(host);
    return body;
}

}  // namespace drover::drivers
