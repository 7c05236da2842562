// SPDX-License-Identifier: Apache-2.0
// Janitor: removes what is no longer needed, by intervals and thresholds, or all of it at once (`system gc`).
// What may go is decided by collectible(), which is pure.
#pragma once
#include <functional>

#include "proto/raft/command.pb.h"
#include "server-lite/server.h"
#include "server-lite/state/state.h"

namespace drover::server {

struct Core;

struct GcCutoffs {  // unix ns: what changed after these stays. 0: that kind is not looked at
    int64_t eval = 0, batch_eval = 0, job = 0, node = 0, deployment = 0;
};
cmd::Reap collectible(const State& state, const GcCutoffs& cutoffs);

class Janitor {
 public:
    explicit Janitor(Core& core) : core_(core) {}
    void start();
    void collect_all(std::function<void(Result<uint64_t>)> done);

 private:
    void schedule(int64_t interval, std::function<GcCutoffs(int64_t now)> cutoffs);
    Core& core_;
};

}  // namespace drover::server
