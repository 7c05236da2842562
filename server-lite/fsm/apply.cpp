// SPDX-License-Identifier: Apache-2.0
#include "server-lite/fsm/apply.h"

#include "model/job_compare.h"
#include "model/status.h"
#include "proto/raft/command.pb.h"

namespace drover::server {
namespace {

constexpr int kNodeEventsMax = 10;

void add_event(model::Node& node, const model::NodeEvent& event, uint64_t index) {
    auto* added = node.add_events();
    *added = event;
    added->set_create_index(index);
    while (node.events_size() > kNodeEventsMax) node.mutable_events()->erase(node.events().begin());
}

template <class Evals>
void put_evals(StateWriter& w, const Evals& evals) {
    for (const auto& eval : evals) w.put_eval(eval);
}

Status job_upsert(StateWriter& w, const cmd::JobUpsert& command) {
    model::Job job = command.job();
    const std::string ns = job.namespace_(), id = job.id();
    const auto existing = w.state().job(ns, id);
    if (command.enforce_index()) {
        const uint64_t wanted = command.job_modify_index();
        if (wanted == 0 && existing)
            return make_error(Code::FailedPrecondition, "Enforcing job modify index 0: job already exists");
        if (wanted != 0 && !existing)
            return make_error(Code::FailedPrecondition, "Enforcing job modify index {}: job does not exist",
                              wanted);
        if (wanted != 0 && existing->job_modify_index() != wanted)
            return make_error(
                Code::FailedPrecondition,
                "Enforcing job modify index {}: job exists with conflicting job modify index: {}", wanted,
                existing->job_modify_index());
    }
    const bool changed = !existing || existing->stop() || model::spec_changed(*existing, job);
    if (changed) {
        job.set_version(existing ? existing->version() + 1 : 0);
        job.set_create_index(existing ? existing->create_index() : w.index());
        job.set_modify_index(w.index());
        job.set_job_modify_index(w.index());
        job.set_stop(false);
        job.set_stable(false);
        job.set_submit_time(w.time());
        job.set_status(existing && !existing->stop() ? existing->status()
                                                     : std::string(model::kJobStatusPending));
        job.clear_status_description();
        job.clear_version_tag();
        const uint64_t version = job.version();
        w.put_job(std::move(job), command.versions_kept());
        if (command.has_submission()) w.put_submission(ns, id, version, command.submission());
    }
    if (command.has_eval()) {
        auto eval = command.eval();
        eval.set_job_modify_index(w.state().job(ns, id)->job_modify_index());
        w.put_eval(std::move(eval));
    }
    return {};
}

Status job_deregister(StateWriter& w, const cmd::JobDeregister& command) {
    const auto existing = w.state().job(command.namespace_(), command.job_id());
    if (!existing) return make_error(Code::NotFound, "job not found");
    if (command.purge()) {
        w.remove_job(command.namespace_(), command.job_id());
    } else if (!existing->stop()) {
        auto job = *existing;
        job.set_stop(true);
        job.set_version(existing->version() + 1);
        job.set_modify_index(w.index());
        job.set_job_modify_index(w.index());
        job.set_submit_time(w.time());
        job.set_stable(false);
        job.clear_version_tag();
        w.put_job(std::move(job), 0);
    }
    if (command.has_eval()) {
        auto eval = command.eval();
        eval.set_job_modify_index(w.index());
        w.put_eval(std::move(eval));
    }
    return {};
}

void stop_alloc(StateWriter& w, const cmd::AllocStop& stop) {
    const auto found = w.state().alloc(stop.alloc_id());
    if (!found) return;
    AllocRecord record = *found;
    auto alloc = *found->alloc;
    alloc.set_desired_status(stop.desired_status());
    alloc.set_desired_description(stop.description());
    if (!stop.client_status().empty() && !model::client_terminal(alloc))
        alloc.set_client_status(stop.client_status());
    if (!stop.followup_eval_id().empty()) alloc.set_followup_eval_id(stop.followup_eval_id());
    if (!stop.preempted_by().empty()) alloc.set_preempted_by_allocation(stop.preempted_by());
    alloc.set_modify_index(w.index());
    alloc.set_alloc_modify_index(w.index());
    alloc.set_modify_time(w.time());
    record.alloc = std::make_shared<const model::Allocation>(std::move(alloc));
    w.put_alloc(std::move(record));
}

void place_alloc(StateWriter& w, const model::Allocation& placed, const JobPtr& job) {
    model::Allocation alloc = placed;
    alloc.set_create_index(w.index());
    alloc.set_modify_index(w.index());
    alloc.set_alloc_modify_index(w.index());
    alloc.set_create_time(w.time());
    alloc.set_modify_time(w.time());
    if (auto previous = w.state().alloc(alloc.previous_allocation()); previous) {
        AllocRecord record = *previous;
        auto changed = *previous->alloc;
        changed.set_next_allocation(alloc.id());
        changed.set_modify_index(w.index());
        record.handed_over = model::server_terminal(changed) && changed.node_id() == alloc.node_id();
        record.alloc = std::make_shared<const model::Allocation>(std::move(changed));
        w.put_alloc(std::move(record));
    }
    w.put_alloc({std::make_shared<const model::Allocation>(std::move(alloc)), job, false});
}

// What the client and later placements wrote stays: an update only says what is desired now.
void update_alloc(StateWriter& w, const model::Allocation& update, const JobPtr& job) {
    const auto found = w.state().alloc(update.id());
    if (!found) return;
    model::Allocation alloc = update;
    const auto& old = *found->alloc;
    *alloc.mutable_task_states() = old.task_states();
    alloc.set_next_allocation(old.next_allocation());
    if (update.client_status() != model::kAllocClientLost &&
        update.client_status() != model::kAllocClientUnknown) {
        alloc.set_client_status(old.client_status());
        alloc.set_client_description(old.client_description());
    }
    if (old.has_network_status()) *alloc.mutable_network_status() = old.network_status();
    alloc.set_create_index(old.create_index());
    alloc.set_create_time(old.create_time());
    alloc.set_modify_index(w.index());
    alloc.set_alloc_modify_index(w.index());
    alloc.set_modify_time(w.time());
    w.put_alloc({std::make_shared<const model::Allocation>(std::move(alloc)), job ? job : found->job,
                 found->handed_over});
}

void follow_up(StateWriter& w, const cmd::AllocFollowup& followup) {
    const auto found = w.state().alloc(followup.alloc_id());
    if (!found) return;
    AllocRecord record = *found;
    auto alloc = *found->alloc;
    alloc.set_followup_eval_id(followup.eval_id());
    alloc.set_modify_index(w.index());
    alloc.set_modify_time(w.time());
    record.alloc = std::make_shared<const model::Allocation>(std::move(alloc));
    w.put_alloc(std::move(record));
}

void deployment_status(StateWriter& w, const cmd::DeploymentStatusUpdate& update) {
    auto found = w.state().deployment(update.deployment_id());
    if (!found || !model::deployment_active(found->status())) return;
    auto deployment = *found;
    deployment.set_status(update.status());
    deployment.set_status_description(update.description());
    w.put_deployment(std::move(deployment));
    if (update.status() == model::kDeploymentSuccessful)
        w.set_job_stable(found->namespace_(), found->job_id(), found->job_version());
}

Status plan(StateWriter& w, const cmd::Plan& plan) {
    if (plan.has_deployment()) {
        auto deployment = plan.deployment();
        if (auto existing = w.state().deployment(deployment.id()))
            for (auto& [name, group] : *deployment.mutable_task_groups()) {
                auto old = existing->task_groups().find(name);
                if (old == existing->task_groups().end()) continue;
                group.set_placed_allocs(old->second.placed_allocs());
                group.set_healthy_allocs(old->second.healthy_allocs());
                group.set_unhealthy_allocs(old->second.unhealthy_allocs());
                group.set_require_progress_by(old->second.require_progress_by());
            }
        w.put_deployment(std::move(deployment));
    }
    for (const auto& update : plan.deployment_updates()) deployment_status(w, update);
    for (const auto& stop : plan.stops()) stop_alloc(w, stop);
    const auto job = w.state().job_version(plan.namespace_(), plan.job_id(), plan.job_version());
    const auto current = w.state().job(plan.namespace_(), plan.job_id());
    for (const auto& update : plan.updates()) update_alloc(w, update, job);
    if (job && current && !current->stop())
        for (const auto& placed : plan.placements()) place_alloc(w, placed, job);
    for (const auto& followup : plan.followups()) follow_up(w, followup);
    put_evals(w, plan.evals());
    put_evals(w, plan.final_evals());
    return {};
}

Status node_upsert(StateWriter& w, const cmd::NodeUpsert& command) {
    model::Node node = command.node();
    const auto existing = w.state().node(node.id());
    if (existing) {
        if (!existing->secret_id().empty() && existing->secret_id() != node.secret_id())
            return make_error(Code::PermissionDenied, "node secret ID does not match. Not registering node.");
        *node.mutable_events() = existing->events();
        node.set_scheduling_eligibility(existing->scheduling_eligibility());
        if (existing->has_drain_strategy()) *node.mutable_drain_strategy() = existing->drain_strategy();
        if (existing->has_last_drain()) *node.mutable_last_drain() = existing->last_drain();
        node.set_drain(existing->drain());
        node.set_last_alloc_update_index(existing->last_alloc_update_index());
        node.set_last_missed_heartbeat_index(existing->last_missed_heartbeat_index());
        if (existing->status() == model::kNodeStatusDown && node.status() != model::kNodeStatusDown) {
            model::NodeEvent event;
            event.set_message("Node re-registered");
            event.set_subsystem("Cluster");
            event.set_timestamp(w.time());
            add_event(node, event, w.index());
        }
    } else {
        model::NodeEvent event;
        event.set_message("Node registered");
        event.set_subsystem("Cluster");
        event.set_timestamp(w.time());
        add_event(node, event, 0);
    }
    if (!existing || existing->status() != node.status())
        node.set_status_updated_at(w.time() / 1'000'000'000);
    else
        node.set_status_updated_at(existing->status_updated_at());
    w.put_node(std::move(node));
    put_evals(w, command.evals());
    return {};
}

Status node_status(StateWriter& w, const cmd::NodeStatus& command) {
    const auto existing = w.state().node(command.node_id());
    if (!existing) return make_error(Code::NotFound, "node not found");
    auto node = *existing;
    node.set_status(command.status());
    node.set_status_updated_at(w.time() / 1'000'000'000);
    if (command.missed_heartbeat()) node.set_last_missed_heartbeat_index(w.index());
    if (command.has_event()) add_event(node, command.event(), w.index());
    w.put_node(std::move(node));
    put_evals(w, command.evals());
    return {};
}

void transition(StateWriter& w, const std::string& id, const model::DesiredTransition& wanted) {
    const auto found = w.state().alloc(id);
    if (!found) return;
    AllocRecord record = *found;
    auto alloc = *found->alloc;
    alloc.mutable_desired_transition()->MergeFrom(wanted);
    alloc.set_modify_index(w.index());
    alloc.set_modify_time(w.time());
    record.alloc = std::make_shared<const model::Allocation>(std::move(alloc));
    w.put_alloc(std::move(record));
}

Status node_drain(StateWriter& w, const cmd::NodeDrain& command) {
    const auto existing = w.state().node(command.node_id());
    if (!existing) return make_error(Code::NotFound, "node not found");
    auto node = *existing;
    auto& last = *node.mutable_last_drain();
    last.set_updated_at(w.time());
    if (command.has_strategy()) {
        *node.mutable_drain_strategy() = command.strategy();
        node.set_drain(true);
        node.set_scheduling_eligibility(std::string(model::kNodeIneligible));
        if (!existing->has_drain_strategy()) last.set_started_at(w.time());
        last.set_status("draining");
        *last.mutable_meta() = command.meta();
    } else {
        node.clear_drain_strategy();
        node.set_drain(false);
        if (command.mark_eligible()) node.set_scheduling_eligibility(std::string(model::kNodeEligible));
        last.set_status(command.completed() ? "complete" : "canceled");
    }
    if (command.has_event()) add_event(node, command.event(), w.index());
    w.put_node(std::move(node));
    model::DesiredTransition migrate;
    migrate.set_migrate(true);
    for (const auto& id : command.migrate()) transition(w, id, migrate);
    put_evals(w, command.evals());
    return {};
}

Status node_eligibility(StateWriter& w, const cmd::NodeEligibility& command) {
    const auto existing = w.state().node(command.node_id());
    if (!existing) return make_error(Code::NotFound, "node not found");
    if (existing->has_drain_strategy() && command.eligibility() == model::kNodeEligible)
        return make_error(Code::InvalidArgument,
                          "can not set node's scheduling eligibility to eligible while it is draining");
    auto node = *existing;
    node.set_scheduling_eligibility(command.eligibility());
    if (command.has_event()) add_event(node, command.event(), w.index());
    w.put_node(std::move(node));
    put_evals(w, command.evals());
    return {};
}

Status client_update(StateWriter& w, const cmd::AllocClientUpdate& command) {
    for (const auto& update : command.allocs()) {
        const auto found = w.state().alloc(update.id());
        if (!found) continue;
        AllocRecord record = *found;
        auto alloc = *found->alloc;
        alloc.set_client_status(update.client_status());
        alloc.set_client_description(update.client_description());
        *alloc.mutable_task_states() = update.task_states();
        if (update.has_network_status()) *alloc.mutable_network_status() = update.network_status();
        if (update.has_deployment_status() && update.deployment_status().has_healthy()) {
            const bool canary = alloc.deployment_status().canary();
            const bool same = alloc.deployment_status().has_healthy() &&
                              alloc.deployment_status().healthy() == update.deployment_status().healthy();
            const uint64_t index = same ? alloc.deployment_status().modify_index() : w.index();
            *alloc.mutable_deployment_status() = update.deployment_status();
            alloc.mutable_deployment_status()->set_canary(canary);
            alloc.mutable_deployment_status()->set_modify_index(index);
        }
        alloc.set_modify_index(w.index());
        alloc.set_modify_time(w.time());
        record.alloc = std::make_shared<const model::Allocation>(std::move(alloc));
        w.put_alloc(std::move(record));
    }
    put_evals(w, command.evals());
    return {};
}

Status deployment_update(StateWriter& w, const cmd::DeploymentUpdate& command) {
    if (command.has_update()) {
        auto found = w.state().deployment(command.update().deployment_id());
        if (!found) return make_error(Code::NotFound, "deployment not found");
        if (!model::deployment_active(found->status()))
            return make_error(Code::FailedPrecondition, "can't update terminal deployment");
        deployment_status(w, command.update());
    }
    if (command.has_revert()) DROVER_CHECK(job_upsert(w, command.revert()));
    model::DesiredTransition reschedule;
    reschedule.set_reschedule(true);
    for (const auto& id : command.reschedule()) transition(w, id, reschedule);
    if (command.has_eval()) w.put_eval(command.eval());
    return {};
}

Status scheduler_config(StateWriter& w, const cmd::SchedulerConfigSet& command) {
    if (command.check() && w.state().config->modify_index() != command.cas_index())
        return make_error(Code::Aborted, "scheduler configuration was changed in the meantime");
    w.put_config(command.config());
    return {};
}

Status reap(StateWriter& w, const cmd::Reap& command) {
    for (const auto& id : command.allocs()) w.remove_alloc(id);
    for (const auto& id : command.evals()) w.remove_eval(id);
    for (const auto& id : command.deployments()) w.remove_deployment(id);
    for (const auto& job : command.jobs()) w.remove_job(job.namespace_(), job.id());
    for (const auto& id : command.nodes()) w.remove_node(id);
    return {};
}

Status dispatch(StateWriter& w, const cmd::Command& command) {
    using cmd::Command;
    switch (command.kind_case()) {
        case Command::kJobUpsert:
            return job_upsert(w, command.job_upsert());
        case Command::kJobDeregister:
            return job_deregister(w, command.job_deregister());
        case Command::kEvalUpsert:
            put_evals(w, command.eval_upsert().evals());
            return {};
        case Command::kPlan:
            return plan(w, command.plan());
        case Command::kNodeUpsert:
            return node_upsert(w, command.node_upsert());
        case Command::kNodeStatus:
            return node_status(w, command.node_status());
        case Command::kNodeDrain:
            return node_drain(w, command.node_drain());
        case Command::kNodeEligibility:
            return node_eligibility(w, command.node_eligibility());
        case Command::kNodeRemove:
            for (const auto& id : command.node_remove().node_ids()) w.remove_node(id);
            put_evals(w, command.node_remove().evals());
            return {};
        case Command::kAllocClientUpdate:
            return client_update(w, command.alloc_client_update());
        case Command::kAllocTransition:
            for (const auto& [id, wanted] : command.alloc_transition().transitions())
                transition(w, id, wanted);
            put_evals(w, command.alloc_transition().evals());
            return {};
        case Command::kDeploymentUpdate:
            return deployment_update(w, command.deployment_update());
        case Command::kSchedulerConfig:
            return scheduler_config(w, command.scheduler_config());
        case Command::kReap:
            return reap(w, command.reap());
        case Command::KIND_NOT_SET:
            break;
    }
    return make_error(Code::Unimplemented, "a command that this version does not know: use a newer drover");
}

}  // namespace

Status apply_command(State& state, uint64_t index, const cmd::Command& command, Effects& effects) {
    StateWriter writer(state, index, command.time(), effects);
    auto status = dispatch(writer, command);
    if (status) writer.finish();
    state.index = index;
    return status;
}

}  // namespace drover::server
