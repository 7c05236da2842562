// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/scheduler.h"

#include "model/status.h"

namespace drover::server {

int attempts_max(std::string_view eval_type) {
    return eval_type == model::kJobTypeBatch || eval_type == model::kJobTypeSysBatch ? 2 : 5;
}

bool handles_trigger(std::string_view type, std::string_view trigger) {
    if (trigger == model::kTriggerScheduled) return false;
    if (type == model::kJobTypeService || type == model::kJobTypeBatch) return true;
    for (auto known : {model::kTriggerJobRegister, model::kTriggerJobDeregister, model::kTriggerNodeUpdate,
                       model::kTriggerNodeDrain, model::kTriggerAllocStop, model::kTriggerQueuedAllocs,
                       model::kTriggerPreemption, model::kTriggerFailedFollowUp, model::kTriggerRollingUpdate,
                       model::kTriggerDeploymentWatcher, model::kTriggerScaling, model::kTriggerReconnect})
        if (trigger == known) return true;
    return type == model::kJobTypeSysBatch && trigger == model::kTriggerPeriodicJob;
}

model::Evaluation blocked_eval(const model::Evaluation& of, const Placer* placer, uint64_t snapshot_index,
                               std::string id) {
    model::Evaluation blocked;
    blocked.set_id(std::move(id));
    blocked.set_namespace_(of.namespace_());
    blocked.set_priority(of.priority());
    blocked.set_type(of.type());
    blocked.set_triggered_by(std::string(model::kTriggerQueuedAllocs));
    blocked.set_job_id(of.job_id());
    blocked.set_job_modify_index(of.job_modify_index());
    blocked.set_status(std::string(model::kEvalStatusBlocked));
    blocked.set_status_description("created to place remaining allocations");
    blocked.set_previous_eval(of.id());
    blocked.set_snapshot_index(snapshot_index);
    if (placer) {
        for (const auto& [computed_class, eligible] : placer->class_eligibility())
            (*blocked.mutable_class_eligibility())[computed_class] = eligible;
        blocked.set_escaped_computed_class(placer->escaped());
    }
    return blocked;
}

namespace detail {

model::Allocation new_alloc(Work& work, const model::TaskGroup& group, std::string name,
                            const PlaceOption& option, model::AllocationMetric metric) {
    model::Allocation alloc;
    alloc.set_id(work.seeded.uuid());
    alloc.set_namespace_(work.job->namespace_());
    alloc.set_eval_id(work.eval.id());
    alloc.set_name(std::move(name));
    alloc.set_node_id(option.node->id());
    alloc.set_node_name(option.node->name());
    alloc.set_job_id(work.job->id());
    alloc.set_task_group(group.name());
    *alloc.mutable_allocated_resources() = option.resources;
    *alloc.mutable_metrics() = std::move(metric);
    alloc.set_desired_status(std::string(model::kAllocDesiredRun));
    alloc.set_client_status(std::string(model::kAllocClientPending));
    return alloc;
}

void add_stop(Work& work, const AllocRecord& record, std::string_view description,
              std::string_view client_status) {
    auto& stop = *work.out.plan.add_stops();
    stop.set_alloc_id(record.alloc->id());
    stop.set_desired_status(std::string(model::kAllocDesiredStop));
    stop.set_description(std::string(description));
    stop.set_client_status(std::string(client_status));
    if (work.placer) work.placer->stopped(record);
}

void add_in_place(Work& work, const AllocRecord& record, const std::string& deployment_id) {
    auto& update = *work.out.plan.add_updates();
    update = *record.alloc;
    update.set_eval_id(work.eval.id());
    if (!deployment_id.empty() && update.deployment_id() != deployment_id) {
        update.set_deployment_id(deployment_id);
        update.clear_deployment_status();  // its health is watched anew
    }
}

void add_failure(Work& work, const std::string& group, model::AllocationMetric metric) {
    ++work.queued[group];
    auto [found, fresh] = work.failed.try_emplace(group, std::move(metric));
    if (!fresh) found->second.set_coalesced_failures(found->second.coalesced_failures() + 1);
}

namespace {

void finish(Work& work) {
    auto& plan = work.out.plan;
    model::Evaluation eval = work.eval;
    const bool was_blocked = eval.status() == model::kEvalStatusBlocked;
    eval.set_snapshot_index(work.state.index);
    if (!work.deployment_id.empty()) eval.set_deployment_id(work.deployment_id);
    eval.clear_failed_tg_allocs();
    eval.clear_queued_allocations();
    for (auto& [group, metric] : work.failed) (*eval.mutable_failed_tg_allocs())[group] = metric;
    if (work.job && !work.job->stop())
        for (const auto& group : work.job->task_groups())
            (*eval.mutable_queued_allocations())[group.name()] = work.queued[group.name()];
    for (const auto& [group, updates] : work.desired)
        (*eval.mutable_plan_annotations()->mutable_desired_tg_updates())[group] = updates;
    *plan.mutable_annotations() = eval.plan_annotations();
    if (was_blocked && !work.failed.empty()) {
        // Still no room: it goes on waiting, knowing what it knows now.
        auto again = blocked_eval(eval, work.placer.get(), work.state.index, eval.id());
        *eval.mutable_class_eligibility() = again.class_eligibility();
        eval.set_escaped_computed_class(again.escaped_computed_class());
    } else {
        eval.set_status(std::string(model::kEvalStatusComplete));
        eval.clear_status_description();
        if (!work.failed.empty()) {
            work.out.blocked = blocked_eval(eval, work.placer.get(), work.state.index, work.seeded.uuid());
            *work.out.blocked->mutable_failed_tg_allocs() = eval.failed_tg_allocs();
            *work.out.blocked->mutable_queued_allocations() = eval.queued_allocations();
            eval.set_blocked_eval(work.out.blocked->id());
        }
    }
    *plan.add_final_evals() = eval;
    if (work.out.blocked) *plan.add_final_evals() = *work.out.blocked;
    work.out.eval = std::move(eval);
}

}  // namespace
}  // namespace detail

Decision schedule(const ScheduleInput& input) {
    const auto& eval = *input.eval;
    Seeded seeded(input.seed);
    detail::Work work{*input.state, eval,   input.state->job(eval.namespace_(), eval.job_id()),
                      input.now,    seeded, nullptr,
                      {},           {},     {},
                      {},           {}};
    auto& plan = work.out.plan;
    plan.set_eval_id(eval.id());
    plan.set_priority(eval.priority());
    plan.set_namespace_(eval.namespace_());
    plan.set_job_id(eval.job_id());
    plan.set_snapshot_index(input.state->index);
    if (!handles_trigger(eval.type(), eval.triggered_by())) {
        model::Evaluation failed = eval;
        failed.set_status(std::string(model::kEvalStatusFailed));
        failed.set_status_description(
            fmt::format("scheduler cannot handle '{}' evaluation reason", eval.triggered_by()));
        *plan.add_final_evals() = failed;
        work.out.eval = std::move(failed);
        return std::move(work.out);
    }
    if (work.job) {
        plan.set_all_at_once(work.job->all_at_once());
        plan.set_job_version(work.job->version());
        if (!work.job->stop()) work.placer = std::make_unique<Placer>(*input.state, *work.job, seeded);
    }
    const std::string_view type =
        work.job ? std::string_view(work.job->type()) : std::string_view(eval.type());
    if (type == model::kJobTypeSystem || type == model::kJobTypeSysBatch)
        detail::schedule_system(work);
    else
        detail::schedule_generic(work);
    detail::finish(work);
    return std::move(work.out);
}

}  // namespace drover::server
