// SPDX-License-Identifier: Apache-2.0
// BlockedEvals: evaluations that wait for room. One per job; each says which computed node classes could
// never help it. Room in a class releases those that it may help, also when the room came while the
// evaluation was being processed (indexes tell). Thread-safe; holds nothing that the state does not.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "server-lite/fsm/state_writer.h"

namespace drover::server {

class BlockedEvals {
 public:
    // `release` is called without the lock with evaluations to enqueue; `attention` when there are duplicates
    // to take.
    BlockedEvals(std::function<void(std::vector<EvalPtr>)> release, std::function<void()> attention)
        : release_(std::move(release)), attention_(std::move(attention)) {}

    void set_enabled(bool enabled);
    void block(EvalPtr eval);
    // The evaluation was written to no longer wait (cancelled, completed).
    void untrack(const JobId& job);
    void unblock(const std::string& computed_class, uint64_t index);
    // Everything that gave up after too many refused plans: tried again now and then.
    void unblock_max_plans();
    std::vector<EvalPtr> take_duplicates();
    size_t size() const;
    size_t escaped() const;

 private:
    bool missed_unblock(const model::Evaluation& eval) const;

    std::function<void(std::vector<EvalPtr>)> release_;
    std::function<void()> attention_;
    mutable std::mutex mutex_;
    bool enabled_ = false;
    std::map<JobId, EvalPtr> blocked_;
    std::map<std::string, uint64_t> unblock_index_;  // computed class -> last room
    std::vector<EvalPtr> duplicates_;
};

}  // namespace drover::server
