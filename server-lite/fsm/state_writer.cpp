// SPDX-License-Identifier: Apache-2.0
#include "server-lite/fsm/state_writer.h"

#include "model/status.h"

namespace drover::server {
namespace {

using model::client_terminal;

template <class T>
std::shared_ptr<const T> freeze(T&& value) {
    return std::make_shared<const std::decay_t<T>>(std::forward<T>(value));
}

// The counter that a client status stands for; null for none.
int64_t count_of(const model::TaskGroupSummary& s, std::string_view status) {
    if (status == model::kAllocClientPending) return s.starting();
    if (status == model::kAllocClientRunning) return s.running();
    if (status == model::kAllocClientLost) return s.lost();
    if (status == model::kAllocClientUnknown) return s.unknown();
    return 0;
}

void set_count(model::TaskGroupSummary& s, std::string_view status, int64_t value) {
    if (status == model::kAllocClientPending)
        s.set_starting(value);
    else if (status == model::kAllocClientRunning)
        s.set_running(value);
    else if (status == model::kAllocClientLost)
        s.set_lost(value);
    else if (status == model::kAllocClientUnknown)
        s.set_unknown(value);
}

}  // namespace

void StateWriter::touch(TableId table, std::string key) {
    s_.table_index[static_cast<size_t>(table)] = index_;
    fx_.touched.insert(watch::table(table));
    fx_.touched.insert(std::move(key));
}

// ---- jobs
// ------------------------------------------------------------------------------------------------------------

void StateWriter::put_job(model::Job job, uint32_t versions_kept) {
    const std::string ns = job.namespace_(), id = job.id();
    if (!s_.job(ns, id)) {
        model::JobSummary summary;
        summary.set_job_id(id);
        summary.set_namespace_(ns);
        summary.set_create_index(index_);
        if (job.has_periodic() || job.has_parameterized_job()) summary.mutable_children();
        put_summary(std::move(summary));
    }
    auto summary = summary_of(ns, id);
    for (const auto& group : job.task_groups()) (*summary.mutable_summary())[group.name()];
    put_summary(std::move(summary));

    auto frozen = freeze(std::move(job));
    s_.jobs.set(job_key(ns, id), frozen);
    s_.versions.set(version_key(ns, id, frozen->version()), frozen);
    touch(TableId::Jobs, watch::job(ns, id));
    touch(TableId::Versions, watch::job(ns, id));
    stale_.insert({ns, id});

    // The newest `versions_kept` stay, besides the newest stable one and those that carry a tag.
    if (versions_kept == 0) return;
    uint32_t seen = 0;
    bool stable_seen = false;
    for (const auto& version : s_.job_versions(ns, id)) {
        const bool first_stable =
            version->stable() && !std::exchange(stable_seen, stable_seen || version->stable());
        if (++seen <= versions_kept || first_stable || version->has_version_tag()) continue;
        s_.versions.erase(version_key(ns, id, version->version()));
        s_.submissions.erase(version_key(ns, id, version->version()));
    }
}

void StateWriter::set_job_stable(const std::string& ns, const std::string& id, uint64_t version) {
    auto found = s_.job_version(ns, id, version);
    if (!found || found->stable()) return;
    auto job = *found;
    job.set_stable(true);
    job.set_modify_index(index_);
    auto frozen = freeze(std::move(job));
    auto current = s_.job(ns, id);
    if (current && current->version() == version) s_.jobs.set(job_key(ns, id), frozen);
    s_.versions.set(version_key(ns, id, version), frozen);
    touch(TableId::Jobs, watch::job(ns, id));
}

void StateWriter::remove_job(const std::string& ns, const std::string& id) {
    s_.jobs.erase(job_key(ns, id));
    for (const auto& version : s_.job_versions(ns, id)) {
        s_.versions.erase(version_key(ns, id, version->version()));
        s_.submissions.erase(version_key(ns, id, version->version()));
    }
    s_.summaries.erase(job_key(ns, id));
    for (const auto& deployment : s_.job_deployments(ns, id)) remove_deployment(deployment->id());
    touch(TableId::Jobs, watch::job(ns, id));
    touch(TableId::Summaries, watch::job(ns, id));
    fx_.satisfied_jobs.insert({ns, id});
}

void StateWriter::put_submission(const std::string& ns, const std::string& id, uint64_t version,
                                 model::JobSubmission submission) {
    s_.submissions.set(version_key(ns, id, version), freeze(std::move(submission)));
    touch(TableId::Submissions, watch::job(ns, id));
}

model::JobSummary StateWriter::summary_of(const std::string& ns, const std::string& id) const {
    auto found = s_.summary(ns, id);
    return found ? *found : model::JobSummary();
}

void StateWriter::put_summary(model::JobSummary summary) {
    const std::string ns = summary.namespace_(), id = summary.job_id();
    summary.set_modify_index(index_);
    s_.summaries.set(job_key(ns, id), freeze(std::move(summary)));
    touch(TableId::Summaries, watch::job(ns, id));
}

void StateWriter::finish() {
    for (const auto& id : stale_) refresh_status(id);
    stale_.clear();
}

std::string StateWriter::job_status(const model::Job& job) const {
    const bool stopped = job.stop();
    if (job.type() == model::kJobTypeSystem || model::is_periodic(job) || model::is_parameterized(job))
        return std::string(stopped ? model::kJobStatusDead : model::kJobStatusRunning);
    bool any = false, live = false;
    s_.allocs_by_job.scan_prefix(pair_key(job_key(job.namespace_(), job.id()), ""),
                                 [&](const std::string& key, char) {
                                     auto alloc = s_.alloc(std::string_view(key).substr(key.rfind('\0') + 1));
                                     any = true;
                                     live = alloc && !model::terminal(*alloc->alloc);
                                     return !live;
                                 });
    if (live) return std::string(model::kJobStatusRunning);
    for (const auto& deployment : s_.job_deployments(job.namespace_(), job.id()))
        if (!stopped && deployment->job_version() == job.version() &&
            model::deployment_active(deployment->status()))
            return std::string(model::kJobStatusRunning);
    for (const auto& eval : s_.job_evals(job.namespace_(), job.id())) {
        any = true;
        if (!model::eval_terminal(eval->status())) return std::string(model::kJobStatusPending);
    }
    if (stopped || any) return std::string(model::kJobStatusDead);
    return std::string(model::kJobStatusPending);
}

void StateWriter::refresh_status(const JobId& id) {
    auto job = s_.job(id.first, id.second);
    if (!job) return;
    auto status = job_status(*job);
    if (job->status() == status) return;
    auto changed = *job;
    const std::string before = job->status();
    changed.set_status(status);
    changed.set_modify_index(index_);
    auto frozen = freeze(std::move(changed));
    s_.jobs.set(job_key(id.first, id.second), frozen);
    s_.versions.set(version_key(id.first, id.second, frozen->version()), frozen);
    touch(TableId::Jobs, watch::job(id.first, id.second));

    if (!frozen->parent_id().empty()) {
        if (auto parent = s_.summary(id.first, frozen->parent_id()); parent && parent->has_children()) {
            auto summary = *parent;
            auto& children = *summary.mutable_children();
            auto add = [&](const std::string& s, int64_t by) {
                if (s == model::kJobStatusPending) children.set_pending(children.pending() + by);
                if (s == model::kJobStatusRunning) children.set_running(children.running() + by);
                if (s == model::kJobStatusDead) children.set_dead(children.dead() + by);
            };
            add(before, -1);
            add(status, 1);
            put_summary(std::move(summary));
        }
    }
}

// ---- evaluations
// -----------------------------------------------------------------------------------------------------

void StateWriter::put_eval(model::Evaluation eval) {
    auto before = s_.eval(eval.id());
    eval.set_create_index(before ? before->create_index() : index_);
    eval.set_modify_index(index_);
    eval.set_create_time(before ? before->create_time() : (eval.create_time() ? eval.create_time() : time_));
    eval.set_modify_time(time_);
    const std::string ns = eval.namespace_(), job_id = eval.job_id();

    if (!eval.queued_allocations().empty()) {
        if (auto found = s_.summary(ns, job_id)) {
            auto summary = *found;
            bool changed = false;
            for (const auto& [group, queued] : eval.queued_allocations()) {
                auto entry = summary.mutable_summary()->find(group);
                if (entry == summary.mutable_summary()->end() || entry->second.queued() == queued) continue;
                entry->second.set_queued(queued);
                changed = true;
            }
            if (changed) put_summary(std::move(summary));
        }
    }
    auto frozen = freeze(std::move(eval));
    s_.evals.set(frozen->id(), frozen);
    s_.evals_by_job.set(pair_key(job_key(ns, job_id), frozen->id()), 1);
    touch(TableId::Evals, watch::eval(frozen->id()));
    fx_.touched.insert(watch::job_evals(ns, job_id));
    fx_.evals.push_back(frozen);
    stale_.insert({ns, job_id});

    if (frozen->status() != model::kEvalStatusComplete || !frozen->failed_tg_allocs().empty()) return;
    fx_.satisfied_jobs.insert({ns, job_id});
    for (const auto& other : s_.job_evals(ns, job_id)) {
        if (other->id() == frozen->id() || other->status() != model::kEvalStatusBlocked) continue;
        auto cancelled = *other;
        cancelled.set_status(std::string(model::kEvalStatusCancelled));
        cancelled.set_status_description(fmt::format("evaluation \"{}\" successful", frozen->id()));
        put_eval(std::move(cancelled));
    }
}

void StateWriter::remove_eval(const std::string& id) {
    auto eval = s_.eval(id);
    if (!eval) return;
    s_.evals.erase(id);
    s_.evals_by_job.erase(pair_key(job_key(eval->namespace_(), eval->job_id()), id));
    touch(TableId::Evals, watch::eval(id));
    fx_.touched.insert(watch::job_evals(eval->namespace_(), eval->job_id()));
}

// ---- allocations
// -----------------------------------------------------------------------------------------------------

void StateWriter::put_alloc(AllocRecord record) {
    const auto before = s_.alloc(record.alloc->id());
    const auto& alloc = *record.alloc;
    const std::string ns = alloc.namespace_(), job_id = alloc.job_id(), node_id = alloc.node_id();

    NodeUsage usage = s_.usage_of(node_id);
    const bool held = before && holds_resources(*before), holds = holds_resources(record);
    if (held) subtract_usage(usage, *before->alloc);
    if (holds) add_usage(usage, alloc);
    const bool placement_changed =
        !before || before->alloc->alloc_modify_index() != alloc.alloc_modify_index();
    if (placement_changed) usage.placed_index = index_;
    if (held || holds || placement_changed) s_.usage.set(node_id, freeze(std::move(usage)));
    if (held && !holds) {
        fx_.freed_nodes.insert(node_id);
        if (auto node = s_.node(node_id)) fx_.freed_classes.insert(node->computed_class());
    }

    count_summary(before.get(), record);
    count_deployment(before.get(), record);
    if (!before) {
        s_.allocs_by_job.set(pair_key(job_key(ns, job_id), alloc.id()), 1);
        s_.allocs_by_node.set(pair_key(node_id, alloc.id()), 1);
    }
    if (!before || before->alloc->eval_id() != alloc.eval_id()) {
        if (before) s_.allocs_by_eval.erase(pair_key(before->alloc->eval_id(), alloc.id()));
        s_.allocs_by_eval.set(pair_key(alloc.eval_id(), alloc.id()), 1);
    }
    touch(TableId::Allocs, watch::alloc(alloc.id()));
    fx_.touched.insert(watch::node_allocs(node_id));
    if (placement_changed) fx_.touched.insert(watch::node_placements(node_id));
    fx_.touched.insert(watch::job_allocs(ns, job_id));
    fx_.touched.insert(watch::eval_allocs(alloc.eval_id()));
    if (!alloc.deployment_id().empty()) fx_.deployments.insert(alloc.deployment_id());
    stale_.insert({ns, job_id});
    std::string id = alloc.id();
    s_.allocs.set(id, freeze(std::move(record)));
}

void StateWriter::count_summary(const AllocRecord* before, const AllocRecord& after) {
    const auto& alloc = *after.alloc;
    auto found = s_.summary(alloc.namespace_(), alloc.job_id());
    if (!found) return;
    const std::string_view old_status = before ? std::string_view(before->alloc->client_status()) : "";
    if (before && old_status == alloc.client_status()) return;
    auto summary = *found;
    auto entry = summary.mutable_summary()->find(alloc.task_group());
    if (entry == summary.mutable_summary()->end()) return;
    auto& group = entry->second;
    if (!before && group.queued() > 0) group.set_queued(group.queued() - 1);
    if (before && count_of(group, old_status) > 0)
        set_count(group, old_status, count_of(group, old_status) - 1);
    const auto& status = alloc.client_status();
    if (status == model::kAllocClientComplete)
        group.set_complete(group.complete() + 1);
    else if (status == model::kAllocClientFailed)
        group.set_failed(group.failed() + 1);
    else
        set_count(group, status, count_of(group, status) + 1);
    put_summary(std::move(summary));
}

void StateWriter::count_deployment(const AllocRecord* before, const AllocRecord& after) {
    const auto& alloc = *after.alloc;
    if (alloc.deployment_id().empty()) return;
    auto found = s_.deployment(alloc.deployment_id());
    if (!found) return;
    const bool same = before && before->alloc->deployment_id() == alloc.deployment_id();
    auto health = [](const model::Allocation& a) {
        if (!a.has_deployment_status() || !a.deployment_status().has_healthy()) return 0;
        return a.deployment_status().healthy() ? 1 : -1;
    };
    const int was = same ? health(*before->alloc) : 0, is = health(alloc);
    if (same && was == is) return;
    auto deployment = *found;
    auto entry = deployment.mutable_task_groups()->find(alloc.task_group());
    if (entry == deployment.mutable_task_groups()->end()) return;
    auto& group = entry->second;
    const int64_t deadline = group.progress_deadline();
    if (!same) {
        group.set_placed_allocs(group.placed_allocs() + 1);
        if (deadline > 0 && group.require_progress_by() == 0) group.set_require_progress_by(time_ + deadline);
    }
    if (was != is) {
        if (was == 1) group.set_healthy_allocs(group.healthy_allocs() - 1);
        if (was == -1) group.set_unhealthy_allocs(group.unhealthy_allocs() - 1);
        if (is == -1) group.set_unhealthy_allocs(group.unhealthy_allocs() + 1);
        if (is == 1) {
            group.set_healthy_allocs(group.healthy_allocs() + 1);
            const int64_t at =
                alloc.deployment_status().timestamp() ? alloc.deployment_status().timestamp() : time_;
            if (deadline > 0)
                group.set_require_progress_by(std::max(group.require_progress_by(), at + deadline));
        }
    }
    put_deployment(std::move(deployment));
}

void StateWriter::remove_alloc(const std::string& id) {
    auto found = s_.alloc(id);
    if (!found) return;
    const auto& alloc = *found->alloc;
    NodeUsage usage = s_.usage_of(alloc.node_id());
    if (holds_resources(*found)) {
        subtract_usage(usage, alloc);
        fx_.freed_nodes.insert(alloc.node_id());
    }
    usage.placed_index = index_;
    s_.usage.set(alloc.node_id(), freeze(std::move(usage)));
    s_.allocs_by_job.erase(pair_key(job_key(alloc.namespace_(), alloc.job_id()), id));
    s_.allocs_by_node.erase(pair_key(alloc.node_id(), id));
    s_.allocs_by_eval.erase(pair_key(alloc.eval_id(), id));
    touch(TableId::Allocs, watch::alloc(id));
    fx_.touched.insert(watch::node_allocs(alloc.node_id()));
    fx_.touched.insert(watch::node_placements(alloc.node_id()));
    fx_.touched.insert(watch::job_allocs(alloc.namespace_(), alloc.job_id()));
    fx_.touched.insert(watch::eval_allocs(alloc.eval_id()));
    s_.allocs.erase(id);
}

// ---- nodes, deployments, configuration
// -------------------------------------------------------------------------------

void StateWriter::put_node(model::Node node) {
    auto before = s_.node(node.id());
    node.set_create_index(before ? before->create_index() : index_);
    node.set_modify_index(index_);
    if (node_ready(node)) {
        fx_.freed_classes.insert(node.computed_class());
        fx_.freed_nodes.insert(node.id());
    }
    fx_.nodes.insert(node.id());
    touch(TableId::Nodes, watch::node(node.id()));
    std::string id = node.id();
    s_.nodes.set(id, freeze(std::move(node)));
}

void StateWriter::remove_node(const std::string& id) {
    if (!s_.nodes.erase(id)) return;
    fx_.nodes.insert(id);
    touch(TableId::Nodes, watch::node(id));
}

void StateWriter::put_deployment(model::Deployment deployment) {
    auto before = s_.deployment(deployment.id());
    deployment.set_create_index(before ? before->create_index() : index_);
    deployment.set_modify_index(index_);
    deployment.set_create_time(before ? before->create_time() : time_);
    deployment.set_modify_time(time_);
    auto frozen = freeze(std::move(deployment));
    const auto &ns = frozen->namespace_(), &job_id = frozen->job_id();
    s_.deployments.set(frozen->id(), frozen);
    s_.deployments_by_job.set(pair_key(job_key(ns, job_id), frozen->id()), 1);
    touch(TableId::Deployments, watch::deployment(frozen->id()));
    fx_.touched.insert(watch::job_deployments(ns, job_id));
    fx_.deployments.insert(frozen->id());
    stale_.insert({ns, job_id});
}

void StateWriter::remove_deployment(const std::string& id) {
    auto found = s_.deployment(id);
    if (!found) return;
    s_.deployments.erase(id);
    s_.deployments_by_job.erase(pair_key(job_key(found->namespace_(), found->job_id()), id));
    touch(TableId::Deployments, watch::deployment(id));
    fx_.touched.insert(watch::job_deployments(found->namespace_(), found->job_id()));
    fx_.deployments.insert(id);
}

void StateWriter::put_config(model::SchedulerConfiguration config) {
    config.set_create_index(s_.config->create_index() ? s_.config->create_index() : index_);
    config.set_modify_index(index_);
    s_.config = freeze(std::move(config));
    touch(TableId::Config, watch::table(TableId::Config));
}

}  // namespace drover::server
