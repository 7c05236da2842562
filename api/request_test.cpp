// SPDX-License-Identifier: Apache-2.0
#include "api/request.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "api/limits.h"

namespace drover::api {
namespace {

Request parsed(std::string_view target) {
    Request request;
    auto status = parse_target(target, request);
    EXPECT_TRUE(status) << status.error().message();
    return request;
}

std::string refused(std::string_view target) {
    Request request;
    auto status = parse_target(target, request);
    return status ? "accepted" : status.error().message();
}

TEST(ParseTarget, SplitsPathAndQuery) {
    auto request = parsed("/v1/job/a%2Fb/plan?namespace=x+y&stale&index=7&x=%3D");
    EXPECT_EQ(request.segments, (std::vector<std::string>{"v1", "job", "a%2Fb", "plan"}));
    EXPECT_EQ(request.param("namespace"), "x y");
    EXPECT_EQ(request.param("stale"), "");
    EXPECT_EQ(request.param("x"), "=");
    EXPECT_EQ(request.param("none"), std::nullopt);
}

TEST(ParseTarget, RefusesWhatIsNoTarget) {
    EXPECT_NE(refused("v1/jobs").find("must start with"), std::string::npos);
    EXPECT_NE(refused("").find("must start with"), std::string::npos);
    EXPECT_NE(refused("/v1/%zz").find("invalid URL escape"), std::string::npos);
    EXPECT_NE(refused("/v1/%2").find("invalid URL escape"), std::string::npos);
    EXPECT_NE(refused("/v1/a%00b").find("invalid URL escape"), std::string::npos);
    EXPECT_NE(refused("/v1/x?a=%q1").find("invalid URL escape"), std::string::npos);
    EXPECT_NE(refused("/" + std::string(kPathBytesMax + 1, 'a')).find("at most"), std::string::npos);
    std::string many = "/v1/x?";
    for (size_t i = 0; i <= kQueryParamsMax; ++i) many += "a=1&";
    EXPECT_NE(refused(many).find("more than"), std::string::npos);
}

TEST(Request, FlagsAreGosBooleans) {
    auto request = parsed("/x?a&b=true&c=0&d=zz");
    EXPECT_TRUE(*request.flag("a"));
    EXPECT_TRUE(*request.flag("b"));
    EXPECT_FALSE(*request.flag("c", true));
    EXPECT_TRUE(*request.flag("absent", true));
    EXPECT_FALSE(request.flag("d"));
}

TEST(IndentJson, LaysOutAsMarshalIndent) {
    EXPECT_EQ(indent_json(R"({"a":[1,{"b":"x{,:\"}"}],"c":{},"d":[]})", 2),
              "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x{,:\\\"}\"\n    }\n  ],\n  \"c\": {},\n  \"d\": "
              "[]\n}");
}

TEST(Gzip, RoundTrips) {
    std::string body(100'000, 'x');
    auto small = gzip(body);
    ASSERT_TRUE(small);
    EXPECT_LT(small->size(), 1000u);
    std::string out(body.size(), '\0');
    z_stream stream{};
    ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(small->data());
    stream.avail_in = static_cast<uInt>(small->size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
    inflateEnd(&stream);
    EXPECT_EQ(out, body);
    EXPECT_FALSE(gzip("abc"));  // would grow
}

}  // namespace
}  // namespace drover::api
