// SPDX-License-Identifier: Apache-2.0
// What an agent says of itself over HTTP: /v1/agent/self, members, health and its part of agent-info.
#pragma once
#include "api/http_server.h"
#include "cli/agent_process.h"

namespace drover::cli {

// The "config" object of /v1/agent/self under Nomad's names. Secrets are never in it.
std::string self_config_json(const AgentSettings& settings);

// This server as a member of its region; empty on a client.
void fill_members(const AgentSettings& settings, const std::string& server_id, model::ServerMembers& members);

// uptime and process figures: the "runtime" section of agent-info.
std::map<std::string, std::map<std::string, std::string>> runtime_stats();

}  // namespace drover::cli
