// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <gtest/gtest.h>

namespace drover::api {
namespace {

// "GET /v1/job/x" -> "pattern|arg|arg", "405" or "404".
std::string route(std::string_view method, std::string_view target) {
    Request request;
    if (!parse_target(target, request)) return "400";
    auto match = find_route(method, request.segments);
    if (!match.route) return match.path_known ? "405" : "404";
    std::string text(match.route->pattern);
    for (const auto& arg : match.args) text += "|" + arg;
    return text;
}

TEST(Router, JobIdsMayContainSlashes) {
    EXPECT_EQ(route("GET", "/v1/job/web"), "/v1/job/**|web");
    EXPECT_EQ(route("GET", "/v1/job/cron/periodic-17/allocations"),
              "/v1/job/**/allocations|cron/periodic-17");
    EXPECT_EQ(route("GET", "/v1/job/cron%2Fperiodic-17/summary"), "/v1/job/**/summary|cron/periodic-17");
    EXPECT_EQ(route("DELETE", "/v1/job/a/b/c"), "/v1/job/**|a/b/c");
    EXPECT_EQ(route("GET", "/v1/job/allocations"), "/v1/job/**|allocations");
}

TEST(Router, MethodsDecideBetween404And405) {
    EXPECT_EQ(route("DELETE", "/v1/jobs"), "405");
    EXPECT_EQ(route("GET", "/v1/job/web/plan"), "405");
    EXPECT_EQ(route("GET", "/v1/nosuch"), "404");
    EXPECT_EQ(route("GET", "/v1"), "404");
    EXPECT_EQ(route("GET", "/v1/job/"), "404");
    EXPECT_EQ(route("GET", "/v1/node//allocations"), "404");
    EXPECT_EQ(route("GET", "/v2/jobs"), "404");
}

TEST(Router, PlainSegmentsWinOverWildcards) {
    EXPECT_EQ(route("GET", "/v1/node/pools"), "/v1/node/pools");
    EXPECT_EQ(route("GET", "/v1/node/abc"), "/v1/node/*|abc");
    EXPECT_EQ(route("GET", "/v1/evaluations/count"), "/v1/evaluations/count");
    EXPECT_EQ(route("GET", "/v1/deployment/allocations/d1"), "/v1/deployment/allocations/*|d1");
}

}  // namespace
}  // namespace drover::api
