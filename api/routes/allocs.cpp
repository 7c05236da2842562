// SPDX-License-Identifier: Apache-2.0
// /v1/allocations, /v1/allocation/*: what the servers know. What only the node knows is in client.cpp.
#include "api/context.h"
#include "api/router.h"

namespace drover::api {
namespace {

void list(const ExchangePtr& exchange) {
    cluster::AllocListRequest request;
    bool resources = false;
    bool task_states = true;
    if (!read_flag(exchange, "resources", resources) || !read_flag(exchange, "task_states", task_states) ||
        !read_query(exchange, *request.mutable_query()))
        return;
    request.set_resources(resources);
    request.set_without_task_states(!task_states);
    answer_list<cluster::AllocListResponse>(exchange, "Alloc.List", std::move(request),
                                            &cluster::AllocListResponse::allocs);
}

void get(const ExchangePtr& exchange) {
    cluster::AllocGetRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_alloc_id(exchange->args[0]);
    ask<cluster::AllocGetResponse>(
        exchange, "Alloc.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_alloc()) return on->fail(404, "alloc not found");
            on->reply_json(model::json::encode(response.alloc()), meta_headers(response.meta()));
        });
}

void stop(const ExchangePtr& exchange) {
    cluster::AllocStopRequest request;
    bool no_delay = false;
    bool reschedule = false;
    if (!read_flag(exchange, "no_shutdown_delay", no_delay) ||
        !read_flag(exchange, "reschedule", reschedule) || !read_write(exchange, *request.mutable_write()))
        return;
    request.set_alloc_id(exchange->args[0]);
    request.set_no_shutdown_delay(no_delay);
    request.set_reschedule(reschedule);
    ask<cluster::AllocStopResponse>(
        exchange, "Alloc.Stop", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::AllocStopResponse answer;
            answer.set_eval_id(response.eval_id());
            on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
        });
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/allocations", list},
    {"PUT", "/v1/allocation/*/stop", stop},
    {"GET", "/v1/allocation/*", get},
};

}  // namespace

std::span<const Route> alloc_routes() {
    return kRoutes;
}

}  // namespace drover::api
