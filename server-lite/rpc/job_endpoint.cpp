// SPDX-License-Identifier: Apache-2.0
// The Job service.
#include "base/clock.h"
#include "base/uuid.h"
#include "model/canonicalize.h"
#include "model/diff.h"
#include "model/job_compare.h"
#include "model/status.h"
#include "model/validate.h"
#include "server-lite/fsm/apply.h"
#include "server-lite/rpc/endpoints.h"
#include "server-lite/scheduler/scheduler.h"

namespace drover::server {
namespace {

using cluster::JobRegisterResponse;
using model::Job;

constexpr size_t kJobIdBytesMax = 256;

// Everything that must be said about a job before it may be stored. Fills in `warnings`.
Status admit(Core& core, const State& state, Job& job, const std::string& ns, std::string& warnings) {
    if (job.id().empty() && job.name().empty() && job.task_groups().empty())
        return make_error(Code::InvalidArgument, "missing job for registration");
    if (job.namespace_().empty()) job.set_namespace_(ns);
    if (job.region().empty()) job.set_region(core.options.region);
    if (job.region() != core.options.region && job.region() != "global")
        return make_error(Code::Unknown, "No path to region");
    auto notes = model::job_warnings(job);
    model::CanonicalizeOptions canonical;
    canonical.priority_default = core.options.job_default_priority;
    model::canonicalize(job, canonical);
    if (notes.empty()) notes = model::job_warnings(job);
    warnings = notes.empty() ? "" : model::format_warnings(notes);
    if (job.id().size() > kJobIdBytesMax)
        return make_error(Code::InvalidArgument, "job ID has {} bytes, at most {} are allowed",
                          job.id().size(), kJobIdBytesMax);
    if (job.id().find('\0') != std::string::npos)
        return make_error(Code::InvalidArgument, "job ID contains a null character");
    DROVER_CHECK(model::validate(job, {core.options.job_max_priority, core.options.job_max_count}));
    if (job.namespace_() != model::kNamespaceDefault)
        return make_error(Code::InvalidArgument, "job \"{}\" is in nonexistent namespace \"{}\"", job.id(),
                          job.namespace_());
    if (job.node_pool() != model::kNodePoolDefault && job.node_pool() != model::kNodePoolAll) {
        bool known = false;
        state.nodes.each([&](const std::string&, const NodePtr& node) {
            known = node->node_pool() == job.node_pool();
            return !known;
        });
        if (!known)
            return make_error(Code::InvalidArgument, "job \"{}\" is in nonexistent node pool \"{}\"",
                              job.id(), job.node_pool());
    }
    if (auto existing = state.job(job.namespace_(), job.id())) {
        if (existing->type() != job.type() && !existing->stop())
            return make_error(Code::InvalidArgument, "cannot update job from type \"{}\" to \"{}\"",
                              existing->type(), job.type());
        if (model::is_periodic(*existing) != model::is_periodic(job) && !existing->stop())
            return make_error(Code::InvalidArgument, "cannot update {} job to being {}",
                              model::is_periodic(job) ? "non-periodic" : "periodic",
                              model::is_periodic(job) ? "periodic" : "non-periodic");
    }
    return {};
}

bool wants_eval(const Job& job) {
    return !model::is_periodic(job) && !model::is_parameterized(job);
}

// Keeps what runs: counts (and resources) of groups that exist already.
void preserve(Job& job, const Job* existing, const cluster::JobRegisterRequest& request) {
    if (!existing || existing->stop()) return;
    for (auto& group : *job.mutable_task_groups()) {
        const auto* old = model::find_group(*existing, group.name());
        if (!old) continue;
        if (request.preserve_counts()) group.set_count(old->count());
        if (!request.preserve_resources()) continue;
        for (auto& task : *group.mutable_tasks())
            if (const auto* old_task = model::find_task(*old, task.name()))
                *task.mutable_resources() = old_task->resources();
    }
}

void register_answer(Core& core, const std::string& ns, const std::string& id, const std::string& eval_id,
                     uint64_t index, std::string warnings,
                     const std::function<void(Result<JobRegisterResponse>)>& done) {
    JobRegisterResponse response;
    response.mutable_meta()->set_index(index);
    response.set_eval_id(eval_id);
    if (!eval_id.empty()) response.set_eval_create_index(index);
    if (auto job = core.store.snapshot()->job(ns, id)) response.set_job_modify_index(job->job_modify_index());
    response.set_warnings(std::move(warnings));
    done(std::move(response));
}

void put_job(Core& core, cmd::JobUpsert upsert, std::string warnings,
             std::function<void(Result<JobRegisterResponse>)> done) {
    const std::string ns = upsert.job().namespace_(), id = upsert.job().id(), eval_id = upsert.eval().id();
    upsert.set_versions_kept(core.options.job_tracked_versions);
    cmd::Command command;
    *command.mutable_job_upsert() = std::move(upsert);
    core.propose(std::move(command), [&core, ns, id, eval_id, warnings = std::move(warnings),
                                      done = std::move(done)](Result<uint64_t> index) {
        if (!index) return done(std::move(index).error());
        register_answer(core, ns, id, eval_id, *index, warnings, done);
    });
}

void job_register(Core& core, const cluster::JobRegisterRequest& request,
                  std::function<void(Result<JobRegisterResponse>)> done) {
    const auto state = core.store.snapshot();
    if (state->config->reject_job_registration())
        return done(make_error(Code::PermissionDenied, "job registration, dispatch, and scale are disabled"));
    Job job = request.job();
    std::string warnings;
    if (auto status = admit(core, *state, job, namespace_of(request.write()), warnings); !status)
        return done(std::move(status).error());
    preserve(job, state->job(job.namespace_(), job.id()).get(), request);
    cmd::JobUpsert upsert;
    if (wants_eval(job)) {
        *upsert.mutable_eval() = job_eval(job, model::kTriggerJobRegister, unix_now());
        if (request.eval_priority() > 0) upsert.mutable_eval()->set_priority(request.eval_priority());
    }
    upsert.set_enforce_index(request.enforce_index());
    upsert.set_job_modify_index(request.job_modify_index());
    if (request.has_submission()) *upsert.mutable_submission() = request.submission();
    *upsert.mutable_job() = std::move(job);
    put_job(core, std::move(upsert), std::move(warnings), std::move(done));
}

void job_deregister(Core& core, const cluster::JobDeregisterRequest& request,
                    std::function<void(Result<cluster::JobDeregisterResponse>)> done) {
    if (request.job_id().empty())
        return done(make_error(Code::InvalidArgument, "missing job ID for deregistering"));
    const auto state = core.store.snapshot();
    const auto ns = namespace_of(request.write());
    const auto job = state->job(ns, request.job_id());
    if (!job) {  // nothing to do, and no error
        cluster::JobDeregisterResponse response;
        response.mutable_meta()->set_index(state->index);
        return done(std::move(response));
    }
    cmd::Command command;
    auto& deregister = *command.mutable_job_deregister();
    deregister.set_namespace_(ns);
    deregister.set_job_id(request.job_id());
    deregister.set_purge(request.purge());
    std::string eval_id;
    if (wants_eval(*job)) {
        auto& eval = *deregister.mutable_eval();
        eval = job_eval(*job, model::kTriggerJobDeregister, unix_now());
        if (request.eval_priority() > 0) eval.set_priority(request.eval_priority());
        eval_id = eval.id();
    }
    core.propose(std::move(command), [eval_id, done = std::move(done)](Result<uint64_t> index) {
        if (!index) return done(std::move(index).error());
        cluster::JobDeregisterResponse response;
        response.mutable_meta()->set_index(*index);
        response.set_eval_id(eval_id);
        if (!eval_id.empty()) response.set_eval_create_index(*index);
        response.set_job_modify_index(*index);
        done(std::move(response));
    });
}

// The scheduler on a private copy in which the job is registered: what it would do, and nothing else happens.
void job_plan(Core& core, const cluster::JobPlanRequest& request,
              std::function<void(Result<cluster::JobPlanResponse>)> done) {
    auto copy = std::make_shared<State>(*core.store.snapshot());
    Job job = request.job();
    cluster::JobPlanResponse response;
    if (auto status = admit(core, *copy, job, namespace_of(request.write()), *response.mutable_warnings());
        !status)
        return done(std::move(status).error());
    const auto existing = copy->job(job.namespace_(), job.id());
    if (existing) response.set_job_modify_index(existing->job_modify_index());
    cmd::Command command;
    command.set_time(unix_now());
    auto& upsert = *command.mutable_job_upsert();
    *upsert.mutable_job() = job;
    *upsert.mutable_eval() = job_eval(job, model::kTriggerJobRegister, unix_now());
    upsert.mutable_eval()->set_annotate_plan(true);
    Effects ignored;
    if (auto status = apply_command(*copy, copy->index + 1, command, ignored); !status)
        return done(std::move(status).error());
    if (wants_eval(job)) {
        const auto eval = copy->eval(upsert.eval().id());
        auto decision = schedule({copy, eval, unix_now(), std::hash<std::string>()(eval->id())});
        *response.mutable_annotations() = decision.eval.plan_annotations();
        *response.mutable_failed_tg_allocs() = decision.eval.failed_tg_allocs();
        for (const auto& followup : decision.plan.evals()) *response.add_created_evals() = followup;
        if (decision.blocked) *response.add_created_evals() = *decision.blocked;
    }
    if (request.diff()) {
        *response.mutable_diff() = model::diff_jobs(existing.get(), &job, true);
        model::annotate_diff(*response.mutable_diff(), response.annotations());
    }
    done(std::move(response));
}

void job_validate(Core& core, const cluster::JobValidateRequest& request,
                  std::function<void(Result<cluster::JobValidateResponse>)> done) {
    Job job = request.job();
    if (job.namespace_().empty()) job.set_namespace_(namespace_of(request.write()));
    auto notes = model::job_warnings(job);
    model::CanonicalizeOptions canonical;
    canonical.priority_default = core.options.job_default_priority;
    model::canonicalize(job, canonical);
    cluster::JobValidateResponse response;
    response.set_driver_config_validated(true);
    const auto errors =
        model::validation_errors(job, {core.options.job_max_priority, core.options.job_max_count});
    for (const auto& error : errors) response.add_validation_errors(error);
    if (!errors.empty()) response.set_error(model::format_errors(errors));
    if (!notes.empty()) response.set_warnings(model::format_warnings(notes));
    done(std::move(response));
}

void job_evaluate(Core& core, const cluster::JobEvaluateRequest& request,
                  std::function<void(Result<JobRegisterResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto ns = namespace_of(request.write());
    const auto job = state->job(ns, request.job_id());
    if (!job) return done(make_error(Code::NotFound, "job not found"));
    if (model::is_periodic(*job))
        return done(make_error(Code::InvalidArgument, "can't evaluate periodic job"));
    if (model::is_parameterized(*job))
        return done(make_error(Code::InvalidArgument, "can't evaluate parameterized job"));
    cmd::Command command;
    auto& transition = *command.mutable_alloc_transition();
    if (request.force_reschedule())
        for (const auto& record : state->job_allocs(ns, job->id()))
            if (record->alloc->client_status() == model::kAllocClientFailed &&
                record->alloc->next_allocation().empty())
                (*transition.mutable_transitions())[record->alloc->id()].set_force_reschedule(true);
    auto& eval = *transition.add_evals();
    eval = job_eval(*job, model::kTriggerJobRegister, unix_now());
    core.propose(std::move(command), [&core, ns, id = job->id(), eval_id = eval.id(),
                                      done = std::move(done)](Result<uint64_t> index) {
        if (!index) return done(std::move(index).error());
        register_answer(core, ns, id, eval_id, *index, "", done);
    });
}

void job_revert(Core& core, const cluster::JobRevertRequest& request,
                std::function<void(Result<JobRegisterResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto ns = namespace_of(request.write());
    const auto current = state->job(ns, request.job_id());
    if (!current) return done(make_error(Code::NotFound, "job not found"));
    if (request.job_version() == current->version())
        return done(make_error(Code::InvalidArgument, "can't revert to current version"));
    if (request.has_enforce_prior_version() && request.enforce_prior_version() != current->version())
        return done(make_error(Code::FailedPrecondition, "Current job has version {}; enforcing version {}",
                               current->version(), request.enforce_prior_version()));
    const auto wanted = state->job_version(ns, request.job_id(), request.job_version());
    if (!wanted)
        return done(make_error(Code::NotFound, "job \"{}\" in namespace \"{}\" at version {} not found",
                               request.job_id(), ns, request.job_version()));
    cmd::JobUpsert upsert;
    *upsert.mutable_job() = *wanted;
    upsert.mutable_job()->set_stop(false);
    *upsert.mutable_eval() = job_eval(*wanted, model::kTriggerJobRegister, unix_now());
    if (auto submission = state->submission(ns, request.job_id(), request.job_version()))
        *upsert.mutable_submission() = *submission;
    upsert.set_enforce_index(true);
    upsert.set_job_modify_index(current->job_modify_index());
    put_job(core, std::move(upsert), "", std::move(done));
}

model::JobListStub stub_of(const State& state, const Job& job) {
    model::JobListStub stub;
    stub.set_id(job.id());
    stub.set_parent_id(job.parent_id());
    stub.set_name(job.name());
    stub.set_namespace_(job.namespace_());
    *stub.mutable_datacenters() = job.datacenters();
    stub.set_type(job.type());
    stub.set_priority(job.priority());
    stub.set_periodic(model::is_periodic(job));
    stub.set_parameterized_job(model::is_parameterized(job));
    stub.set_stop(job.stop());
    stub.set_status(job.status());
    stub.set_status_description(job.status_description());
    if (auto summary = state.summary(job.namespace_(), job.id())) *stub.mutable_job_summary() = *summary;
    stub.set_create_index(job.create_index());
    stub.set_modify_index(job.modify_index());
    stub.set_job_modify_index(job.job_modify_index());
    stub.set_submit_time(job.submit_time());
    *stub.mutable_meta() = job.meta();
    stub.set_node_pool(job.node_pool());
    if (job.has_multiregion()) *stub.mutable_multiregion() = job.multiregion();
    return stub;
}

Result<uint64_t> job_list(const cluster::ListRequest& request, const State& state,
                          cluster::JobListResponse& response) {
    const auto ns = namespace_of(request.query());
    std::vector<Item<JobPtr>> items;
    state.jobs.each([&](const std::string&, const JobPtr& job) {
        if (ns != "*" && job->namespace_() != ns) return;
        items.push_back({fmt::format("{}.{}", job->namespace_(), job->id()), job->id(), job});
    });
    DROVER_TRY(auto page, page_of(std::move(items), request.query(), *response.mutable_meta(),
                                  [&](const JobPtr& job) { return stub_of(state, *job); }));
    for (const auto& job : page) *response.add_jobs() = stub_of(state, *job);
    return std::max(state.table(TableId::Jobs), state.table(TableId::Summaries));
}

Result<uint64_t> job_versions(const cluster::JobVersionsRequest& request, const State& state,
                              cluster::JobVersionsResponse& response) {
    const auto versions = state.job_versions(namespace_of(request.query()), request.job_id());
    if (versions.empty()) return make_error(Code::NotFound, "job versions not found");
    uint64_t index = 0;
    for (const auto& job : versions) {
        *response.add_versions() = *job;
        index = std::max(index, job->modify_index());
    }
    for (size_t i = 0; request.diffs() && i + 1 < versions.size(); ++i)
        *response.add_diffs() = model::diff_jobs(versions[i + 1].get(), versions[i].get(), true);
    return index;
}

Result<uint64_t> job_allocs(const cluster::JobAllocationsRequest& request, const State& state,
                            cluster::AllocListResponse& response) {
    const auto ns = namespace_of(request.query());
    const auto job = state.job(ns, request.job_id());
    std::vector<AllocPtr> records = state.job_allocs(ns, request.job_id());
    std::sort(records.begin(), records.end(), [](const AllocPtr& a, const AllocPtr& b) {
        return std::pair(a->alloc->create_index(), a->alloc->id()) <
               std::pair(b->alloc->create_index(), b->alloc->id());
    });
    uint64_t index = 0;
    for (const auto& record : records) {
        index = std::max(index, record->alloc->modify_index());
        if (!request.all() && job && record->job->create_index() != job->create_index()) continue;
        *response.add_allocs() = alloc_stub(*record);
    }
    return index != 0 ? index : state.table(TableId::Allocs);
}

std::string ns_of(const cluster::JobGetRequest& r) {
    return namespace_of(r.query());
}

}  // namespace

void register_job_endpoints(Endpoints& e) {
    using namespace cluster;
    auto& core = e.core();
    e.write<JobRegisterRequest, JobRegisterResponse>(
        "Job.Register", [&core](auto r, auto done) { job_register(core, *r, done); });
    e.write<JobDeregisterRequest, JobDeregisterResponse>(
        "Job.Deregister", [&core](auto r, auto done) { job_deregister(core, *r, done); });
    e.write<JobPlanRequest, JobPlanResponse>("Job.Plan",
                                             [&core](auto r, auto done) { job_plan(core, *r, done); });
    e.write<JobValidateRequest, JobValidateResponse>(
        "Job.Validate", [&core](auto r, auto done) { job_validate(core, *r, done); });
    e.write<JobEvaluateRequest, JobRegisterResponse>(
        "Job.Evaluate", [&core](auto r, auto done) { job_evaluate(core, *r, done); });
    e.write<JobRevertRequest, JobRegisterResponse>(
        "Job.Revert", [&core](auto r, auto done) { job_revert(core, *r, done); });

    auto of_job = [](const JobGetRequest& r) { return Endpoints::Keys{watch::job(ns_of(r), r.job_id())}; };
    e.read<JobGetRequest, JobGetResponse>("Job.Get", of_job,
                                          [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
                                              const auto job = s.job(ns_of(r), r.job_id());
                                              if (!job) return make_error(Code::NotFound, "job not found");
                                              *out.mutable_job() = *job;
                                              return job->modify_index();
                                          });
    e.read<ListRequest, JobListResponse>(
        "Job.List",
        [](const auto&) {
            return Endpoints::Keys{watch::table(TableId::Jobs), watch::table(TableId::Summaries)};
        },
        job_list);
    e.read<JobVersionsRequest, JobVersionsResponse>(
        "Job.Versions",
        [](const auto& r) { return Endpoints::Keys{watch::job(namespace_of(r.query()), r.job_id())}; },
        job_versions);
    e.read<JobSubmissionRequest, JobSubmissionResponse>(
        "Job.Submission",
        [](const auto& r) { return Endpoints::Keys{watch::job(namespace_of(r.query()), r.job_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            if (auto found = s.submission(namespace_of(r.query()), r.job_id(), r.version()))
                *out.mutable_submission() = *found;
            return s.table(TableId::Submissions);
        });
    e.read<JobGetRequest, JobSummaryResponse>(
        "Job.Summary", of_job, [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto summary = s.summary(ns_of(r), r.job_id());
            if (!summary) return make_error(Code::NotFound, "job not found");
            *out.mutable_summary() = *summary;
            return summary->modify_index();
        });
    e.read<JobAllocationsRequest, AllocListResponse>(
        "Job.Allocations",
        [](const auto& r) { return Endpoints::Keys{watch::job_allocs(namespace_of(r.query()), r.job_id())}; },
        job_allocs);
    e.read<JobGetRequest, EvalListResponse>(
        "Job.Evaluations",
        [](const auto& r) { return Endpoints::Keys{watch::job_evals(ns_of(r), r.job_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            auto evals = s.job_evals(ns_of(r), r.job_id());
            std::sort(evals.begin(), evals.end(), [](const EvalPtr& a, const EvalPtr& b) {
                return std::pair(a->create_index(), a->id()) < std::pair(b->create_index(), b->id());
            });
            uint64_t index = 0;
            for (const auto& eval : evals) {
                index = std::max(index, eval->modify_index());
                *out.add_evals() = *eval;
            }
            return index != 0 ? index : s.table(TableId::Evals);
        });
    e.read<JobAllocationsRequest, DeploymentListResponse>(
        "Job.Deployments",
        [](const auto& r) {
            return Endpoints::Keys{watch::job_deployments(namespace_of(r.query()), r.job_id())};
        },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto ns = namespace_of(r.query());
            const auto job = s.job(ns, r.job_id());
            uint64_t index = 0;
            for (const auto& deployment : s.job_deployments(ns, r.job_id())) {
                index = std::max(index, deployment->modify_index());
                if (!r.all() && job && deployment->job_create_index() != job->create_index()) continue;
                *out.add_deployments() = *deployment;
            }
            return index != 0 ? index : s.table(TableId::Deployments);
        });
    e.read<JobGetRequest, DeploymentGetResponse>(
        "Job.LatestDeployment",
        [](const auto& r) { return Endpoints::Keys{watch::job_deployments(ns_of(r), r.job_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto deployment = s.latest_deployment(ns_of(r), r.job_id());
            if (!deployment) return s.table(TableId::Deployments);
            *out.mutable_deployment() = *deployment;
            return deployment->modify_index();
        });
}

}  // namespace drover::server
