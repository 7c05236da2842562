// SPDX-License-Identifier: Apache-2.0
// ClientUpdates: what clients report goes into the log in batches: while one entry is being written the next
// one gathers. No delay is added, and a thousand reports cost a few entries. Failed allocations that may be
// replaced bring their evaluations in the same entry.
#pragma once
#include <functional>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "proto/model/model.pb.h"

namespace drover::server {

struct Core;

class ClientUpdates {
 public:
    using Done = std::function<void(Result<uint64_t>)>;  // the log index
    explicit ClientUpdates(Core& core) : core_(core) {}
    void add(std::vector<model::Allocation> allocs, Done done);

 private:
    void write();
    Core& core_;
    std::mutex mutex_;
    std::vector<model::Allocation> gathered_;
    std::vector<Done> waiting_;
    bool in_flight_ = false;
};

}  // namespace drover::server
