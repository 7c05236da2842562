// SPDX-License-Identifier: Apache-2.0
// GrpcListener: the cluster RPC on the network. Knows no method: a call to "/drover.cluster.Job/Register" is
// found in the schema and handed to the same port that answers in-process callers.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace drover::ports {
class ClusterPort;
}

namespace drover::server {

class GrpcListener {
 public:
    // Unavailable, naming the address, when it cannot be bound.
    static Result<std::unique_ptr<GrpcListener>> start(const std::string& host, uint16_t port,
                                                       ports::ClusterPort& target);
    ~GrpcListener();                     // ends all calls
    const std::string& address() const;  // host:port as bound

 private:
    struct Impl;
    explicit GrpcListener(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::server
