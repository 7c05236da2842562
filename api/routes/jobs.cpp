// SPDX-License-Identifier: Apache-2.0
// /v1/jobs, /v1/job/**, /v1/validate/job. Parsing of HCL (/v1/jobs/parse) is in parse.cpp.
#include "api/context.h"
#include "api/router.h"
#include "api/routes/parse.h"
#include "base/strings.h"

namespace drover::api {
namespace {

using cluster::JobRegisterResponse;

void list(const ExchangePtr& exchange) {
    cluster::ListRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    answer_list<cluster::JobListResponse>(exchange, "Job.List", std::move(request),
                                          &cluster::JobListResponse::jobs);
}

bool job_query(const ExchangePtr& exchange, cluster::JobGetRequest& request) {
    request.set_job_id(exchange->args[0]);
    return read_query(exchange, *request.mutable_query());
}

void get(const ExchangePtr& exchange) {
    cluster::JobGetRequest request;
    if (!job_query(exchange, request)) return;
    ask<cluster::JobGetResponse>(
        exchange, "Job.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_job()) return on->fail(404, "job not found");
            on->reply_json(model::json::encode(response.job()), meta_headers(response.meta()));
        });
}

void summary(const ExchangePtr& exchange) {
    cluster::JobGetRequest request;
    if (!job_query(exchange, request)) return;
    ask<cluster::JobSummaryResponse>(
        exchange, "Job.Summary", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_summary()) return on->fail(404, "job not found");
            on->reply_json(model::json::encode(response.summary()), meta_headers(response.meta()));
        });
}

void evaluations(const ExchangePtr& exchange) {
    cluster::JobGetRequest request;
    if (!job_query(exchange, request)) return;
    answer_list<cluster::EvalListResponse>(exchange, "Job.Evaluations", std::move(request),
                                           &cluster::EvalListResponse::evals);
}

bool job_allocs_query(const ExchangePtr& exchange, cluster::JobAllocationsRequest& request) {
    bool all = false;
    if (!read_flag(exchange, "all", all) || !read_query(exchange, *request.mutable_query())) return false;
    request.set_job_id(exchange->args[0]);
    request.set_all(all);
    return true;
}

void allocations(const ExchangePtr& exchange) {
    cluster::JobAllocationsRequest request;
    if (!job_allocs_query(exchange, request)) return;
    answer_list<cluster::AllocListResponse>(exchange, "Job.Allocations", std::move(request),
                                            &cluster::AllocListResponse::allocs);
}

void deployments(const ExchangePtr& exchange) {
    cluster::JobAllocationsRequest request;
    if (!job_allocs_query(exchange, request)) return;
    answer_list<cluster::DeploymentListResponse>(exchange, "Job.Deployments", std::move(request),
                                                 &cluster::DeploymentListResponse::deployments);
}

void latest_deployment(const ExchangePtr& exchange) {
    cluster::JobGetRequest request;
    if (!job_query(exchange, request)) return;
    ask<cluster::DeploymentGetResponse>(
        exchange, "Job.LatestDeployment", std::move(request), [](const ExchangePtr& on, auto& response) {
            on->reply_json(response.has_deployment() ? model::json::encode(response.deployment()) : "null",
                           meta_headers(response.meta()));
        });
}

void versions(const ExchangePtr& exchange) {
    cluster::JobVersionsRequest request;
    bool diffs = false;
    if (!read_flag(exchange, "diffs", diffs) || !read_query(exchange, *request.mutable_query())) return;
    request.set_job_id(exchange->args[0]);
    request.set_diffs(diffs);
    ask<cluster::JobVersionsResponse>(
        exchange, "Job.Versions", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (response.versions().empty()) return on->fail(404, "job versions not found");
            model::JobVersionsResponse answer;
            *answer.mutable_versions() = std::move(*response.mutable_versions());
            *answer.mutable_diffs() = std::move(*response.mutable_diffs());
            answer.set_known_leader(response.meta().known_leader());
            on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
        });
}

