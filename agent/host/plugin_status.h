// SPDX-License-Identifier: Apache-2.0
// The JSON of /v1/plugins. Pure. Called by plugin_host.cpp.
#pragma once
#include <string>
#include <vector>

#include "agent/host/plugin_host.h"

namespace drover::agent {

// {"Plugins": [...], "Drivers": {...}}
std::string to_json(const std::vector<PluginStatus>& plugins, const std::vector<DriverStatus>& drivers);

}  // namespace drover::agent
