// SPDX-License-Identifier: Apache-2.0
// What this machine is, as a model::Node: attributes, resources, topology, networks, with the agent's
// configuration applied. Called by the agent's main at start and on SIGHUP. Reads /proc, /sys, /etc and
// netlink; never runs anything, never writes, takes a few tens of milliseconds.
#pragma once
#include <memory>
#include <string>

#include "base/result.h"

namespace drover::agentconfig {
class AgentConfig;
}
namespace drover::model {
class Node;
}

namespace drover::fingerprint {

// `config` with its defaults filled in. Left to the agent: ID, SecretID, Drivers and drivers' attributes,
// Status. Errors: only what the configuration says wrongly (an interface that does not exist, a bad list of
// cores); what cannot be detected is a warning in the log and stays out of the node.
Result<std::shared_ptr<const model::Node>> node_from(const agentconfig::AgentConfig& config,
                                                     const std::string& data_dir);

// "v1:<number>" over all that is not unique to the node: to be computed again when attributes have changed.
std::string computed_class(const model::Node& node);

}  // namespace drover::fingerprint
