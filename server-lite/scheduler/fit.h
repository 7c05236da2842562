// SPDX-License-Identifier: Apache-2.0
// Does what is on a node, and what is to come, fit? The one answer for the scheduler (which proposes) and the
// plan applier (which checks on the newest state). Pure.
#pragma once
#include <string>

#include "server-lite/state/state.h"

namespace drover::server {

// Empty when `total` fits the node, else what is exhausted: "cpu", "memory", "disk", "cores", "max allocs",
// "network: reserved port collision ...", "device oversubscribed".
std::string exhausted(const model::Node& node, const NodeUsage& total);

// The ports a node keeps for itself: (ip or "" for every address, port).
std::multiset<std::pair<std::string, int64_t>> reserved_ports(const model::Node& node);

}  // namespace drover::server
