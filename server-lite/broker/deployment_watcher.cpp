// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/deployment_watcher.h"

#include "base/clock.h"
#include "model/job_compare.h"
#include "model/status.h"
#include "server-lite/core.h"
#include "server-lite/scheduler/reconcile.h"

namespace drover::server {
namespace {

bool group_done(const model::DeploymentState& group) {
    return group.healthy_allocs() >= group.desired_total();
}

// No policy will replace it: waiting for the progress deadline would change nothing.
bool attempts_used_up(const model::Job& job, const model::Allocation& alloc) {
    const auto* group = model::find_group(job, alloc.task_group());
    return group && alloc.client_status() == model::kAllocClientFailed &&
           !reschedule_time(alloc, *group, unix_now());
}

// The newest stable version before this one.
JobPtr stable_version(const State& state, const model::Deployment& deployment) {
    for (const auto& job : state.job_versions(deployment.namespace_(), deployment.job_id()))
        if (job->stable() && job->version() != deployment.job_version()) return job;
    return nullptr;
}

}  // namespace

void DeploymentWatcher::look_at_all() {
    core_.store.snapshot()->deployments.each([&](const std::string& id, const DeploymentPtr& deployment) {
        if (model::deployment_active(deployment->status())) look(id);
    });
}

void DeploymentWatcher::look(const std::string& deployment_id) {
    std::lock_guard lock(mutex_);
    const auto state = core_.store.snapshot();
    const auto deployment = state->deployment(deployment_id);
    if (!deployment || !model::deployment_active(deployment->status())) {
        if (auto seen = seen_.find(deployment_id); seen != seen_.end()) {
            if (seen->second.timer != 0) core_.timers.cancel(seen->second.timer);
            seen_.erase(seen);
        }
        return;
    }
    auto& seen = seen_[deployment_id];
    if (seen.failing) return;
    const auto job = state->job(deployment->namespace_(), deployment->job_id());
    if (!job) return;

    int64_t healthy = 0, unhealthy = 0;
    for (const auto& [name, group] : deployment->task_groups()) {
        healthy += group.healthy_allocs();
        unhealthy += group.unhealthy_allocs();
    }
    cmd::Command command;
    auto& update = *command.mutable_deployment_update();
    if (unhealthy > 0)
        for (const auto& record : state->job_allocs(deployment->namespace_(), deployment->job_id())) {
            const auto& alloc = *record->alloc;
            if (alloc.deployment_id() != deployment_id || !alloc.deployment_status().has_healthy() ||
                alloc.deployment_status().healthy() || seen.rescheduled.contains(alloc.id()))
                continue;
            const auto group = deployment->task_groups().find(alloc.task_group());
            if (group != deployment->task_groups().end() &&
                (group->second.progress_deadline() == 0 || attempts_used_up(*job, alloc))) {
                seen.failing = true;
                return fail(*state, *deployment, "Failed due to unhealthy allocations");
            }
            seen.rescheduled.insert(alloc.id());
            update.add_reschedule(alloc.id());
        }
    if (healthy != seen.healthy || update.reschedule_size() > 0) {
        const bool worth = healthy > std::max<int64_t>(0, seen.healthy) || update.reschedule_size() > 0;
        seen.healthy = healthy;
        if (worth) {
            auto eval = job_eval(*job, model::kTriggerDeploymentWatcher, unix_now());
            eval.set_deployment_id(deployment_id);
            *update.mutable_eval() = std::move(eval);
            core_.propose_quietly(std::move(command), "advance deployment");
        }
    }
    arm(*deployment, seen);
}

void DeploymentWatcher::arm(const model::Deployment& deployment, Seen& seen) {
    int64_t due = INT64_MAX;
    for (const auto& [name, group] : deployment.task_groups())
        if (!group_done(group) && group.require_progress_by() > 0)
            due = std::min(due, group.require_progress_by());
    if (seen.timer != 0) core_.timers.cancel(seen.timer);
    seen.timer = 0;
    if (due == INT64_MAX || deployment.status() == model::kDeploymentPaused) return;
    const int64_t left = due - unix_now();
    seen.timer = core_.timers.schedule(mono_now() + std::max<int64_t>(0, left), [this, id = deployment.id()] {
        core_.pool.post([this, id] {
            std::unique_lock lock(mutex_);
            const auto state = core_.store.snapshot();
            const auto now = state->deployment(id);
            auto found = seen_.find(id);
            if (!now || found == seen_.end() || found->second.failing ||
                !model::deployment_active(now->status()))
                return;
            for (const auto& [name, group] : now->task_groups())
                if (!group_done(group) && group.require_progress_by() > 0 &&
                    group.require_progress_by() <= unix_now()) {
                    found->second.failing = true;
                    return fail(*state, *now, "Failed due to progress deadline");
                }
            arm(*now, found->second);
        });
    });
}

void DeploymentWatcher::fail(const State& state, const model::Deployment& deployment,
                             std::string description) {
    const auto job = state.job(deployment.namespace_(), deployment.job_id());
    bool revert = false;
    for (const auto& [name, group] : deployment.task_groups()) revert |= group.auto_revert();
    cmd::Command command;
    auto& update = *command.mutable_deployment_update();
    if (revert && job) {
        const auto stable = stable_version(state, deployment);
        if (!stable) {
            description += " - no stable job version to auto revert to";
        } else if (!model::spec_changed(*stable, *job)) {
            description += fmt::format(
                " - not rolling back to stable job version {} as current job has same specification",
                stable->version());
        } else {
            description += fmt::format(" - rolling back to job version {}", stable->version());
            *update.mutable_revert()->mutable_job() = *stable;
            update.mutable_revert()->set_versions_kept(core_.options.job_tracked_versions);
        }
    }
    update.mutable_update()->set_deployment_id(deployment.id());
    update.mutable_update()->set_status(std::string(model::kDeploymentFailed));
    update.mutable_update()->set_description(std::move(description));
    if (job) {
        auto eval = job_eval(*job, model::kTriggerDeploymentWatcher, unix_now());
        eval.set_deployment_id(deployment.id());
        *update.mutable_eval() = std::move(eval);
    }
    core_.propose_quietly(std::move(command), "fail deployment");
}

}  // namespace drover::server
