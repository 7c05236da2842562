// SPDX-License-Identifier: Apache-2.0
// The agent's configuration from files: load, merge, defaults, checks. Called by cli/agent_main.cpp; flags
// are laid over the result there. Files are HCL or JSON of HCL; keys that drover does not know are refused at
// their place.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::agentconfig {
class AgentConfig;
}

namespace drover::jobspec {

// Reads one file or, of a directory, every *.hcl and *.json in alphabetical order (not recursive), and merges
// them into `config`, later ones over earlier ones. `files` gets the paths that were read. Errors:
// InvalidArgument with the diagnostics, one a line, `<file>:<line>,<col>: ...`; NotFound with the path.
Status load_agent_config(const std::string& path, agentconfig::AgentConfig& config,
                         std::vector<std::string>& files);

// One file's text, for tests and for the fuzz target; `name` is shown in diagnostics and its ending tells
// JSON.
Status parse_agent_config(const std::string& text, const std::string& name, agentconfig::AgentConfig& config);

// Lays `over` over `into`: set scalars replace, lists append (http_api_response_headers, meta and options
// merge by key), blocks merge field by field, labelled blocks and consul and vault by their label or name.
void merge_agent_config(agentconfig::AgentConfig& into, const agentconfig::AgentConfig& over);

// What holds when nobody says anything; with -dev, what -dev means (server and client, loopback, raw_exec,
// DEBUG).
agentconfig::AgentConfig default_agent_config();
agentconfig::AgentConfig dev_agent_config();

// Checks what a merged configuration must satisfy (data_dir absolute, ports in range, names valid, something
// enabled). The error is one line per finding.
Status validate_agent_config(const agentconfig::AgentConfig& config, bool dev);

}  // namespace drover::jobspec
