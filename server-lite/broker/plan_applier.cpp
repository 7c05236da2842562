// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/plan_applier.h"

#include <future>

#include "base/clock.h"
#include "base/log.h"
#include "server-lite/broker/plan_check.h"
#include "server-lite/fsm/apply.h"

namespace drover::server {
namespace {
constexpr size_t kBatchMax = 256;

// Counts the log entries of a batch that are under way.
struct InFlight {
    std::mutex mutex;
    std::condition_variable done;
    size_t left = 0;
};
}  // namespace

PlanApplier::PlanApplier(StateStore& store, raft::Consensus& log)
    : store_(store), log_(log), thread_([this] { run(); }) {}

PlanApplier::~PlanApplier() {
    stop();
}

void PlanApplier::submit(cmd::Plan plan, Done done) {
    {
        std::lock_guard lock(mutex_);
        if (!stopping_) {
            const auto priority = plan.priority();
            queue_.emplace(priority, Pending{std::move(plan), std::move(done)});
            wake_.notify_one();
            return;
        }
    }
    done(Error(Code::Cancelled, "plan queue is disabled"));
}

Result<PlanResult> PlanApplier::submit_and_wait(cmd::Plan plan) {
    std::promise<Result<PlanResult>> promise;
    auto future = promise.get_future();
    submit(std::move(plan), [&](Result<PlanResult> result) { promise.set_value(std::move(result)); });
    return future.get();
}

size_t PlanApplier::depth() const {
    std::lock_guard lock(mutex_);
    return queue_.size();
}

void PlanApplier::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
        if (stopping_) return;
        std::vector<Pending> batch;
        while (!queue_.empty() && batch.size() < kBatchMax) {
            batch.push_back(std::move(queue_.begin()->second));
            queue_.erase(queue_.begin());
        }
        lock.unlock();
        apply(std::move(batch));
        lock.lock();
    }
}

void PlanApplier::apply(std::vector<Pending> batch) {
    State working = *store_.snapshot();
    auto in_flight = std::make_shared<InFlight>();
    for (auto& pending : batch) {
        auto checked = check_plan(working, std::move(pending.plan));
        for (const auto& [node, reason] : checked.refused)
            log::debug("server.planner", "plan for node rejected",
                       {{"node_id", node}, {"reason", reason}, {"eval_id", checked.accepted.eval_id()}});
        PlanResult result{checked.full(), !checked.empty(), working.index, std::move(checked.refused)};
        if (checked.empty()) {
            pending.done(std::move(result));
            continue;
        }
        cmd::Command command;
        command.set_time(unix_now());
        *command.mutable_plan() = std::move(checked.accepted);
        {
            std::lock_guard lock(in_flight->mutex);
            ++in_flight->left;
        }
        log_.propose(command.SerializeAsString(),
                     [in_flight, result = std::move(result),
                      done = std::move(pending.done)](Result<uint64_t> index) mutable {
                         if (index) {
                             result.index = *index;
                             done(std::move(result));
                         } else {
                             done(std::move(index).error());
                         }
                         std::lock_guard lock(in_flight->mutex);
                         if (--in_flight->left == 0) in_flight->done.notify_all();
                     });
        Effects ignored;
        // The next plan of the batch is checked on what this one will leave. A plan's command cannot be
        // refused.
        (void)apply_command(working, working.index + 1, command, ignored);
    }
    std::unique_lock lock(in_flight->mutex);
    in_flight->done.wait(lock, [&] { return in_flight->left == 0; });
}

void PlanApplier::stop() {
    decltype(queue_) left;
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        left.swap(queue_);
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
    for (auto& [priority, pending] : left) pending.done(Error(Code::Cancelled, "plan queue is disabled"));
}

}  // namespace drover::server
