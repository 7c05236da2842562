// SPDX-License-Identifier: Apache-2.0
// Fsm: the StateMachine behind the log. Applies batches of commands to the StateStore and tells the leader's
// queues what came of them. All on the log's apply thread.
#pragma once
#include <functional>

#include "server-lite/fsm/state_writer.h"
#include "server-lite/raft/consensus.h"

namespace drover::server {

class Fsm final : public raft::StateMachine {
 public:
    explicit Fsm(StateStore& store) : store_(store) {}

    // Called after a batch is published, with all its effects; must not block. Not during replay: set it
    // after.
    void set_hook(std::function<void(const Effects&, uint64_t index)> hook) { hook_ = std::move(hook); }

    std::vector<Status> apply(std::span<const raft::Entry> entries) override;
    std::function<Status(const raft::RecordSink&)> capture() override;
    Status restore(const raft::RecordSource& source) override;

 private:
    StateStore& store_;
    std::function<void(const Effects&, uint64_t)> hook_;
};

// The records of a state, and back. What the secondary indexes and node usage hold follows from the records.
Status write_state(const State& state, const raft::RecordSink& sink);
Result<State> read_state(const raft::RecordSource& source);

}  // namespace drover::server
