// SPDX-License-Identifier: Apache-2.0
// PlanApplier: the one place where plans meet. All plans that wait are checked one after the other, each on
// the state as the ones before it will leave it, and go into the log together: one disk write for many plans.
// One thread.
#pragma once
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "proto/raft/command.pb.h"
#include "server-lite/raft/consensus.h"
#include "server-lite/state/state_store.h"

namespace drover::server {

struct PlanResult {
    bool full = true;       // everything asked for is done (and the plan's final evaluations are written)
    bool progress = false;  // something was done
    uint64_t index =
        0;  // of the log entry; when not full, look at a state at least this new before trying again
    std::vector<std::pair<std::string, std::string>> refused;  // node id, reason
};

class PlanApplier {
 public:
    using Done = std::function<void(Result<PlanResult>)>;
    PlanApplier(StateStore& store, raft::Consensus& log);
    ~PlanApplier();
    // Higher priority first, then first come first served. `done` is called once, on some thread of the
    // server.
    void submit(cmd::Plan plan, Done done);
    Result<PlanResult> submit_and_wait(cmd::Plan plan);
    size_t depth() const;
    void stop();  // what waits is answered with Cancelled

 private:
    struct Pending {
        cmd::Plan plan;
        Done done;
    };
    void run();
    void apply(std::vector<Pending> batch);

    StateStore& store_;
    raft::Consensus& log_;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::multimap<int64_t, Pending, std::greater<>> queue_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace drover::server
