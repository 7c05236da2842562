// SPDX-License-Identifier: Apache-2.0
#include "api/exchange.h"

#include "api/services.h"

namespace drover::api {

Exchange::Exchange(Request request_in, Services& services_in, std::shared_ptr<ExchangeSink> sink)
    : request(std::move(request_in)), services(services_in), sink_(std::move(sink)) {
    std::lock_guard lock(services.mutex);
    ++services.exchanges;
}

Exchange::~Exchange() {
    fail(500, "the request was given up");
    sink_.reset();
    std::lock_guard lock(services.mutex);
    --services.exchanges;
    services.changed.notify_all();
}

bool Exchange::take_answer() {
    return !answered_.exchange(true);
}

void Exchange::reply(Response response) {
    if (!take_answer()) return;
    if (response.status >= 400) ++services.errors;
    for (const auto& [name, value] : services.options.response_headers)
        response.headers.emplace_back(name, value);
    if (response.content_type == "application/json" && !response.body.empty()) {
        auto pretty = request.param("pretty");
        if (pretty && parse_bool(*pretty).value_or(true)) response.body = indent_json(response.body, 4);
    }
    sink_->send(std::move(response));
}

void Exchange::reply_json(std::string json, std::vector<std::pair<std::string, std::string>> headers) {
    Response response;
    response.body = std::move(json);
    response.headers = std::move(headers);
    reply(std::move(response));
}

void Exchange::reply_empty() {
    Response response;
    response.content_type.clear();
    reply(std::move(response));
}

void Exchange::fail(int status, std::string_view text) {
    Response response;
    response.status = status;
    response.content_type = text.empty() ? "" : "text/plain; charset=utf-8";
    response.body = std::string(text);
    reply(std::move(response));
}

void Exchange::fail(const Error& error) {
    fail(status_of(error), error.message());
}

std::shared_ptr<BodyStream> Exchange::stream(std::string content_type) {
    if (!take_answer()) return nullptr;
    Response head;
    head.content_type = std::move(content_type);
    for (const auto& [name, value] : services.options.response_headers)
        head.headers.emplace_back(name, value);
    return sink_->begin_stream(std::move(head));
}

void Exchange::run_blocking(std::function<void()> job) {
    if (!services.blocking.run(std::move(job))) fail(503, "too many requests are waiting for this agent");
}

void Exchange::run_stream(std::function<void()> job) {
    if (!services.streams.run(std::move(job))) fail(503, "too many streams are open on this agent");
}

// Nomad's servers answer 500 to most refusals; clients tell the others apart by status.
int status_of(const Error& error) {
    switch (error.code()) {
        case Code::NotFound:
            return 404;
        case Code::PermissionDenied:
        case Code::Unauthenticated:
            return 403;
        case Code::Unimplemented:
            return 501;
        case Code::ResourceExhausted:
            return 429;
        default:
            return 500;
    }
}

}  // namespace drover::api
