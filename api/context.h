// SPDX-License-Identifier: Apache-2.0
// What routes share: query parameters -> QueryOptions, asking the cluster and answering with its messages and
// headers, bodies -> messages. For routes/*.cpp only (needs the generated headers).
#pragma once
#include <memory>
#include <string>
#include <utility>

#include "api/exchange.h"
#include "api/services.h"
#include "model/json/json.h"
#include "ports/cluster_port.h"
#include "proto/cluster/cluster.pb.h"

namespace drover::api {

using Headers = std::vector<std::pair<std::string, std::string>>;

// region, namespace, index, wait, stale, prefix, per_page, next_token, filter, reverse, token. On a bad value
// it answers 400 and returns false.
bool read_query(const ExchangePtr& exchange, cluster::QueryOptions& query);
bool read_write(const ExchangePtr& exchange, cluster::WriteOptions& write);

Headers meta_headers(const cluster::QueryMeta& meta);
Headers meta_headers(const cluster::WriteMeta& meta);

// The body as a message. Answers 400 and returns false when it is empty, no JSON, or of the wrong types.
bool read_body(const ExchangePtr& exchange, google::protobuf::Message& message);
bool read_flag(const ExchangePtr& exchange, std::string_view name, bool& value);

// Asks the cluster; errors are answered, a result reaches `then` on the session's strand.
template <class Response, class Req, class Then>
void ask(const ExchangePtr& exchange, std::string_view method, Req request, Then then) {
    ports::call<Response>(
        *exchange->services.options.cluster, method, std::move(request),
        [exchange, then = std::move(then)](Result<Response> result) mutable {
            if (!result) return exchange->fail(result.error());
            auto response = std::make_shared<Response>(std::move(*result));
            auto& on = *exchange;
            on.post([exchange = std::move(exchange), response, then = std::move(then)]() mutable {
                then(exchange, *response);
            });
        },
        exchange->cancel);
}

// {"Index":N, ...} as Nomad's write answers carry it, in front of the message's own fields.
std::string with_index(const google::protobuf::Message& message, uint64_t index);

// Asks for a list and answers with an array.
template <class Response, class Req, class Item>
void answer_list(const ExchangePtr& exchange, std::string_view method, Req request,
                 const google::protobuf::RepeatedPtrField<Item>& (Response::*field)() const) {
    ask<Response>(exchange, method, std::move(request), [field](const ExchangePtr& on, Response& response) {
        on->reply_json(model::json::encode_list((response.*field)()), meta_headers(response.meta()));
    });
}

}  // namespace drover::api
