// SPDX-License-Identifier: Apache-2.0
// /v1/evaluation(s) and /v1/deployment(s): reading only.
#include "api/context.h"
#include "api/router.h"

namespace drover::api {
namespace {

bool eval_query(const ExchangePtr& exchange, cluster::EvalGetRequest& request) {
    bool related = false;
    if (!read_flag(exchange, "related", related) || !read_query(exchange, *request.mutable_query()))
        return false;
    request.set_eval_id(exchange->args[0]);
    request.set_related(related);
    return true;
}

bool evals_query(const ExchangePtr& exchange, cluster::EvalListRequest& request) {
    request.set_status(exchange->request.param_or("status", ""));
    request.set_job_id(exchange->request.param_or("job", ""));
    return read_query(exchange, *request.mutable_query());
}

void list_evals(const ExchangePtr& exchange) {
    cluster::EvalListRequest request;
    if (!evals_query(exchange, request)) return;
    answer_list<cluster::EvalListResponse>(exchange, "Eval.List", std::move(request),
                                           &cluster::EvalListResponse::evals);
}

void count_evals(const ExchangePtr& exchange) {
    cluster::EvalListRequest request;
    if (!evals_query(exchange, request)) return;
    ask<cluster::EvalListResponse>(
        exchange, "Eval.List", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::EvalCountResponse answer;
            answer.set_count(response.evals_size());
            answer.set_known_leader(response.meta().known_leader());
            on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
        });
}

void get_eval(const ExchangePtr& exchange) {
    cluster::EvalGetRequest request;
    if (!eval_query(exchange, request)) return;
    ask<cluster::EvalGetResponse>(
        exchange, "Eval.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_eval()) return on->fail(404, "eval not found");
            on->reply_json(model::json::encode(response.eval()), meta_headers(response.meta()));
        });
}

void eval_allocs(const ExchangePtr& exchange) {
    cluster::EvalGetRequest request;
    if (!eval_query(exchange, request)) return;
    answer_list<cluster::AllocListResponse>(exchange, "Eval.Allocations", std::move(request),
                                            &cluster::AllocListResponse::allocs);
}

void list_deployments(const ExchangePtr& exchange) {
    cluster::ListRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    answer_list<cluster::DeploymentListResponse>(exchange, "Deployment.List", std::move(request),
                                                 &cluster::DeploymentListResponse::deployments);
}

void get_deployment(const ExchangePtr& exchange) {
    cluster::DeploymentGetRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_deployment_id(exchange->args[0]);
    ask<cluster::DeploymentGetResponse>(
        exchange, "Deployment.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_deployment()) return on->fail(404, "deployment not found");
            on->reply_json(model::json::encode(response.deployment()), meta_headers(response.meta()));
        });
}

void deployment_allocs(const ExchangePtr& exchange) {
    cluster::DeploymentGetRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_deployment_id(exchange->args[0]);
    answer_list<cluster::AllocListResponse>(exchange, "Deployment.Allocations", std::move(request),
                                            &cluster::AllocListResponse::allocs);
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/evaluations", list_evals},       {"GET", "/v1/evaluations/count", count_evals},
    {"GET", "/v1/evaluation/*", get_eval},        {"GET", "/v1/evaluation/*/allocations", eval_allocs},
    {"GET", "/v1/deployments", list_deployments}, {"GET", "/v1/deployment/allocations/*", deployment_allocs},
    {"GET", "/v1/deployment/*", get_deployment},
};

}  // namespace

std::span<const Route> eval_routes() {
    return kRoutes;
}

}  // namespace drover::api
