// SPDX-License-Identifier: Apache-2.0
// The table of routes and the search in it. A pattern is a path in which `*` stands for one segment and `**`
// for one or more (job ids contain slashes); there is at most one `**`. The first pattern that fits the path
// decides; a method it has no row for is 405. Every family of endpoints lists its rows in
// routes/<family>.cpp.
#pragma once
#include <span>
#include <string_view>

#include "api/exchange.h"

namespace drover::api {

using Handler = void (*)(const ExchangePtr&);

struct Route {
    std::string_view method;   // "GET", "PUT" (also POST), "DELETE"
    std::string_view pattern;  // "/v1/job/**/plan"
    Handler handler;
};

std::span<const Route> job_routes();
std::span<const Route> node_routes();
std::span<const Route> alloc_routes();
std::span<const Route> eval_routes();
std::span<const Route> client_routes();
std::span<const Route> agent_routes();
std::span<const Route> cluster_routes();

struct RouteMatch {
    const Route* route = nullptr;  // null: no path fits, or none with this method
    bool path_known = false;
    std::vector<std::string> args;
};
RouteMatch find_route(std::string_view method, const std::vector<std::string>& segments);

// Finds the handler and calls it, or answers 404 or 405. Never throws.
void dispatch(const ExchangePtr& exchange);

}  // namespace drover::api
