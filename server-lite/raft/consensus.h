// SPDX-License-Identifier: Apache-2.0
// Consensus: what server-lite asks of a replicated log, whoever provides it: raft_io/single_log (a cluster of
// one) today. Knows bytes, never commands: what they mean is the StateMachine's business.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace drover::server::raft {

struct Entry {
    uint64_t index = 0;
    uint64_t term = 0;
    std::string command;
};

using RecordSink = std::function<Status(std::string_view record)>;
// The next record, or an empty optional at the end.
using RecordSource = std::function<Result<std::optional<std::string>>()>;

// All calls come from one thread at a time, except the function that capture() returns.
class StateMachine {
 public:
    virtual ~StateMachine() = default;
    // Committed entries, in order, each index once. They are durable when this is called. Answers one Status
    // an entry, which goes to its proposer; an entry that cannot even be read is a DataLoss or
    // FailedPrecondition there.
    virtual std::vector<Status> apply(std::span<const Entry> entries) = 0;
    // O(1). The function writes the state of this moment as records; it is called once, on any thread.
    virtual std::function<Status(const RecordSink&)> capture() = 0;
    // Replaces the whole state. Only before the first apply.
    virtual Status restore(const RecordSource& source) = 0;
};

enum class Role { Follower, Candidate, Leader };

class Consensus {
 public:
    // The index of the entry, after it was applied here; or the Status that apply answered for it; or why it
    // did not get into the log (Unavailable: not leader, ResourceExhausted: no space, Cancelled: shutting
    // down). Called once, on the apply thread: must not block.
    using Done = std::function<void(Result<uint64_t>)>;

    virtual ~Consensus() = default;
    virtual void propose(std::string command, Done done) = 0;
    virtual Role role() const = 0;
    virtual uint64_t term() const = 0;
    virtual uint64_t last_index() const = 0;  // appended
    virtual uint64_t applied_index() const = 0;
    virtual uint64_t snapshot_index() const = 0;
    virtual void stop() = 0;  // answers what waits with Cancelled; idempotent
};

}  // namespace drover::server::raft
