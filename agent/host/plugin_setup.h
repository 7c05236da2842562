// SPDX-License-Identifier: Apache-2.0
// What every plugin is given at its launch: environment and the agent's description of itself; and how
// versions of plugins compare. Pure. Called by plugin_host.cpp.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "agent/host/plugin_host.h"

namespace drover::agent {

// `inherited` with go-plugin's and drover's variables. `dir` is the plugin's own directory.
std::map<std::string, std::string> plugin_environment(const PluginHostOptions& options,
                                                      std::map<std::string, std::string> inherited,
                                                      const std::string& dir);
sdk::AgentConfig agent_config(const PluginHostOptions& options);
// "1.2.3-x" -> {1, 2, 3}; what is no number counts as 0.
std::vector<uint64_t> version_numbers(std::string_view text);

}  // namespace drover::agent
