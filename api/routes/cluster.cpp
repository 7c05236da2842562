// SPDX-License-Identifier: Apache-2.0
// Questions about the cluster as a whole: /v1/status/*, regions, search, namespaces, system/gc, the
// scheduler's settings.
#include "api/context.h"
#include "api/router.h"
#include "base/strings.h"

namespace drover::api {
namespace {

void leader(const ExchangePtr& exchange) {
    ask<cluster::LeaderResponse>(exchange, "Cluster.Leader", cluster::StatusRequest(),
                                 [](const ExchangePtr& on, auto& response) {
                                     std::string json;
                                     model::json::append_quoted(json, response.address());
                                     on->reply_json(std::move(json));
                                 });
}

void peers(const ExchangePtr& exchange) {
    ask<cluster::PeersResponse>(exchange, "Cluster.Peers", cluster::StatusRequest(),
                                [](const ExchangePtr& on, auto& response) {
                                    std::string json = "[";
                                    for (const auto& address : response.addresses()) {
                                        if (json.size() > 1) json += ',';
                                        model::json::append_quoted(json, address);
                                    }
                                    on->reply_json(json + "]");
                                });
}

void regions(const ExchangePtr& exchange) {
    std::string json = "[";
    model::json::append_quoted(json, exchange->services.options.region);
    exchange->reply_json(json + "]");
}

void collect_garbage(const ExchangePtr& exchange) {
    ask<cluster::WriteMeta>(exchange, "Cluster.GarbageCollect", cluster::StatusRequest(),
                            [](const ExchangePtr& on, auto&) { on->reply_empty(); });
}

// Nothing drifts in drover (summaries are computed), so there is nothing to reconcile; scripts may still ask.
void reconcile_summaries(const ExchangePtr& exchange) {
    exchange->reply_empty();
}

void scheduler_config(const ExchangePtr& exchange) {
    cluster::ListRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    ask<cluster::SchedulerConfigResponse>(
        exchange, "Cluster.SchedulerConfig", std::move(request), [](const ExchangePtr& on, auto& response) {
            model::SchedulerConfigurationResponse answer;
            *answer.mutable_scheduler_config() = std::move(*response.mutable_config());
            answer.set_known_leader(response.meta().known_leader());
            on->reply_json(with_index(answer, response.meta().index()), meta_headers(response.meta()));
        });
}

void set_scheduler_config(const ExchangePtr& exchange) {
    cluster::SetSchedulerConfigRequest request;
    if (!read_body(exchange, *request.mutable_config()) || !read_write(exchange, *request.mutable_write()))
        return;
    const auto& algorithm = request.config().scheduler_algorithm();
    if (!algorithm.empty() && algorithm != "binpack" && algorithm != "spread")
        return exchange->fail(
            400,
            fmt::format("invalid scheduler algorithm: \"{}\" (binpack or spread is expected)", algorithm));
    if (auto cas = exchange->request.param("cas")) {
        auto index = parse_uint(*cas);
        if (!index)
            return exchange->fail(400, fmt::format("Error parsing cas value: \"{}\" is not a number", *cas));
        request.set_cas_index(*index);
    }
    ask<cluster::SetSchedulerConfigResponse>(
        exchange, "Cluster.SetSchedulerConfig", std::move(request),
        [](const ExchangePtr& on, auto& response) {
            on->reply_json(
                fmt::format("{{\"Updated\":{},\"Index\":{}}}", response.updated(), response.meta().index()),
                meta_headers(response.meta()));
        });
}

// The body {"Prefix":..., "Context":...} as the free-form value it is: no schema message says it.
bool read_search(const ExchangePtr& exchange, cluster::SearchRequest& request) {
    model::MapValue body;
    if (!read_body(exchange, body)) return false;
    for (const auto& [name, value] : body.fields()) {
        if (to_lower(name) == "prefix") request.set_prefix(value.string_value());
        if (to_lower(name) == "context") request.set_context(value.string_value());
    }
    return read_query(exchange, *request.mutable_query());
}

void search(const ExchangePtr& exchange) {
    cluster::SearchRequest request;
    if (!read_search(exchange, request)) return;
    ask<cluster::SearchResponse>(
        exchange, "Cluster.Search", std::move(request), [](const ExchangePtr& on, auto& response) {
            std::map<std::string, const cluster::SearchResponse::Matches*> sorted;
            for (const auto& [context, matches] : response.contexts()) sorted[context] = &matches;
            std::string matches = "{";
            std::string truncations = "{";
            for (const auto& [context, found] : sorted) {
                if (matches.size() > 1) matches += ',', truncations += ',';
                model::json::append_quoted(matches, context);
                model::json::append_quoted(truncations, context);
                truncations += found->truncated() ? ":true" : ":false";
                matches += ":[";
                for (int i = 0; i < found->ids_size(); ++i) {
                    if (i > 0) matches += ',';
                    model::json::append_quoted(matches, found->ids(i));
                }
                matches += ']';
            }
            on->reply_json(fmt::format("{{\"Index\":{},\"KnownLeader\":{},\"LastContact\":{},\"Matches\":{}}}"
                                       ",\"Truncations\":{}}}}}",
                                       response.meta().index(), response.meta().known_leader(),
                                       response.meta().last_contact_ns(), matches, truncations),
                           meta_headers(response.meta()));
        });
}

void namespaces(const ExchangePtr& exchange) {
    cluster::ListRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    answer_list<cluster::NamespaceListResponse>(exchange, "Cluster.Namespaces", std::move(request),
                                                &cluster::NamespaceListResponse::namespaces);
}

void get_namespace(const ExchangePtr& exchange) {
    cluster::ListRequest request;
    if (!read_query(exchange, *request.mutable_query())) return;
    ask<cluster::NamespaceListResponse>(
        exchange, "Cluster.Namespaces", std::move(request), [](const ExchangePtr& on, auto& response) {
            for (const auto& item : response.namespaces())
                if (item.name() == on->args[0])
                    return on->reply_json(model::json::encode(item), meta_headers(response.meta()));
            on->fail(404, "Namespace not found");
        });
}

constexpr Route kRoutes[] = {
    {"GET", "/v1/status/leader", leader},
    {"GET", "/v1/status/peers", peers},
    {"GET", "/v1/regions", regions},
    {"PUT", "/v1/system/gc", collect_garbage},
    {"PUT", "/v1/system/reconcile/summaries", reconcile_summaries},
    {"GET", "/v1/operator/scheduler/configuration", scheduler_config},
    {"PUT", "/v1/operator/scheduler/configuration", set_scheduler_config},
    {"PUT", "/v1/search", search},
    {"GET", "/v1/namespaces", namespaces},
    {"GET", "/v1/namespace/*", get_namespace},
};

}  // namespace

std::span<const Route> cluster_routes() {
    return kRoutes;
}

}  // namespace drover::api
