// SPDX-License-Identifier: Apache-2.0
// EvalBroker: hands evaluations to workers, at least once each: highest priority first, one per job at a
// time, with a deadline; given back ones are delivered again later, a few times. Holds nothing that the state
// does not: restored from it when a server becomes leader. Thread-safe; times come with the calls, so tests
// need no clock.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "server-lite/fsm/state_writer.h"

namespace drover::server {

struct BrokerOptions {
    int64_t nack_timeout_ns = 60'000'000'000;
    uint32_t delivery_limit = 3;
    int64_t first_redelivery_ns = 1'000'000'000;
    int64_t later_redelivery_ns = 20'000'000'000;
};

struct Now {
    int64_t mono = 0, unix = 0;
};

class EvalBroker {
 public:
    struct Delivery {
        EvalPtr eval;
        uint64_t token = 0;
    };
    struct Stats {
        size_t ready = 0, unacked = 0, pending = 0, waiting = 0, failed = 0, cancelable = 0;
    };

    // `attention` is called without the lock when tick() is needed sooner than it was last told, or when
    // there is something to take: the owner re-arms its timer and reaps.
    EvalBroker(BrokerOptions options, std::function<void()> attention);

    void set_enabled(bool enabled);  // false drops everything
    bool enabled() const;
    // A known id is ignored unless it is out for work: then it comes in after its ack. WaitUntil is honoured.
    void enqueue(EvalPtr eval, Now now);
    // Waits for an evaluation of one of the types; empty when the broker was stopped.
    std::optional<Delivery> dequeue(const std::vector<std::string>& types);
    std::optional<Delivery> try_dequeue(const std::vector<std::string>& types, Now now);
    bool outstanding(const std::string& eval_id, uint64_t token) const;
    bool extend(const std::string& eval_id, uint64_t token, Now now);  // restarts the deadline
    bool ack(const std::string& eval_id, uint64_t token, Now now);
    bool nack(const std::string& eval_id, uint64_t token, Now now);

    // Moves what is due. The next time it is needed, or INT64_MAX.
    int64_t tick(Now now);
    std::vector<EvalPtr> take_failed();      // reached the delivery limit
    std::vector<EvalPtr> take_cancelable();  // superseded by a newer one of the same job
    Stats stats() const;
    void stop();  // ends all dequeue()

 private:
    struct ByUrgency {
        bool operator()(const EvalPtr& a, const EvalPtr& b) const;
    };
    struct Unacked {
        EvalPtr eval;
        uint64_t token;
        int64_t deadline;
    };

    void enqueue_locked(EvalPtr eval, Now now);
    void release_job(const EvalPtr& eval, Now now);
    void fail_or_delay(const EvalPtr& eval, Now now);
    void announce(std::unique_lock<std::mutex>& lock);
    int64_t next_due() const;

    BrokerOptions options_;
    std::function<void()> attention_;
    mutable std::mutex mutex_;
    std::condition_variable available_;
    bool enabled_ = false, stopped_ = false;
    uint64_t next_token_ = 1;
    int64_t announced_due_ = INT64_MAX;

    std::map<std::string, std::set<EvalPtr, ByUrgency>> ready_;  // by type
    std::map<JobId, std::string> in_flight_;                     // job -> evaluation that is ready or out
    std::map<JobId, std::vector<EvalPtr>> pending_;
    std::unordered_map<std::string, Unacked> unacked_;
    std::unordered_map<std::string, EvalPtr> requeue_;      // after the ack
    std::multimap<int64_t, EvalPtr> delayed_;               // mono time
    std::unordered_map<std::string, uint32_t> deliveries_;  // of tracked evaluations
    std::set<std::string> known_;
    std::vector<EvalPtr> failed_, cancelable_;
};

}  // namespace drover::server
