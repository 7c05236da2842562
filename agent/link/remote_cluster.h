// SPDX-License-Identifier: Apache-2.0
// RemoteCluster: ClusterPort over gRPC to the servers of a region (4647), for an agent that is not a server
// itself. Bytes on the wire: method "/drover.cluster.Job/Register", protobuf both ways, no generated stubs.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "ports/cluster_port.h"

namespace drover::agent {

// Calls go to one server and move to the next when it cannot be reached; when none can, the call ends
// Unavailable "no server reachable (tried a:4647, b:4647): ...". Thread-safe. Destroying it ends open calls
// with Cancelled.
class RemoteCluster : public ports::ClusterPort {
 public:
    // host:port each; at least one. Connections are made when first needed.
    static Result<std::unique_ptr<RemoteCluster>> create(std::vector<std::string> servers);
    ~RemoteCluster() override;

    void call(const google::protobuf::MethodDescriptor& method, std::shared_ptr<const Message> request,
              Done done, std::shared_ptr<ports::CancelToken> cancel = nullptr) override;

    // Replaces the list (from a heartbeat's answer); calls under way go on.
    void set_servers(std::vector<std::string> servers);
    std::vector<std::string> servers() const;

 private:
    struct Impl;
    explicit RemoteCluster(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::agent
