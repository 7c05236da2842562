// SPDX-License-Identifier: Apache-2.0
// What is shown of plugins and drivers; see plugin_host.h.
#include "agent/host/plugin_status.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace drover::agent {

std::string_view plugin_state_name(PluginState state) {
    switch (state) {
        case PluginState::Starting:
            return "starting";
        case PluginState::Reattaching:
            return "reattaching";
        case PluginState::Healthy:
            return "healthy";
        case PluginState::BackingOff:
            return "backing off";
        case PluginState::Failed:
            return "failed";
        case PluginState::Stopped:
            return "stopped";
    }
    return "unknown";
}

std::string to_json(const std::vector<PluginStatus>& plugins, const std::vector<DriverStatus>& drivers) {
    nlohmann::json doc{{"Plugins", nlohmann::json::array()}, {"Drivers", nlohmann::json::object()}};
    for (const auto& p : plugins) {
        doc["Plugins"].push_back({{"File", p.file},
                                  {"Name", p.name},
                                  {"Type", p.type},
                                  {"Version", p.version},
                                  {"APIVersion", p.api_version},
                                  {"State", plugin_state_name(p.state)},
                                  {"Reason", p.reason},
                                  {"PID", p.pid},
                                  {"Since", format_rfc3339(p.since)},
                                  {"Launches", p.launches},
                                  {"Bundled", p.bundled},
                                  {"Reattached", p.reattached}});
    }
    for (const auto& d : drivers) {
        doc["Drivers"][d.name] = {{"Detected", d.detected},
                                  {"Healthy", d.healthy},
                                  {"HealthDescription", d.description},
                                  {"Attributes", d.attributes},
                                  {"UpdateTime", format_rfc3339(d.updated_at)}};
    }
    return doc.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace drover::agent
