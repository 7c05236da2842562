// SPDX-License-Identifier: Apache-2.0
// Heartbeats: one timer a node; a node that is not heard of in time goes down, with evaluations for its jobs
// in the same log entry. The timers are not stored: after a start every known node has the failover time to
// report.
#pragma once
#include <mutex>
#include <string>
#include <unordered_map>

namespace drover::server {

struct Core;

class Heartbeats {
 public:
    explicit Heartbeats(Core& core) : core_(core) {}
    // Restarts the node's timer; answers the time (ns) within which it must report again.
    int64_t reset(const std::string& node_id);
    void start(const std::string& node_id, int64_t ttl_ns);
    void clear(const std::string& node_id);
    size_t active() const;

 private:
    void expired(const std::string& node_id);
    Core& core_;
    mutable std::mutex mutex_;
    std::unordered_map<std::string, uint64_t> timers_;
};

}  // namespace drover::server
