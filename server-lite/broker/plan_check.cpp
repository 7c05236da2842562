// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/plan_check.h"

#include "model/status.h"
#include "server-lite/scheduler/fit.h"

namespace drover::server {
namespace {

struct OnNode {
    std::vector<const model::Allocation*> placed, updated;
    std::vector<AllocPtr> stopped;
};

// Why the node cannot take its part of the plan; empty when it can.
std::string refusal(const State& state, const std::string& node_id, const OnNode& part) {
    if (part.placed.empty() && part.updated.empty()) return {};
    const auto node = state.node(node_id);
    if (!node) return "node does not exist";
    auto all_updates_are = [&](std::initializer_list<std::string_view> statuses) {
        if (!part.placed.empty()) return false;
        return std::all_of(part.updated.begin(), part.updated.end(), [&](const model::Allocation* alloc) {
            return std::find(statuses.begin(), statuses.end(), alloc->client_status()) != statuses.end();
        });
    };
    if (node->status() == model::kNodeStatusDisconnected)
        return all_updates_are({model::kAllocClientUnknown})
                   ? ""
                   : "node is disconnected and contains invalid updates";
    if (node->status() == model::kNodeStatusDown)
        return all_updates_are({model::kAllocClientUnknown, model::kAllocClientLost})
                   ? ""
                   : "node is not ready for placements";
    if (part.placed.empty()) return {};
    if (node->status() != model::kNodeStatusReady) return "node is not ready for placements";
    if (!node_ready(*node)) return "node is not eligible";
    NodeUsage total = state.usage_of(node_id);
    for (const auto& record : part.stopped)
        if (holds_resources(*record)) subtract_usage(total, *record->alloc);
    for (const auto* update : part.updated)
        if (auto existing = state.alloc(update->id()); existing && holds_resources(*existing)) {
            subtract_usage(total, *existing->alloc);
            add_usage(total, *update);
        }
    for (const auto* alloc : part.placed) {
        // The successor of one that was told to stop before takes over what it holds (see
        // AllocRecord::handed_over).
        if (auto previous = state.alloc(alloc->previous_allocation());
            previous && previous->alloc->node_id() == node_id && model::server_terminal(*previous->alloc) &&
            holds_resources(*previous))
            subtract_usage(total, *previous->alloc);
        add_usage(total, *alloc);
    }
    return exhausted(*node, total);
}

}  // namespace

bool CheckedPlan::empty() const {
    return accepted.placements().empty() && accepted.updates().empty() && accepted.stops().empty() &&
           !accepted.has_deployment() && accepted.deployment_updates().empty() && accepted.evals().empty() &&
           accepted.followups().empty() && accepted.final_evals().empty();
}

CheckedPlan check_plan(const State& state, cmd::Plan plan) {
    std::map<std::string, OnNode> parts;
    for (const auto& alloc : plan.placements()) parts[alloc.node_id()].placed.push_back(&alloc);
    for (const auto& alloc : plan.updates()) parts[alloc.node_id()].updated.push_back(&alloc);
    for (const auto& stop : plan.stops())
        if (auto record = state.alloc(stop.alloc_id()))
            parts[record->alloc->node_id()].stopped.push_back(record);

    CheckedPlan checked;
    std::set<std::string> refused;
    for (const auto& [node_id, part] : parts) {
        auto reason = refusal(state, node_id, part);
        if (reason.empty()) continue;
        refused.insert(node_id);
        checked.refused.emplace_back(node_id, std::move(reason));
    }
    if (refused.empty()) {
        checked.accepted = std::move(plan);
        return checked;
    }
    if (plan.all_at_once()) {
        cmd::Plan none;
        none.set_eval_id(plan.eval_id());
        none.set_namespace_(plan.namespace_());
        none.set_job_id(plan.job_id());
        checked.accepted = std::move(none);
        return checked;
    }
    // A refused node keeps what it has: neither new allocations nor the stops that were to make room for
    // them.
    auto drop = [&](auto* list, auto node_of) {
        for (auto it = list->begin(); it != list->end();)
            it = refused.contains(node_of(*it)) ? list->erase(it) : std::next(it);
    };
    std::set<std::string> dropped;
    for (const auto& alloc : plan.placements())
        if (refused.contains(alloc.node_id())) dropped.insert(alloc.id());
    drop(plan.mutable_placements(), [](const model::Allocation& a) { return a.node_id(); });
    drop(plan.mutable_updates(), [](const model::Allocation& a) { return a.node_id(); });
    drop(plan.mutable_stops(), [&](const cmd::AllocStop& stop) {
        auto record = state.alloc(stop.alloc_id());
        return record ? record->alloc->node_id() : std::string();
    });
    if (plan.has_deployment())
        for (auto& [name, group] : *plan.mutable_deployment()->mutable_task_groups())
            for (auto it = group.mutable_placed_canaries()->begin();
                 it != group.mutable_placed_canaries()->end();)
                it = dropped.contains(*it) ? group.mutable_placed_canaries()->erase(it) : std::next(it);
    plan.clear_final_evals();
    checked.accepted = std::move(plan);
    return checked;
}

}  // namespace drover::server
