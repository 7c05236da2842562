// SPDX-License-Identifier: Apache-2.0
#include "agent/task/env.h"

#include "base/strings.h"
#include "base/uuid.h"
#include "model/status.h"

namespace drover::agent {
namespace {

using Env = std::map<std::string, std::string>;

void set(Env& env, std::string_view key, std::string value) {
    if (!value.empty()) env[std::string(key)] = std::move(value);
}

void add_identity(Env& env, const EnvInput& in) {
    const auto& job = in.alloc.job();
    set(env, "NOMAD_ALLOC_ID", in.alloc.id());
    set(env, "NOMAD_SHORT_ALLOC_ID", short_id(in.alloc.id()));
    set(env, "NOMAD_ALLOC_NAME", in.alloc.name());
    if (const auto index = model::alloc_index(in.alloc.name()); index >= 0) {
        env["NOMAD_ALLOC_INDEX"] = fmt::format("{}", index);
    }
    set(env, "NOMAD_TASK_NAME", in.task.name());
    set(env, "NOMAD_GROUP_NAME", in.alloc.task_group());
    set(env, "NOMAD_JOB_ID", in.alloc.job_id());
    set(env, "NOMAD_JOB_NAME", job.name());
    set(env, "NOMAD_JOB_PARENT_ID", job.parent_id());
    set(env, "NOMAD_DC", in.node.datacenter());
    set(env, "NOMAD_NAMESPACE", in.alloc.namespace_());
    set(env, "NOMAD_REGION", in.region);
}

void add_resources(Env& env, const EnvInput& in) {
    const auto& tasks = in.alloc.allocated_resources().tasks();
    const auto found = tasks.find(in.task.name());
    if (found != tasks.end()) {
        const auto& given = found->second;
        env["NOMAD_CPU_LIMIT"] = fmt::format("{}", given.cpu().cpu_shares());
        env["NOMAD_MEMORY_LIMIT"] = fmt::format("{}", given.memory().memory_mb());
        if (given.memory().memory_max_mb() > 0) {
            env["NOMAD_MEMORY_MAX_LIMIT"] = fmt::format("{}", given.memory().memory_max_mb());
        }
        std::vector<std::string> cores;
        for (const auto core : given.cpu().reserved_cores()) cores.push_back(fmt::format("{}", core));
        env["NOMAD_CPU_CORES"] = cores.empty() ? std::string(" ") : join(cores, ",");
    }
    set(env, "NOMAD_PARENT_CGROUP", in.parent_cgroup);
    set(env, "NOMAD_ALLOC_DIR", in.alloc_dir);
    set(env, "NOMAD_TASK_DIR", in.task_dir);
    set(env, "NOMAD_SECRETS_DIR", in.secrets_dir);
}

std::string address(const std::string& ip, int64_t port) {
    return ip.find(':') != std::string::npos ? fmt::format("[{}]:{}", ip, port)
                                             : fmt::format("{}:{}", ip, port);
}

void add_port(Env& env, const std::string& label, const std::string& host_ip, int64_t host_port, int64_t to) {
    const std::string key = env_key(label);
    const int64_t inside = to > 0 ? to : host_port;
    env["NOMAD_IP_" + key] = host_ip;
    env["NOMAD_PORT_" + key] = fmt::format("{}", inside);
    env["NOMAD_ADDR_" + key] = address(host_ip, host_port);
    env["NOMAD_HOST_IP_" + key] = host_ip;
    env["NOMAD_HOST_PORT_" + key] = fmt::format("{}", host_port);
    env["NOMAD_HOST_ADDR_" + key] = address(host_ip, host_port);
    if (!host_ip.empty()) {
        env[(host_ip.find(':') != std::string::npos ? "NOMAD_IPv6_" : "NOMAD_IPv4_") + key] = host_ip;
    }
    env["NOMAD_ALLOC_PORT_" + key] = fmt::format("{}", inside);
}

void add_ports(Env& env, const EnvInput& in) {
    const auto& given = in.alloc.allocated_resources();
    for (const auto& port : given.shared().ports()) {
        add_port(env, port.label(), port.host_ip(), port.value(), port.to());
    }
    const auto& network = in.alloc.network_status();
    if (!network.address().empty()) {
        for (const auto& port : given.shared().ports()) {
            const std::string key = env_key(port.label());
            const int64_t inside = port.to() > 0 ? port.to() : port.value();
            env["NOMAD_ALLOC_IP_" + key] = network.address();
            env["NOMAD_ALLOC_ADDR_" + key] = address(network.address(), inside);
            set(env, "NOMAD_ALLOC_INTERFACE_" + key, network.interface_name());
        }
    }
    // Task networks, of old job files: one's own ports plain, those of siblings with the task's name in
    // front.
    for (const auto& [name, task] : given.tasks()) {
        for (const auto& net : task.networks()) {
            for (const auto* ports : {&net.reserved_ports(), &net.dynamic_ports()}) {
                for (const auto& port : *ports) {
                    if (name == in.task.name()) {
                        add_port(env, port.label(), net.ip(), port.value(), port.to());
                        continue;
                    }
                    const std::string key = env_key(name + "_" + port.label());
                    env["NOMAD_IP_" + key] = net.ip();
                    env["NOMAD_PORT_" + key] = fmt::format("{}", port.value());
                    env["NOMAD_ADDR_" + key] = address(net.ip(), port.value());
                }
            }
        }
    }
}

std::map<std::string, std::string> merged_meta(const EnvInput& in) {
    std::map<std::string, std::string> meta(in.alloc.job().meta().begin(), in.alloc.job().meta().end());
    for (const auto& [key, value] : in.group.meta()) meta[key] = value;
    for (const auto& [key, value] : in.task.meta()) meta[key] = value;
    return meta;
}

std::map<std::string, std::string> node_variables(const model::Node& node, const std::string& region) {
    std::map<std::string, std::string> values;
    values["node.unique.id"] = node.id();
    values["node.unique.name"] = node.name();
    values["node.datacenter"] = node.datacenter();
    values["node.region"] = region;
    values["node.class"] = node.node_class();
    values["node.pool"] = node.node_pool();
    for (const auto& [key, value] : node.attributes()) values["attr." + key] = value;
    for (const auto& [key, value] : node.meta()) values["meta." + key] = value;
    return values;
}

// The value of what stands between "${" and "}", or nothing.
std::optional<std::string> resolve(std::string_view name, const TaskEnv& env) {
    const std::string key(trim(name));
    if (const auto found = env.node.find(key); found != env.node.end()) return found->second;
    if (const auto found = env.env.find(key); found != env.env.end()) return found->second;
    if (starts_with(key, "env[\"") && ends_with(key, "\"]")) {
        const auto found = env.env.find(key.substr(5, key.size() - 7));
        return found != env.env.end() ? found->second : std::string();
    }
    return std::nullopt;
}

}  // namespace

std::string env_key(std::string_view text) {
    std::string key(text);
    for (char& c : key) {
        const bool fine =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!fine) c = '_';
    }
    return key;
}

