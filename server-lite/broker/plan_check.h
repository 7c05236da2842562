// SPDX-License-Identifier: Apache-2.0
// What of a plan may be done on this state? Pure; called by the plan applier with the newest state.
#pragma once
#include <string>
#include <vector>

#include "proto/raft/command.pb.h"
#include "server-lite/state/state.h"

namespace drover::server {

struct CheckedPlan {
    cmd::Plan accepted;  // without what the refused nodes would have got
    std::vector<std::pair<std::string, std::string>> refused;  // node id, reason
    bool full() const { return refused.empty(); }
    bool empty() const;  // nothing to write
};

CheckedPlan check_plan(const State& state, cmd::Plan plan);

}  // namespace drover::server
