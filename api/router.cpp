// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include "api/services.h"
#include "base/log.h"
#include "base/strings.h"

namespace drover::api {
namespace {

struct Pattern {
    const Route* route;
    std::vector<std::string> parts;
};

const std::vector<Pattern>& patterns() {
    static const auto* table = [] {
        auto* list = new std::vector<Pattern>;
        for (auto family : {job_routes(), node_routes(), alloc_routes(), eval_routes(), client_routes(),
                            agent_routes(), cluster_routes()})
            for (const auto& route : family) list->push_back({&route, split(route.pattern.substr(1), '/')});
        return list;
    }();
    return *table;
}

// What the wildcards match, decoded; false when the path does not fit.
bool fits(const std::vector<std::string>& parts, const std::vector<std::string>& segments,
          std::vector<std::string>& args) {
    args.clear();
    size_t many = static_cast<size_t>(std::find(parts.begin(), parts.end(), "**") - parts.begin());
    bool has_many = many < parts.size();
    if (has_many ? segments.size() < parts.size() : segments.size() != parts.size()) return false;
    size_t many_length = has_many ? segments.size() - parts.size() + 1 : 0;
    for (size_t part = 0, at = 0; part < parts.size(); ++part) {
        size_t length = part == many ? many_length : 1;
        std::string text;
        for (size_t i = 0; i < length; ++i) {
            if (i > 0) text += '/';
            text += unescape(segments[at + i], false).value_or("");
        }
        at += length;
        if (parts[part] == "*" || parts[part] == "**") {
            if (text.empty()) return false;
            args.push_back(std::move(text));
        } else if (parts[part] != text) {
            return false;
        }
    }
    return true;
}

void cors_preflight(const ExchangePtr& exchange) {
    Response response;
    response.content_type.clear();
    response.headers = {{"Access-Control-Allow-Origin", "*"},
                        {"Access-Control-Allow-Methods", "HEAD, GET"},
                        {"Access-Control-Allow-Headers", "*"}};
    exchange->reply(std::move(response));
}

}  // namespace

RouteMatch find_route(std::string_view method, const std::vector<std::string>& segments) {
    RouteMatch match;
    const std::vector<std::string>* decided = nullptr;
    std::vector<std::string> args;
    for (const auto& pattern : patterns()) {
        if (decided && pattern.parts != *decided) continue;
        if (!fits(pattern.parts, segments, args)) continue;
        decided = &pattern.parts;
        match.path_known = true;
        if (pattern.route->method != method) continue;
        match.route = pattern.route;
        match.args = std::move(args);
        return match;
    }
    return match;
}

void dispatch(const ExchangePtr& exchange) {
    const auto& request = exchange->request;
    if (request.segments.empty() || (request.segments.size() == 1 && request.segments[0].empty()))
        return exchange->fail(404, "");
    auto match = find_route(request.method, request.segments);
    if (!match.route && match.path_known && request.method == "OPTIONS") return cors_preflight(exchange);
    if (!match.route)
        return match.path_known ? exchange->fail(405, "Invalid method") : exchange->fail(404, "");
    auto region = request.param_or("region", "");
    if (!region.empty() && region != exchange->services.options.region)
        return exchange->fail(500, "No path to region");
    exchange->args = std::move(match.args);
    try {
        match.route->handler(exchange);
    } catch (const std::exception& error) {
        log::error("http", "request failed", {{"path", request.target}, {"error", error.what()}});
        exchange->fail(500, "internal error");
    }
}

}  // namespace drover::api
