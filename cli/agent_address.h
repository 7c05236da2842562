// SPDX-License-Identifier: Apache-2.0
// What an agent listens on and what it tells others: bind addresses, advertise addresses, the host's own
// address.
#pragma once
#include <string>

#include "base/result.h"

namespace drover::agentconfig {
class AgentConfig;
}

namespace drover::cli {

// Fills addresses.* (from bind_addr) and advertise.* (host:port) of a merged configuration.
// FailedPrecondition when the advertised address would be a loopback one that nobody asked for (never with
// dev).
Status complete_addresses(agentconfig::AgentConfig& config, bool dev);

// The IPv4 address of the interface of the default route, else of the first interface that is up and no
// loopback; NotFound when there is none.
Result<std::string> private_address();

}  // namespace drover::cli
