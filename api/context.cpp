// SPDX-License-Identifier: Apache-2.0
#include "api/context.h"

#include "api/limits.h"
#include "base/clock.h"
#include "base/strings.h"

namespace drover::api {
namespace {

std::string token_of(const Request& request) {
    auto token = request.header("x-nomad-token");
    if (!token.empty()) return token;
    auto authorization = request.header("authorization");
    constexpr std::string_view kBearer = "Bearer ";
    if (!starts_with(authorization, kBearer)) return "";
    return std::string(trim(std::string_view(authorization).substr(kBearer.size())));
}

bool bad(const ExchangePtr& exchange, std::string_view text) {
    exchange->fail(400, text);
    return false;
}

}  // namespace

bool read_query(const ExchangePtr& exchange, cluster::QueryOptions& query) {
    const auto& request = exchange->request;
    query.set_region(request.param_or("region", ""));
    query.set_namespace_(request.param_or("namespace", ""));
    query.set_auth_token(token_of(request));
    query.set_prefix(request.param_or("prefix", ""));
    query.set_next_token(request.param_or("next_token", ""));
    query.set_filter(request.param_or("filter", ""));
    if (auto text = request.param_or("index", ""); !text.empty()) {
        auto index = parse_uint(text);
        if (!index) return bad(exchange, "Invalid index");
        query.set_min_index(*index);
    }
    if (auto text = request.param_or("wait", ""); !text.empty()) {
        auto wait = parse_duration(text);
        if (!wait || *wait < 0) return bad(exchange, "Invalid wait time");
        query.set_max_wait_ns(std::min(*wait, kBlockingWaitMaxMs * kMillisecond));
    }
    if (auto text = request.param_or("per_page", ""); !text.empty()) {
        auto count = parse_int(text);
        if (!count || *count < 0 || *count > INT32_MAX)
            return bad(exchange,
                       fmt::format("Failed to parse value of \"per_page\" (\"{}\") as a number", text));
        query.set_per_page(static_cast<int32_t>(*count));
    }
    bool stale = false;
    bool reverse = false;
    if (!read_flag(exchange, "stale", stale) || !read_flag(exchange, "reverse", reverse)) return false;
    query.set_allow_stale(stale);
    query.set_reverse(reverse);
    return true;
}

bool read_write(const ExchangePtr& exchange, cluster::WriteOptions& write) {
    write.set_region(exchange->request.param_or("region", ""));
    write.set_namespace_(exchange->request.param_or("namespace", ""));
    write.set_auth_token(token_of(exchange->request));
    return true;
}

Headers meta_headers(const cluster::QueryMeta& meta) {
    Headers headers = {{"X-Nomad-Index", std::to_string(std::max<uint64_t>(meta.index(), 1))},
                       {"X-Nomad-Knownleader", meta.known_leader() ? "true" : "false"},
                       {"X-Nomad-Lastcontact", std::to_string(meta.last_contact_ns() / kMillisecond)}};
    if (!meta.next_token().empty()) headers.emplace_back("X-Nomad-Nexttoken", meta.next_token());
    return headers;
}

Headers meta_headers(const cluster::WriteMeta& meta) {
    return {{"X-Nomad-Index", std::to_string(meta.index())}};
}

bool read_body(const ExchangePtr& exchange, google::protobuf::Message& message) {
    if (trim(exchange->request.body).empty()) return bad(exchange, "Request body is empty");
    if (auto status = model::json::decode(exchange->request.body, message); !status)
        return bad(exchange, status.error().message());
    return true;
}

bool read_flag(const ExchangePtr& exchange, std::string_view name, bool& value) {
    auto flag = exchange->request.flag(name, value);
    if (!flag) return bad(exchange, flag.error().message());
    value = *flag;
    return true;
}

std::string with_index(const google::protobuf::Message& message, uint64_t index) {
    auto json = model::json::encode(message);
    auto head = fmt::format("{{\"Index\":{}", index);
    if (json.size() > 2) head += ",";
    return head + json.substr(1);
}

}  // namespace drover::api
