// SPDX-License-Identifier: Apache-2.0
// DeploymentWatcher: drives rollouts on the leader: more health makes an evaluation (the next batch), bad
// health lets failed allocations be replaced or fails the deployment, no progress in time fails it, a failed
// one may roll the job back. Remembers only what it has already acted on; the rest is in the state.
#pragma once
#include <map>
#include <mutex>
#include <string>

#include "server-lite/state/state.h"

namespace drover::server {

struct Core;

class DeploymentWatcher {
 public:
    explicit DeploymentWatcher(Core& core) : core_(core) {}
    // On the pool: after something about the deployment changed, and when its progress is due.
    void look(const std::string& deployment_id);
    void look_at_all();

 private:
    struct Seen {
        int64_t healthy = -1;
        std::set<std::string> rescheduled;  // unhealthy allocations that may be replaced
        uint64_t timer = 0;
        bool failing = false;
    };
    void fail(const State& state, const model::Deployment& deployment, std::string description);
    void arm(const model::Deployment& deployment, Seen& seen);

    Core& core_;
    std::mutex mutex_;
    std::map<std::string, Seen> seen_;
};

}  // namespace drover::server
