// SPDX-License-Identifier: Apache-2.0
// Drainer: ends the drain of a node when nothing is left on it, and moves what is left at its deadline.
// Service allocations are told to move when the drain begins (rpc/node_endpoint).
#pragma once
#include <map>
#include <mutex>
#include <string>

#include "server-lite/state/state.h"

namespace drover::server {

struct Core;

class Drainer {
 public:
    explicit Drainer(Core& core) : core_(core) {}
    void look(const std::string& node_id);  // on the pool: after the node or its allocations changed
    void look_at_all();

 private:
    Core& core_;
    std::mutex mutex_;
    std::map<std::string, uint64_t> timers_;
    std::set<std::string> ending_;
};

// What a drain may move now: service allocations at once, batch ones when it is forced.
enum class DrainForce : bool { No = false, Yes = true };
std::vector<std::string> drainable(const State& state, const std::string& node_id, DrainForce force);

}  // namespace drover::server
