// SPDX-License-Identifier: Apache-2.0
// ServerLink: everything a client says to the servers and hears from them: registration, heartbeats, the list
// of its allocations, its updates of them. Owns no allocation; client.cpp does. Lives on a strand of its own;
// public members may be called from any thread; callbacks come on the link's strand. When no server is
// reachable it keeps trying, with growing pauses; tasks go on. Updates are kept until a server has
// acknowledged them, the newest of each allocation.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ports/cluster_port.h"

namespace boost::asio {
class io_context;
}
namespace drover::model {
class Allocation;
class Node;
}  // namespace drover::model

namespace drover::agent {

class ServerLink {
 public:
    struct Callbacks {
        std::function<std::shared_ptr<const model::Node>()>
            node;  // to register, complete with id and secret; any thread
        // Which of these (id -> AllocModifyIndex) are needed in full; then the same list with what was
        // fetched.
        std::function<std::vector<std::string>(const std::map<std::string, uint64_t>&)> wanted;
        std::function<void(const std::map<std::string, uint64_t>&, std::vector<model::Allocation>)> apply;
        std::function<void(const std::string& alloc_id, const std::string& client_status)> acknowledged;
        std::function<void(std::vector<std::string> servers)> servers;  // of a heartbeat's answer
    };
    struct Timing {
        int64_t retry_min_ns = 250'000'000;
        int64_t retry_max_ns = 15'000'000'000;
        int64_t poll_wait_ns = 300'000'000'000;
        int64_t batch_min_ns = 2'000'000;    // an update that comes alone leaves after this
        int64_t batch_max_ns = 200'000'000;  // under load
    };
    struct Figures {  // for `agent-info`
        bool registered = false;
        int64_t heartbeat_ttl_ns = 0;
        int64_t last_heartbeat_mono_ns = 0;
        std::vector<std::string> servers;
    };

    ServerLink(boost::asio::io_context& io, ports::ClusterPort& cluster, Callbacks callbacks, Timing timing);
    ~ServerLink();  // stop()

    void start();
    // No callback after it returns, unless called from one.
    void stop();
    void node_changed();  // register again soon
    void update(model::Allocation update);
    Figures figures() const;

 private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::agent
