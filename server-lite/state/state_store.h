// SPDX-License-Identifier: Apache-2.0
// StateStore: the current State, and who waits for it to change. Written by the apply thread alone; read from
// any thread: a reader takes a snapshot and never blocks the writer. Watchers are told once, by key (see
// watch_keys in the rpc room).
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "server-lite/state/state.h"

namespace drover::server {

// What a change touched, as watch keys.
using Touched = std::unordered_set<std::string>;

namespace watch {
std::string table(TableId id);
std::string job(std::string_view ns, std::string_view id);  // the job itself, its versions and summary
std::string job_allocs(std::string_view ns, std::string_view id);
std::string job_evals(std::string_view ns, std::string_view id);
std::string job_deployments(std::string_view ns, std::string_view id);
std::string node(std::string_view id);
std::string node_allocs(std::string_view id);      // any change of an allocation there
std::string node_placements(std::string_view id);  // only of what is desired there
std::string alloc(std::string_view id);
std::string eval(std::string_view id);
std::string eval_allocs(std::string_view id);
std::string deployment(std::string_view id);
}  // namespace watch

class StateStore {
 public:
    StateStore();
    StatePtr snapshot() const;
    void publish(StatePtr state, const Touched& touched);

    // `fire` is called once, on the apply thread, after the first change of one of the keys; it must not
    // block. Watch first, then take the snapshot to look at: nothing is missed.
    uint64_t watch(std::vector<std::string> keys, std::function<void()> fire);
    // After it returns, `fire` is not called any more (unless it has been).
    void unwatch(uint64_t id);
    size_t watchers() const;

    // Until the state is at `index` or the time is over; for workers.
    StatePtr wait_for(uint64_t index, int64_t timeout_ns) const;

 private:
    struct Waiter {
        std::vector<std::string> keys;
        std::function<void()> fire;
    };
    mutable std::mutex mutex_;
    mutable std::condition_variable moved_;
    StatePtr state_;
    uint64_t next_id_ = 1;
    std::unordered_map<uint64_t, Waiter> waiters_;
    std::unordered_map<std::string, std::unordered_set<uint64_t>> by_key_;

    void drop(uint64_t id);
};

}  // namespace drover::server
