// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/client_updates.h"

#include "base/clock.h"
#include "model/status.h"
#include "server-lite/core.h"
#include "server-lite/scheduler/reconcile.h"

namespace drover::server {
namespace {

// An evaluation for each job that has something to repair, once a job.
void add_evals(const State& state, const std::vector<model::Allocation>& updates,
               cmd::AllocClientUpdate& command, int64_t now) {
    std::set<JobId> done;
    for (const auto& update : updates) {
        if (update.client_status() != model::kAllocClientFailed) continue;
        const auto record = state.alloc(update.id());
        if (!record || record->alloc->client_status() == model::kAllocClientFailed) continue;
        const auto& alloc = *record->alloc;
        const auto job = state.job(alloc.namespace_(), alloc.job_id());
        if (!job || job->stop() || model::server_terminal(alloc) || !alloc.followup_eval_id().empty())
            continue;
        const auto* group = model::find_group(*job, alloc.task_group());
        auto failed = alloc;
        failed.set_client_status(update.client_status());
        *failed.mutable_task_states() = update.task_states();
        if (!group || !reschedule_time(failed, *group, now)) continue;
        if (!done.insert({alloc.namespace_(), alloc.job_id()}).second) continue;
        *command.add_evals() = job_eval(*job, model::kTriggerRetryFailedAlloc, now);
    }
}

}  // namespace

void ClientUpdates::add(std::vector<model::Allocation> allocs, Done done) {
    {
        std::lock_guard lock(mutex_);
        std::move(allocs.begin(), allocs.end(), std::back_inserter(gathered_));
        waiting_.push_back(std::move(done));
        if (in_flight_) return;
        in_flight_ = true;
    }
    write();
}

// One entry with all that has gathered; in_flight_ is ours.
void ClientUpdates::write() {
    std::vector<model::Allocation> allocs;
    std::vector<Done> waiting;
    {
        std::lock_guard lock(mutex_);
        if (waiting_.empty()) {
            in_flight_ = false;
            return;
        }
        allocs.swap(gathered_);
        waiting.swap(waiting_);
    }
    cmd::Command command;
    auto& update = *command.mutable_alloc_client_update();
    add_evals(*core_.store.snapshot(), allocs, update, unix_now());
    for (auto& alloc : allocs) *update.add_allocs() = std::move(alloc);
    core_.propose(std::move(command), [this, waiting = std::move(waiting)](Result<uint64_t> index) {
        for (const auto& done : waiting) done(index);
        if (!core_.pool.post([this] { write(); })) {
            std::lock_guard lock(mutex_);
            in_flight_ = false;
        }
    });
}

}  // namespace drover::server
