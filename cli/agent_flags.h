// SPDX-License-Identifier: Apache-2.0
// The flags of `drover agent`, as a layer of configuration over what the files say. Used by agent_main.cpp
// only.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::agentconfig {
class AgentConfig;
}

namespace drover::cli {

struct AgentFlags {
    bool dev = false;
    bool help = false;
    std::vector<std::string> config_paths;
};

// Parses Go-style flags (-flag value, -flag=value, --flag) into `flags` and `layer`. InvalidArgument names
// the flag.
Status parse_agent_flags(const std::vector<std::string>& args, AgentFlags& flags,
                         agentconfig::AgentConfig& layer);

// Name and help of each flag, for the help text.
std::vector<std::pair<std::string, std::string>> agent_flag_help();

}  // namespace drover::cli
