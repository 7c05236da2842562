// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/plugin_setup.h"

#include "agent/host/handshake.h"
#include "base/strings.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr size_t kSocketDirMax = 80;  // with "/plugin" and ten digits it still fits a socket address

}  // namespace

std::map<std::string, std::string> plugin_environment(const PluginHostOptions& options,
                                                      std::map<std::string, std::string> env,
                                                      const std::string& dir) {
    env[std::string(kMagicCookieKey)] = kMagicCookie;
    env["PLUGIN_MIN_PORT"] = "10000";
    env["PLUGIN_MAX_PORT"] = "25000";
    env["PLUGIN_PROTOCOL_VERSIONS"] = "2";
    env["DROVER_TASK_STATE_DIR"] = options.data_dir + "/client/tasks";
    env["DROVER_CGROUP_PARENT"] = options.cgroup_parent;
    // A socket where only we can look; too long a path leaves it to the plugin (its temporary directory).
    if (dir.size() <= kSocketDirMax) env["PLUGIN_UNIX_SOCKET_DIR"] = dir;
    return env;
}

std::vector<uint64_t> version_numbers(std::string_view text) {
    if (starts_with(text, "v")) text.remove_prefix(1);
    std::vector<uint64_t> out;
    for (const auto& part : split(text.substr(0, text.find_first_of("-+")), '.'))
        out.push_back(parse_uint(part).value_or(0));
    out.resize(3);
    return out;
}

sdk::AgentConfig agent_config(const PluginHostOptions& options) {
    sdk::AgentConfig out;
    out.port_min = options.client_min_port;
    out.port_max = options.client_max_port;
    sdk::Topology& topology = out.topology.emplace();  // also when empty: some drivers expect one
    if (!options.topology) return out;
    for (uint32_t id : options.topology->node_ids()) topology.numa_node_ids.push_back(id);
    const auto& rows = options.topology->distances();
    const bool square =
        std::all_of(rows.begin(), rows.end(), [&](const auto& r) { return r.values_size() == rows.size(); });
    if (square) {
        topology.distance_dimension = static_cast<uint32_t>(rows.size());
        for (const auto& row : rows)
            topology.distances.insert(topology.distances.end(), row.values().begin(), row.values().end());
    }
    for (const auto& core : options.topology->cores()) {
        sdk::CpuCore out_core;
        out_core.socket_id = static_cast<uint32_t>(core.socket_id());
        out_core.node_id = static_cast<uint32_t>(core.node_id());
        out_core.core_id = static_cast<uint32_t>(core.id());
        out_core.grade =
            core.grade() == 0 ? sdk::CpuCore::Grade::Efficiency : sdk::CpuCore::Grade::Performance;
        out_core.disabled = core.disable();
        out_core.base_mhz = core.base_speed();
        out_core.max_mhz = core.max_speed();
        out_core.guess_mhz = core.guess_speed();
        topology.cores.push_back(out_core);
    }
    topology.override_total_mhz = options.topology->override_total_compute();
    topology.override_withheld_mhz = options.topology->override_withold_compute();
    return out;
}

}  // namespace drover::agent
