// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/drainer.h"

#include "base/clock.h"
#include "model/status.h"
#include "server-lite/core.h"

namespace drover::server {
namespace {
bool is_system(const AllocRecord& record) {
    return record.job->type() == model::kJobTypeSystem || record.job->type() == model::kJobTypeSysBatch;
}
}  // namespace

std::vector<std::string> drainable(const State& state, const std::string& node_id, DrainForce force) {
    std::vector<std::string> out;
    for (const auto& record : state.node_allocs(node_id)) {
        if (model::terminal(*record->alloc) || record->alloc->desired_transition().migrate() ||
            is_system(*record))
            continue;
        if (record->job->type() == model::kJobTypeBatch && force == DrainForce::No) continue;
        out.push_back(record->alloc->id());
    }
    return out;
}

void Drainer::look_at_all() {
    core_.store.snapshot()->nodes.each([&](const std::string& id, const NodePtr& node) {
        if (node->has_drain_strategy()) look(id);
    });
}

void Drainer::look(const std::string& node_id) {
    std::lock_guard lock(mutex_);
    const auto state = core_.store.snapshot();
    const auto node = state->node(node_id);
    if (!node || !node->has_drain_strategy()) {
        ending_.erase(node_id);
        if (auto timer = timers_.find(node_id); timer != timers_.end()) {
            core_.timers.cancel(timer->second);
            timers_.erase(timer);
        }
        return;
    }
    if (ending_.contains(node_id)) return;
    bool left = false;
    for (const auto& record : state->node_allocs(node_id))
        left |= !model::client_terminal(*record->alloc) && !is_system(*record);
    const auto& strategy = node->drain_strategy();
    const bool late = strategy.force_deadline() > 0 && strategy.force_deadline() <= unix_now();
    if (left && !late) {
        if (strategy.force_deadline() > 0 && !timers_.contains(node_id))
            timers_[node_id] =
                core_.timers.schedule(mono_now() + (strategy.force_deadline() - unix_now()), [this, node_id] {
                    core_.pool.post([this, node_id] {
                        {
                            std::lock_guard inner(mutex_);
                            timers_.erase(node_id);
                        }
                        look(node_id);
                    });
                });
        return;
    }
    ending_.insert(node_id);
    cmd::Command command;
    auto& drain = *command.mutable_node_drain();
    drain.set_node_id(node_id);
    drain.set_completed(true);
    drain.mutable_event()->set_message("Node drain complete");
    drain.mutable_event()->set_subsystem("Drain");
    drain.mutable_event()->set_timestamp(unix_now());
    if (late) (*drain.mutable_event()->mutable_details())["deadline_reached"] = "true";
    for (auto& id : drainable(*state, node_id, DrainForce::Yes)) *drain.add_migrate() = std::move(id);
    for (auto& eval : node_evals(*state, *node, model::kTriggerNodeDrain, unix_now()))
        *drain.add_evals() = std::move(eval);
    core_.propose_quietly(std::move(command), "end drain");
}

}  // namespace drover::server