void submission(const ExchangePtr& exchange) {
    cluster::JobSubmissionRequest request;
    auto version = parse_uint(exchange->request.param_or("version", ""));
    if (!version)
        return exchange->fail(400, "Unable to parse job version parameter \"version\": a number is expected");
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_job_id(exchange->args[0]);
    request.set_version(*version);
    ask<cluster::JobSubmissionResponse>(
        exchange, "Job.Submission", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_submission()) return on->fail(404, "job source not found");
            on->reply_json(model::json::encode(response.submission()), meta_headers(response.meta()));
        });
}

void answer_registered(const ExchangePtr& on, JobRegisterResponse& response) {
    model::JobRegisterResponse answer;
    answer.set_eval_id(response.eval_id());
    answer.set_eval_create_index(response.eval_create_index());
    answer.set_job_modify_index(response.job_modify_index());
    answer.set_warnings(response.warnings());
    on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
}

// Query parameters win over what the body says; the job's own namespace over both, as it is the job's
// identity.
void resolve_names(const model::Job& job, const std::string& body_namespace, cluster::WriteOptions& write) {
    if (job.has_namespace_() && !job.namespace_().empty())
        write.set_namespace_(job.namespace_());
    else if (write.namespace_().empty())
        write.set_namespace_(body_namespace);
}

bool check_job(const ExchangePtr& exchange, const model::Job& job, bool present) {
    std::string_view problem;
    if (!present)
        problem = "Job must be specified";
    else if (job.id().empty())
        problem = "Job ID must be specified";
    else if (!exchange->args.empty() && exchange->args[0] != job.id())
        problem = "Job ID does not match name";
    if (problem.empty()) return true;
    exchange->fail(400, problem);
    return false;
}

void register_job(const ExchangePtr& exchange) {
    model::JobRegisterRequest body;
    if (!read_body(exchange, body) || !check_job(exchange, body.job(), body.has_job())) return;
    cluster::JobRegisterRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    resolve_names(body.job(), body.namespace_(), *request.mutable_write());
    if (body.has_job()) *request.mutable_job() = std::move(*body.mutable_job());
    if (body.has_submission()) *request.mutable_submission() = std::move(*body.mutable_submission());
    request.set_enforce_index(body.enforce_index());
    request.set_job_modify_index(body.job_modify_index());
    request.set_policy_override(body.policy_override());
    request.set_preserve_counts(body.preserve_counts());
    request.set_preserve_resources(body.preserve_resources());
    request.set_eval_priority(body.eval_priority());
    ask<JobRegisterResponse>(exchange, "Job.Register", std::move(request), answer_registered);
}

void deregister(const ExchangePtr& exchange) {
    cluster::JobDeregisterRequest request;
    bool purge = false;
    bool global = false;
    bool no_delay = false;
    if (!read_flag(exchange, "purge", purge) || !read_flag(exchange, "global", global) ||
        !read_flag(exchange, "no_shutdown_delay", no_delay) ||
        !read_write(exchange, *request.mutable_write()))
        return;
    auto priority = exchange->request.param_or("eval_priority", "0");
    auto number = parse_int(priority);
    if (!number)
        return exchange->fail(
            400, fmt::format("Failed to parse value of \"eval_priority\" (\"{}\") as a number", priority));
    request.set_job_id(exchange->args[0]);
    request.set_purge(purge);
    request.set_no_shutdown_delay(no_delay);
    request.set_eval_priority(*number);
    ask<cluster::JobDeregisterResponse>(
        exchange, "Job.Deregister", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::JobDeregisterResponse answer;
            answer.set_eval_id(response.eval_id());
            answer.set_eval_create_index(response.eval_create_index());
            answer.set_job_modify_index(response.job_modify_index());
            on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
        });
}

