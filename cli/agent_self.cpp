// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_self.h"

#include <thread>

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/files.h"
#include "base/host_port.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/agent_address.h"
#include "proto/model/operator.pb.h"

namespace drover::cli {
namespace {

using Json = nlohmann::json;

Json list_of(const google::protobuf::RepeatedPtrField<std::string>& values) {
    Json list = Json::array();
    for (const std::string& value : values) list.push_back(value);
    return list;
}

Json map_of(const google::protobuf::Map<std::string, std::string>& values) {
    Json object = Json::object();
    for (const auto& [key, value] : values) object[key] = value;
    return object;
}

Json client_json(const agentconfig::Client& c) {
    return {{"Enabled", c.enabled()},
            {"AllocDir", c.alloc_dir()},
            {"StateDir", c.state_dir()},
            {"Servers", list_of(c.servers())},
            {"NodeClass", c.node_class()},
            {"NodePool", c.node_pool()},
            {"Meta", map_of(c.meta())},
            {"Options", map_of(c.options())},
            {"NetworkInterface", c.network_interface()},
            {"CpuCompute", c.cpu_total_compute()},
            {"MemoryMB", c.memory_total_mb()},
            {"MinDynamicPort", c.min_dynamic_port()},
            {"MaxDynamicPort", c.max_dynamic_port()},
            {"MaxKillTimeout", format_duration(c.max_kill_timeout())},
            {"GCInterval", c.gc_interval()},
            {"GCMaxAllocs", c.gc_max_allocs()},
            {"CgroupParent", c.cgroup_parent()}};
}

}  // namespace

std::string self_config_json(const AgentSettings& settings) {
    const auto& c = settings.config;
    Json plugins = Json::array();
    for (const auto& plugin : c.plugin())
        plugins.push_back({{"Name", plugin.name()}, {"Args", list_of(plugin.args())}});
    Json files = settings.config_files;
    Json config = {
        {"Region", c.region()},
        {"Datacenter", c.datacenter()},
        {"NodeName", c.name()},
        {"DataDir", settings.data_dir},
        {"PluginDir", c.plugin_dir()},
        {"LogLevel", to_upper(c.log_level())},
        {"LogJson", c.log_json()},
        {"LogFile", c.log_file()},
        {"BindAddr", c.bind_addr()},
        {"EnableDebug", c.enable_debug()},
        {"DevMode", settings.dev},
        {"LeaveOnInt", c.leave_on_interrupt()},
        {"LeaveOnTerm", c.leave_on_terminate()},
        {"Ports", {{"HTTP", c.ports().http()}, {"RPC", c.ports().rpc()}, {"Serf", c.ports().serf()}}},
        {"Addresses",
         {{"HTTP", c.addresses().http()}, {"RPC", c.addresses().rpc()}, {"Serf", c.addresses().serf()}}},
        {"AdvertiseAddrs",
         {{"HTTP", c.advertise().http()}, {"RPC", c.advertise().rpc()}, {"Serf", c.advertise().serf()}}},
        {"HTTPAPIResponseHeaders", map_of(c.http_api_response_headers())},
        {"Client", client_json(c.client())},
        {"Server", {{"Enabled", c.server().enabled()}, {"BootstrapExpect", c.server().bootstrap_expect()}}},
        {"ACL", {{"Enabled", c.acl().enabled()}}},
        {"TLSConfig", {{"EnableHTTP", c.tls().http()}, {"EnableRPC", c.tls().rpc()}}},
        // No web UI is served yet, whatever the configuration says: hints would lead nowhere.
        {"UI", {{"Enabled", false}, {"ShowCLIHints", false}}},
        {"Plugins", plugins},
        {"ConfigPaths", files},
        {"Files", files},
        {"Version",
         {{"Version", kNomadVersion},
          {"VersionPrerelease", ""},
          {"VersionMetadata", fmt::format("drover-{}", kVersion)},
          {"Revision", ""},
          {"BuildDate", nullptr}}},
    };
    return config.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void fill_members(const AgentSettings& settings, const std::string& server_id,
                  model::ServerMembers& members) {
    const auto& c = settings.config;
    if (!c.server().enabled()) return;
    members.set_server_name(c.name());
    members.set_server_region(c.region());
    members.set_server_dc(c.datacenter());
    auto* member = members.add_members();
    auto serf = parse_host_port(c.advertise().serf());
    auto rpc = parse_host_port(c.advertise().rpc());
    member->set_name(fmt::format("{}.{}", c.name(), c.region()));
    member->set_addr(serf ? serf->host : "");
    member->set_port(static_cast<uint32_t>(serf ? serf->port : 0));
    member->set_status("alive");
    member->set_protocol_min(1);
    member->set_protocol_max(5);
    member->set_protocol_cur(2);
    member->set_delegate_min(2);
    member->set_delegate_max(5);
    member->set_delegate_cur(4);
    auto& tags = *member->mutable_tags();
    tags["role"] = "nomad";
    tags["region"] = c.region();
    tags["dc"] = c.datacenter();
    tags["build"] = std::string(kNomadVersion);
    tags["drover"] = std::string(kVersion);
    tags["vsn"] = "1";
    tags["raft_vsn"] = "3";
    tags["id"] = server_id;
    tags["rpc_addr"] = rpc ? rpc->host : "";
    tags["port"] = rpc ? fmt::format("{}", rpc->port) : "";
    tags["bootstrap"] = "1";
    tags["expect"] = "1";
}

std::map<std::string, std::map<std::string, std::string>> runtime_stats() {
    std::map<std::string, std::string> runtime;
    runtime["arch"] = "amd64";
    runtime["kernel.name"] = "linux";
    runtime["cpu_count"] = fmt::format("{}", std::thread::hardware_concurrency());
    runtime["version"] = fmt::format("drover {}", kVersion);
    if (auto status = read_file("/proc/self/status")) {
        for (const std::string& line : split(*status, '\n'))
            if (starts_with(line, "Threads:")) runtime["threads"] = std::string(trim(line.substr(8)));
    }
    return {{"runtime", runtime}};
}

}  // namespace drover::cli
