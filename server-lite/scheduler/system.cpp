// SPDX-License-Identifier: Apache-2.0
// System and sysbatch jobs: one allocation of each group on every node that suits.
#include "model/job_compare.h"
#include "model/status.h"
#include "server-lite/scheduler/reconcile.h"
#include "server-lite/scheduler/scheduler.h"

namespace drover::server::detail {
namespace {

// What becomes of one live allocation. True when its node needs no other.
bool settle(Work& work, const model::TaskGroup& group, const AllocPtr& record,
            std::vector<PlaceWish>& replace) {
    auto& desired = work.desired[group.name()];
    const auto& alloc = *record->alloc;
    const auto node = work.state.node(alloc.node_id());
    auto stop = [&](std::string_view description, std::string_view client_status = "") {
        add_stop(work, *record, description, client_status);
        desired.set_stop(desired.stop() + 1);
        return true;
    };
    if (alloc.desired_transition().migrate()) return stop(why::kNodeTainted);
    if (!node || node->status() == model::kNodeStatusDown) return stop(why::kLost, model::kAllocClientLost);
    const bool changed = record->job->job_modify_index() != work.job->job_modify_index();
    if (!in_pool(*work.job, *node) || !in_datacenters(*work.job, *node)) return stop(why::kNotNeeded);
    if (!node_ready(*node)) {
        if (changed) return stop(why::kNotNeeded);
        desired.set_ignore(desired.ignore() + 1);
        return true;
    }
    if (!changed) {
        desired.set_ignore(desired.ignore() + 1);
        return true;
    }
    if (!work.placer->may_stay(*record, group)) return stop(why::kNotNeeded);
    if (model::group_update(*record->job, *work.job, group.name()) == model::GroupUpdate::InPlace) {
        add_in_place(work, *record, "");
        desired.set_in_place_update(desired.in_place_update() + 1);
        return true;
    }
    replace.push_back({alloc.name(), &group, record, StopWish{record, why::kUpdating, ""}, false});
    desired.set_destructive_update(desired.destructive_update() + 1);
    return true;
}

// True when the allocation was placed or the node can never take it.
bool place_on(Work& work, const PlaceWish& wish, const std::string& node_id) {
    if (wish.stop) work.placer->stopped(*wish.stop->alloc);
    PlaceRequest request{wish.group, {}, "", node_id};
    model::AllocationMetric metric;
    auto option = work.placer->select(request, metric);
    if (!option) {
        if (wish.stop) work.placer->restored(*wish.stop->alloc);
        if (metric.nodes_filtered() > 0 && metric.nodes_exhausted() == 0) return false;
        add_failure(work, wish.group->name(), std::move(metric));
        return true;
    }
    auto alloc = new_alloc(work, *wish.group, wish.name, *option, std::move(metric));
    if (wish.previous) alloc.set_previous_allocation(wish.previous->alloc->id());
    if (wish.stop) {
        auto& stop = *work.out.plan.add_stops();
        stop.set_alloc_id(wish.stop->alloc->alloc->id());
        stop.set_desired_status(std::string(model::kAllocDesiredStop));
        stop.set_description(std::string(wish.stop->description));
    }
    work.placer->placed(alloc);
    *work.out.plan.add_placements() = std::move(alloc);
    return true;
}

void do_group(Work& work, const model::TaskGroup& group, const std::vector<AllocPtr>& allocs) {
    auto& desired = work.desired[group.name()];
    const bool sysbatch = work.job->type() == model::kJobTypeSysBatch;
    std::map<std::string, AllocPtr> ended;  // per node, the newest terminal one
    std::set<std::string> served;
    std::vector<PlaceWish> replace;
    for (const auto& record : allocs) {
        const auto& alloc = *record->alloc;
        if (!model::terminal(alloc)) {
            if (settle(work, group, record, replace)) served.insert(alloc.node_id());
            continue;
        }
        auto& newest = ended[alloc.node_id()];
        if (!newest || newest->alloc->create_index() < alloc.create_index()) newest = record;
    }
    for (const auto& wish : replace) place_on(work, wish, wish.previous->alloc->node_id());
    if (group.has_count() && group.count() == 0) return;
    model::AllocationMetric filtered;
    for (const auto& node : work.placer->nodes()) {
        if (served.contains(node->id())) continue;
        const auto previous = ended[node->id()];
        // A finished sysbatch task is not run again for the same version of the job.
        if (sysbatch && previous && model::client_terminal(*previous->alloc) &&
            previous->job->job_modify_index() == work.job->job_modify_index()) {
            desired.set_ignore(desired.ignore() + 1);
            continue;
        }
        PlaceWish wish{fmt::format("{}.{}[0]", work.job->id(), group.name()), &group, previous, std::nullopt,
                       false};
        if (place_on(work, wish, node->id())) {
            desired.set_place(desired.place() + 1);
        } else {
            PlaceRequest request{&group, {}, "", ""};
            work.placer->select(request, filtered);
        }
    }
    // Nodes that never suit are no failure, as long as some node runs the group.
    if (filtered.nodes_filtered() > 0 && desired.place() == 0 && served.empty())
        add_failure(work, group.name(), filtered);
}

}  // namespace

void schedule_system(Work& work) {
    std::map<std::string, std::vector<AllocPtr>> groups;
    for (const auto& record : work.state.job_allocs(work.eval.namespace_(), work.eval.job_id()))
        groups[record->alloc->task_group()].push_back(record);
    const bool gone = !work.job || work.job->stop();
    for (const auto& [name, allocs] : groups) {
        if (!gone && model::find_group(*work.job, name)) continue;
        for (const auto& record : allocs)
            if (!model::terminal(*record->alloc)) {
                add_stop(work, *record, why::kNotNeeded);
                work.desired[name].set_stop(work.desired[name].stop() + 1);
            }
    }
    if (gone) return;
    for (const auto& group : work.job->task_groups()) do_group(work, group, groups[group.name()]);
}

}  // namespace drover::server::detail
