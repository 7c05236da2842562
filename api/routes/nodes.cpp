// SPDX-License-Identifier: Apache-2.0
// /v1/nodes, /v1/node/*, /v1/node/pools (the two built-in pools until pools can be made).
#include "api/context.h"
#include "api/router.h"

namespace drover::api {
namespace {

void list(const ExchangePtr& exchange) {
    cluster::NodeListRequest request;
    bool resources = false;
    bool os = false;
    if (!read_flag(exchange, "resources", resources) || !read_flag(exchange, "os", os) ||
        !read_query(exchange, *request.mutable_query()))
        return;
    request.set_resources(resources);
    request.set_os(os);
    answer_list<cluster::NodeListResponse>(exchange, "Node.List", std::move(request),
                                           &cluster::NodeListResponse::nodes);
}

void get(const ExchangePtr& exchange) {
    cluster::NodeGetRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_node_id(exchange->args[0]);
    ask<cluster::NodeGetResponse>(
        exchange, "Node.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_node()) return on->fail(404, "node not found");
            auto& node = *response.mutable_node();
            node.clear_secret_id();
            node.set_drain(node.has_drain_strategy());
            on->reply_json(model::json::encode(node), meta_headers(response.meta()));
        });
}

void allocations(const ExchangePtr& exchange) {
    cluster::NodeGetRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    request.set_node_id(exchange->args[0]);
    answer_list<cluster::AllocGetManyResponse>(exchange, "Node.Allocations", std::move(request),
                                               &cluster::AllocGetManyResponse::allocs);
}

template <class Answer>
void answer_update(const ExchangePtr& on, cluster::NodeUpdateResponse& response) {
    Answer answer;
    answer.set_node_modify_index(response.node_modify_index());
    answer.set_eval_create_index(response.eval_create_index());
    *answer.mutable_eval_ids() = std::move(*response.mutable_eval_ids());
    on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
}

void drain(const ExchangePtr& exchange) {
    model::NodeUpdateDrainRequest body;
    if (!read_body(exchange, body)) return;
    cluster::NodeUpdateDrainRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    request.set_node_id(exchange->args[0]);
    if (body.has_drain_spec()) *request.mutable_drain_spec() = body.drain_spec();
    request.set_mark_eligible(body.mark_eligible());
    *request.mutable_meta_data() = std::move(*body.mutable_meta());
    ask<cluster::NodeUpdateResponse>(exchange, "Node.UpdateDrain", std::move(request),
                                     answer_update<model::NodeDrainUpdateResponse>);
}

void eligibility(const ExchangePtr& exchange) {
    model::NodeUpdateEligibilityRequest body;
    if (!read_body(exchange, body)) return;
    if (!body.node_id().empty() && body.node_id() != exchange->args[0])
        return exchange->fail(400, "Node ID does not match");
    if (body.eligibility() != "eligible" && body.eligibility() != "ineligible")
        return exchange->fail(
            400,
            fmt::format("invalid scheduling eligibility \"{}\": \"eligible\" or \"ineligible\" is expected",
                        body.eligibility()));
    cluster::NodeUpdateEligibilityRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    request.set_node_id(exchange->args[0]);
    request.set_eligibility(body.eligibility());
    ask<cluster::NodeUpdateResponse>(exchange, "Node.UpdateEligibility", std::move(request),
                                     answer_update<model::NodeEligibilityUpdateResponse>);
}

void purge(const ExchangePtr& exchange) {
    cluster::NodeDeregisterRequest request;
    if (!read_write(exchange, *request.mutable_write())) return;
    request.add_node_ids(exchange->args[0]);
    ask<cluster::NodeUpdateResponse>(exchange, "Node.Deregister", std::move(request),
                                     answer_update<model::NodeDrainUpdateResponse>);
}

model::NodePool builtin_pool(std::string_view name) {
    model::NodePool pool;
    pool.set_name(std::string(name));
    pool.set_description(name == "all" ? "Node pool with all nodes in the cluster." : "Default node pool.");
    pool.set_create_index(1);
    pool.set_modify_index(1);
    return pool;
}

void list_pools(const ExchangePtr& exchange) {
    auto prefix = exchange->request.param_or("prefix", "");
    std::vector<model::NodePool> pools;
    for (std::string_view name : {"all", "default"})
        if (name.substr(0, prefix.size()) == prefix) pools.push_back(builtin_pool(name));
    exchange->reply_json(model::json::encode_list(pools), {{"X-Nomad-Index", "1"}});
}

void get_pool(const ExchangePtr& exchange) {
    const auto& name = exchange->args[0];
    if (name != "all" && name != "default") return exchange->fail(404, "node pool not found");
    exchange->reply_json(model::json::encode(builtin_pool(name)), {{"X-Nomad-Index", "1"}});
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/nodes", list},           {"GET", "/v1/node/pools", list_pools},
    {"GET", "/v1/node/pool/*", get_pool}, {"GET", "/v1/node/*/allocations", allocations},
    {"PUT", "/v1/node/*/drain", drain},   {"PUT", "/v1/node/*/eligibility", eligibility},
    {"PUT", "/v1/node/*/purge", purge},   {"GET", "/v1/node/*", get},
};

}  // namespace

std::span<const Route> node_routes() {
    return kRoutes;
}

}  // namespace drover::api