void plan(const ExchangePtr& exchange) {
    model::JobPlanRequest body;
    if (!read_body(exchange, body) || !check_job(exchange, body.job(), body.has_job())) return;
    cluster::JobPlanRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    resolve_names(body.job(), body.namespace_(), *request.mutable_write());
    *request.mutable_job() = std::move(*body.mutable_job());
    request.set_diff(body.diff());
    request.set_policy_override(body.policy_override());
    ask<cluster::JobPlanResponse>(
        exchange, "Job.Plan", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::JobPlanResponse answer;
            answer.set_job_modify_index(response.job_modify_index());
            answer.set_next_periodic_launch(response.next_periodic_launch());
            answer.set_warnings(response.warnings());
            *answer.mutable_created_evals() = std::move(*response.mutable_created_evals());
            *answer.mutable_failed_tg_allocs() = std::move(*response.mutable_failed_tg_allocs());
            if (response.has_diff()) *answer.mutable_diff() = std::move(*response.mutable_diff());
            if (response.has_annotations())
                *answer.mutable_annotations() = std::move(*response.mutable_annotations());
            on->reply_json(with_index(answer, response.job_modify_index()));
        });
}

void validate(const ExchangePtr& exchange) {
    model::JobPlanRequest body;
    if (!read_body(exchange, body) || !check_job(exchange, body.job(), body.has_job())) return;
    cluster::JobValidateRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    resolve_names(body.job(), body.namespace_(), *request.mutable_write());
    *request.mutable_job() = std::move(*body.mutable_job());
    ask<cluster::JobValidateResponse>(
        exchange, "Job.Validate", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::JobValidateResponse answer;
            answer.set_driver_config_validated(response.driver_config_validated());
            *answer.mutable_validation_errors() = std::move(*response.mutable_validation_errors());
            answer.set_error(response.error());
            answer.set_warnings(response.warnings());
            on->reply_json(model::json::encode(answer));
        });
}

void evaluate(const ExchangePtr& exchange) {
    model::JobEvaluateRequest body;
    if (!trim(exchange->request.body).empty() && !read_body(exchange, body)) return;
    if (!body.job_id().empty() && body.job_id() != exchange->args[0])
        return exchange->fail(400, "Job ID does not match");
    cluster::JobEvaluateRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    request.set_job_id(exchange->args[0]);
    request.set_force_reschedule(body.eval_options().force_reschedule());
    ask<JobRegisterResponse>(exchange, "Job.Evaluate", std::move(request), answer_registered);
}

void revert(const ExchangePtr& exchange) {
    model::JobRevertRequest body;
    if (!read_body(exchange, body)) return;
    if (body.job_id().empty()) return exchange->fail(400, "JobID must be specified");
    if (body.job_id() != exchange->args[0]) return exchange->fail(400, "Job ID does not match");
    cluster::JobRevertRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    request.set_job_id(body.job_id());
    request.set_job_version(body.job_version());
    if (body.has_enforce_prior_version()) request.set_enforce_prior_version(body.enforce_prior_version());
    ask<JobRegisterResponse>(exchange, "Job.Revert", std::move(request), answer_registered);
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/jobs", list},
    {"PUT", "/v1/jobs", register_job},
    {"PUT", "/v1/jobs/parse", parse_job},
    {"PUT", "/v1/validate/job", validate},
    {"GET", "/v1/job/**/allocations", allocations},
    {"GET", "/v1/job/**/evaluations", evaluations},
    {"GET", "/v1/job/**/deployments", deployments},
    {"GET", "/v1/job/**/deployment", latest_deployment},
    {"GET", "/v1/job/**/summary", summary},
    {"GET", "/v1/job/**/versions", versions},
    {"GET", "/v1/job/**/submission", submission},
    {"PUT", "/v1/job/**/plan", plan},
    {"PUT", "/v1/job/**/evaluate", evaluate},
    {"PUT", "/v1/job/**/revert", revert},
    {"GET", "/v1/job/**", get},
    {"PUT", "/v1/job/**", register_job},
    {"DELETE", "/v1/job/**", deregister},
};

}  // namespace

std::span<const Route> job_routes() {
    return kRoutes;
}

}  // namespace drover::api
