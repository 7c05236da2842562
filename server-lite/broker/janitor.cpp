// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/janitor.h"

#include "base/clock.h"
#include "model/status.h"
#include "server-lite/core.h"

namespace drover::server {
namespace {

bool is_batch(std::string_view type) {
    return type == model::kJobTypeBatch || type == model::kJobTypeSysBatch;
}

bool job_over(const JobPtr& job) {
    return !job || job->stop() || job->status() == model::kJobStatusDead;
}

// May the allocation be forgotten? Not while its client may run it, and not while a replacement may still
// need it.
bool alloc_collectible(const AllocRecord& record, const JobPtr& job, int64_t cutoff) {
    const auto& alloc = *record.alloc;
    if (!model::terminal(alloc) || alloc.modify_time() > cutoff) return false;
    if (!model::client_terminal(alloc)) return false;
    if (job_over(job) || model::server_terminal(alloc) || alloc.client_status() != model::kAllocClientFailed)
        return true;
    if (!alloc.next_allocation().empty()) return true;
    const auto* group = model::find_group(*job, alloc.task_group());
    if (!group || !group->has_reschedule_policy()) return true;
    const auto& policy = group->reschedule_policy();
    if (policy.unlimited()) return false;
    if (policy.attempts() == 0) return true;
    const auto& events = alloc.reschedule_tracker().events();
    return !events.empty() && events.rbegin()->reschedule_time() + policy.interval() < cutoff;
}

struct Collector {
    const State& state;
    const GcCutoffs& cutoffs;
    cmd::Reap out;
    std::set<std::string> allocs, evals;

    // True when the evaluation and all its allocations may go; those that may are noted either way.
    bool eval(const model::Evaluation& e, int64_t cutoff) {
        if (!model::eval_terminal(e.status()) || e.modify_time() > cutoff) return false;
        const auto job = state.job(e.namespace_(), e.job_id());
        // What a batch job did is remembered as long as the job is.
        const bool keep = is_batch(e.type()) && job && !job->stop();
        bool all = true;
        for (const auto& record : state.eval_allocs(e.id())) {
            const bool old = job && record->job->job_modify_index() < job->job_modify_index();
            if (!alloc_collectible(*record, job, cutoff) || (keep && !old))
                all = false;
            else
                allocs.insert(record->alloc->id());
        }
        if (!all || keep) return false;
        evals.insert(e.id());
        return true;
    }

    void jobs() {
        state.jobs.each([&](const std::string&, const JobPtr& job) {
            if (job->has_version_tag() || job->submit_time() > cutoffs.job) return;
            const bool never_ends = model::is_periodic(*job) || model::is_parameterized(*job);
            if (never_ends ? !job->stop() : job->status() != model::kJobStatusDead) return;
            if (!job->stop() && !is_batch(job->type())) return;
            for (const auto& version : state.job_versions(job->namespace_(), job->id()))
                if (version->has_version_tag()) return;
            std::set<std::string> ids, of;
            for (const auto& e : state.job_evals(job->namespace_(), job->id())) {
                if (!model::eval_terminal(e->status()) || e->modify_time() > cutoffs.job) return;
                of.insert(e->id());
            }
            for (const auto& record : state.job_allocs(job->namespace_(), job->id())) {
                if (!model::client_terminal(*record->alloc) || record->alloc->modify_time() > cutoffs.job)
                    return;
                ids.insert(record->alloc->id());
            }
            allocs.merge(ids);
            evals.merge(of);
            auto& ref = *out.add_jobs();
            ref.set_namespace_(job->namespace_());
            ref.set_id(job->id());
        });
    }

    void nodes() {
        state.nodes.each([&](const std::string& id, const NodePtr& node) {
            if (node->status() != model::kNodeStatusDown ||
                node->status_updated_at() * kSecond > cutoffs.node)
                return;
            for (const auto& record : state.node_allocs(id))
                if (!model::terminal(*record->alloc)) return;
            out.add_nodes(id);
        });
    }

    void deployments() {
        state.deployments.each([&](const std::string& id, const DeploymentPtr& deployment) {
            if (model::deployment_active(deployment->status()) ||
                deployment->modify_time() > cutoffs.deployment)
                return;
            for (const auto& record : state.job_allocs(deployment->namespace_(), deployment->job_id()))
                if (record->alloc->deployment_id() == id && !model::terminal(*record->alloc)) return;
            out.add_deployments(id);
        });
    }
};

}  // namespace

cmd::Reap collectible(const State& state, const GcCutoffs& cutoffs) {
    Collector c{state, cutoffs, {}, {}, {}};
    if (cutoffs.job > 0) c.jobs();
    if (cutoffs.eval > 0)
        state.evals.each([&](const std::string&, const EvalPtr& eval) {
            c.eval(*eval, is_batch(eval->type()) ? cutoffs.batch_eval : cutoffs.eval);
        });
    if (cutoffs.deployment > 0) c.deployments();
    if (cutoffs.node > 0) c.nodes();
    for (const auto& id : c.allocs) c.out.add_allocs(id);
    for (const auto& id : c.evals) c.out.add_evals(id);
    return std::move(c.out);
}

void Janitor::schedule(int64_t interval, std::function<GcCutoffs(int64_t)> cutoffs) {
    core_.timers.schedule(mono_now() + interval, [this, interval, cutoffs] {
        core_.pool.post([this, interval, cutoffs] {
            auto reap = collectible(*core_.store.snapshot(), cutoffs(unix_now()));
            if (reap.ByteSizeLong() > 0) {
                cmd::Command command;
                *command.mutable_reap() = std::move(reap);
                core_.propose_quietly(std::move(command), "collect garbage");
            }
            schedule(interval, cutoffs);
        });
    });
}

void Janitor::start() {
    const auto& gc = core_.options.gc;
    schedule(gc.eval_interval_ns, [gc](int64_t now) {
        return GcCutoffs{now - gc.eval_threshold_ns, now - gc.batch_eval_threshold_ns, 0, 0, 0};
    });
    schedule(gc.job_interval_ns, [gc](int64_t now) {
        return GcCutoffs{0, 0, now - gc.job_threshold_ns, 0, 0};
    });
    schedule(gc.node_interval_ns, [gc](int64_t now) {
        return GcCutoffs{0, 0, 0, now - gc.node_threshold_ns, 0};
    });
    schedule(gc.deployment_interval_ns, [gc](int64_t now) {
        return GcCutoffs{0, 0, 0, 0, now - gc.deployment_threshold_ns};
    });
}

void Janitor::collect_all(std::function<void(Result<uint64_t>)> done) {
    const int64_t now = unix_now() - kMillisecond;
    auto reap = collectible(*core_.store.snapshot(), {now, now, now, now, now});
    if (reap.ByteSizeLong() == 0) return done(core_.store.snapshot()->index);
    cmd::Command command;
    *command.mutable_reap() = std::move(reap);
    core_.propose(std::move(command), std::move(done));
}

}  // namespace drover::server