TaskEnv build_env(const EnvInput& in) {
    TaskEnv out;
    out.node = node_variables(in.node, in.region);
    add_identity(out.env, in);
    add_resources(out.env, in);
    add_ports(out.env, in);
    for (const auto& [key, value] : merged_meta(in)) {
        const std::string text = interpolate(value, out);
        out.env["NOMAD_META_" + to_upper(env_key(key))] = text;
        out.env["NOMAD_META_" + env_key(key)] = text;
    }
    // Values may refer to everything above and, as names in the block are unordered, not to one another.
    Env block;
    for (const auto& [key, value] : in.task.env()) block[interpolate(key, out)] = interpolate(value, out);
    for (auto& [key, value] : block) out.env[key] = std::move(value);
    for (const auto& [key, value] : in.host_env) {
        if (!starts_with(key, "NOMAD_")) out.env.emplace(key, value);
    }
    return out;
}

std::string interpolate(std::string_view text, const TaskEnv& env) {
    std::string out;
    size_t at = 0;
    while (at < text.size()) {
        const size_t open = text.find("${", at);
        if (open == std::string_view::npos) break;
        if (open > at && text[open - 1] == '$') {  // "$${": an escaped "${"
            out.append(text.substr(at, open - 1 - at)).append("${");
            at = open + 2;
            continue;
        }
        const size_t close = text.find('}', open);
        if (close == std::string_view::npos) break;
        out.append(text.substr(at, open - at));
        const auto name = text.substr(open + 2, close - open - 2);
        if (const auto value = resolve(name, env)) {
            out.append(*value);
        } else {
            out.append(text.substr(open, close - open + 1));
        }
        at = close + 1;
    }
    out.append(text.substr(std::min(at, text.size())));
    return out;
}

std::map<std::string, std::string> hcl_variables(const TaskEnv& env) {
    std::map<std::string, std::string> all = env.node;
    for (const auto& [key, value] : env.env) all.emplace(key, value);
    return all;
}

}  // namespace drover::agent
