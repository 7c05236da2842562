// SPDX-License-Identifier: Apache-2.0
// Service and batch jobs: reconcile, then place what is wanted.
#include "base/clock.h"
#include "model/status.h"
#include "server-lite/scheduler/reconcile.h"
#include "server-lite/scheduler/scheduler.h"

namespace drover::server::detail {
namespace {

constexpr int64_t kFollowUpWindow = 5 * kSecond;  // delayed reschedules this close share an evaluation

void add_follow_ups(Work& work, std::vector<LaterWish> later) {
    std::sort(later.begin(), later.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    model::Evaluation* current = nullptr;
    for (const auto& wish : later) {
        if (!current || wish.at - current->wait_until() > kFollowUpWindow) {
            current = work.out.plan.add_evals();
            current->set_id(work.seeded.uuid());
            current->set_namespace_(work.eval.namespace_());
            current->set_priority(work.eval.priority());
            current->set_type(work.job->type());
            current->set_triggered_by("alloc-reschedule");
            current->set_job_id(work.job->id());
            current->set_job_modify_index(work.job->job_modify_index());
            current->set_status(std::string(model::kEvalStatusPending));
            current->set_status_description("created for delayed rescheduling");
            current->set_previous_eval(work.eval.id());
            current->set_wait_until(wish.at);
        }
        auto& followup = *work.out.plan.add_followups();
        followup.set_alloc_id(wish.alloc->alloc->id());
        followup.set_eval_id(current->id());
    }
}

// Nodes on which a replacement had better not run again.
std::set<std::string> penalty_nodes(const PlaceWish& wish) {
    std::set<std::string> out;
    if (!wish.previous || !wish.reschedule) return out;
    const auto& previous = *wish.previous->alloc;
    if (previous.client_status() == model::kAllocClientFailed) out.insert(previous.node_id());
    for (const auto& event : previous.reschedule_tracker().events()) out.insert(event.prev_node_id());
    return out;
}

void place(Work& work, const PlaceWish& wish, const std::string& deployment_id) {
    const auto& group = *wish.group;
    if (work.failed.contains(group.name())) {  // the first failure speaks for the rest of the group
        add_failure(work, group.name(), {});
        return;
    }
    if (wish.stop) work.placer->stopped(*wish.stop->alloc);
    PlaceRequest request{&group, penalty_nodes(wish), "", ""};
    if (wish.previous && group.ephemeral_disk().sticky())
        request.preferred_node = wish.previous->alloc->node_id();
    model::AllocationMetric metric;
    auto option = work.placer->select(request, metric);
    if (!option) {
        if (wish.stop) work.placer->restored(*wish.stop->alloc);
        add_failure(work, group.name(), std::move(metric));
        return;
    }
    auto alloc = new_alloc(work, group, wish.name, *option, std::move(metric));
    alloc.set_deployment_id(deployment_id);
    if (wish.previous) {
        alloc.set_previous_allocation(wish.previous->alloc->id());
        if (wish.reschedule)
            *alloc.mutable_reschedule_tracker() = next_tracker(*wish.previous->alloc, group, work.now);
        else if (wish.previous->alloc->has_reschedule_tracker() && !wish.stop)
            *alloc.mutable_reschedule_tracker() = wish.previous->alloc->reschedule_tracker();
    }
    if (wish.stop) {
        auto& stop = *work.out.plan.add_stops();
        stop.set_alloc_id(wish.stop->alloc->alloc->id());
        stop.set_desired_status(std::string(model::kAllocDesiredStop));
        stop.set_description(std::string(wish.stop->description));
        stop.set_client_status(wish.stop->client_status);
    }
    work.placer->placed(alloc);
    *work.out.plan.add_placements() = std::move(alloc);
}

}  // namespace

void schedule_generic(Work& work) {
    const auto& eval = work.eval;
    ReconcileInput input{work.state,
                         eval,
                         work.job,
                         work.state.latest_deployment(eval.namespace_(), eval.job_id()),
                         work.now,
                         [&](const AllocRecord& record, const model::TaskGroup& group) {
                             return work.placer && work.placer->may_stay(record, group);
                         }};
    auto wanted = reconcile(input, work.seeded);
    work.desired = std::move(wanted.desired);
    auto& plan = work.out.plan;
    for (auto& update : wanted.deployment_updates) *plan.add_deployment_updates() = std::move(update);
    const std::string deployment_id = wanted.deployment ? wanted.deployment->id() : "";
    work.deployment_id = deployment_id;
    for (const auto& stop : wanted.stop) add_stop(work, *stop.alloc, stop.description, stop.client_status);
    for (const auto& record : wanted.in_place) add_in_place(work, *record, deployment_id);
    add_follow_ups(work, std::move(wanted.later));
    for (const auto& wish : wanted.place) place(work, wish, deployment_id);
    if (wanted.new_deployment) *plan.mutable_deployment() = std::move(*wanted.new_deployment);
}

}  // namespace drover::server::detail
