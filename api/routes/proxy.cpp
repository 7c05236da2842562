// SPDX-License-Identifier: Apache-2.0
#include "api/routes/proxy.h"

#include "api/client/client.h"
#include "api/context.h"
#include "base/uuid.h"
#include "ports/node_port.h"

namespace drover::api {
namespace {

constexpr std::string_view kForwarded = "x-drover-forwarded";

void send_on(const ExchangePtr& exchange, const std::string& address) {
    ClientOptions options;
    options.address = "http://" + address;
    options.connect_timeout_ms = 3'000;
    options.read_timeout_ms = 30'000;  // followed streams send a heartbeat each second
    auto client = Client::create(std::move(options));
    if (!client) return exchange->fail(500, client.error().message());
    Client::RawRequest request{
        exchange->request.method, exchange->request.target, {}, exchange->request.body};
    request.headers[std::string(kForwarded)] = "1";
    for (std::string_view name : {"x-nomad-token", "authorization", "content-type"})
        if (auto value = exchange->request.header(name); !value.empty())
            request.headers[std::string(name)] = value;

    std::shared_ptr<BodyStream> body;
    auto on_head = [&](const HttpReply& head) {
        if (head.status != 200) return false;  // an error: short, answered whole below
        auto type = head.headers.find("content-type");
        body = exchange->stream(type == head.headers.end() ? "" : type->second);
        return body != nullptr;
    };
    auto on_data = [&](std::string_view bytes) { return body->write(std::string(bytes)).has_value(); };
    auto reply = client->raw(request, on_head, on_data);
    if (body) return body->finish();
    if (!reply) return exchange->fail(500, reply.error().message());
    exchange->fail(reply->status, reply->body);
}

}  // namespace

void forward_to_node(const ExchangePtr& exchange, const std::string& node_id) {
    const auto* own = exchange->services.options.node;
    bool is_own = own && own->node_id() == node_id;
    if (is_own || !exchange->request.header(kForwarded).empty())
        return exchange->fail(404, fmt::format("unknown allocation ID \"{}\"",
                                               exchange->args.empty() ? "" : exchange->args.back()));
    cluster::NodeGetRequest request;
    request.set_node_id(node_id);
    ask<cluster::NodeGetResponse>(
        exchange, "Node.Get", std::move(request), [](const ExchangePtr& on, auto& response) {
            if (!response.has_node()) return on->fail(404, "node not found");
            const auto& address = response.node().http_addr();
            if (address.empty())
                return on->fail(404, fmt::format("No path to node \"{}\"", response.node().id()));
            on->run_stream([on, address] { send_on(on, address); });
        });
}

void forward_to_alloc(const ExchangePtr& exchange, const std::string& alloc_id) {
    if (!is_uuid(alloc_id))
        return exchange->fail(400, fmt::format("alloc id \"{}\" is not a UUID", alloc_id));
    cluster::AllocGetRequest request;
    request.set_alloc_id(alloc_id);
    request.mutable_query()->set_namespace_("*");
    ask<cluster::AllocGetResponse>(exchange, "Alloc.Get", std::move(request),
                                   [](const ExchangePtr& on, auto& response) {
                                       if (!response.has_alloc()) return on->fail(404, "alloc not found");
                                       forward_to_node(on, response.alloc().node_id());
                                   });
}

}  // namespace drover::api
