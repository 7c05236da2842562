// SPDX-License-Identifier: Apache-2.0
#include "api/exec_frames.h"

#include <gtest/gtest.h>

namespace drover::api {
namespace {

TEST(ExecFrames, AreTheMessagesOfNomadsClients) {
    EXPECT_EQ(encode_exec(ports::ExecInput{}), "{}");
    EXPECT_EQ(encode_exec(ports::ExecInput{.stdin_bytes = "hi\n"}), R"({"stdin":{"data":"aGkK"}})");
    EXPECT_EQ(encode_exec(ports::ExecInput{.stdin_closed = true}), R"({"stdin":{"close":true}})");
    EXPECT_EQ(encode_exec(ports::ExecInput{.size = ports::WindowSize{24, 80}}),
              R"({"tty_size":{"height":24,"width":80}})");
    EXPECT_EQ(encode_exec(ports::ExecOutput{.stdout_bytes = std::string("\0\xff", 2)}),
              R"({"stdout":{"data":"AP8="}})");
    EXPECT_EQ(encode_exec(ports::ExecOutput{.stderr_bytes = "e", .stderr_closed = true}),
              R"({"stderr":{"data":"ZQ==","close":true}})");
    EXPECT_EQ(encode_exec(ports::ExecOutput{.exit_code = 7}), R"({"exited":true,"result":{"exit_code":7}})");
    EXPECT_EQ(encode_exec(ports::ExecOutput{.stdout_closed = true, .exit_code = 0}),
              R"({"stdout":{"close":true},"exited":true,"result":{"exit_code":0}})");
}

TEST(ExecFrames, ComeBackAsTheyWere) {
    for (const auto& input :
         {ports::ExecInput{}, ports::ExecInput{.stdin_bytes = "x"}, ports::ExecInput{.stdin_closed = true},
          ports::ExecInput{.stdin_bytes = "y", .size = ports::WindowSize{1, 2}}}) {
        auto decoded = decode_exec_input(encode_exec(input));
        ASSERT_TRUE(decoded) << decoded.error().message();
        EXPECT_EQ(*decoded, input);
    }
    std::string all(256, '\0');
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<char>(i);
    for (const auto& output :
         {ports::ExecOutput{},
          ports::ExecOutput{.stdout_bytes = all, .stderr_bytes = "e", .stderr_closed = true},
          ports::ExecOutput{.stdout_closed = true, .exit_code = 255}}) {
        auto decoded = decode_exec_output(encode_exec(output));
        ASSERT_TRUE(decoded) << decoded.error().message();
        EXPECT_EQ(*decoded, output);
    }
    // As Go leaves things out: exit code 0.
    EXPECT_EQ(decode_exec_output(R"({"exited":true,"result":{}})")->exit_code, 0);
    EXPECT_EQ(decode_exec_output(R"({"exited":true})")->exit_code, 0);
}

TEST(ExecFrames, WhatIsNoneIsRefusedWithThePlace) {
    auto error = [](std::string_view text) {
        auto input = decode_exec_input(text);
        return input ? std::string("accepted") : input.error().message();
    };
    EXPECT_EQ(error("[]"), "malformed exec message: an object is expected");
    EXPECT_EQ(error(R"({"stdin":3})"), "malformed exec message: \"stdin\": an object is expected");
    EXPECT_EQ(error(R"({"stdin":{"data":"%"}})"),
              "malformed exec message: \"stdin\".\"data\": base64 text is expected");
    EXPECT_EQ(error(R"({"stdin":{"close":"yes"}})"),
              "malformed exec message: \"close\": true or false is expected");
    EXPECT_EQ(error(R"({"tty_size":{"height":-1,"width":2}})"),
              "malformed exec message: \"tty_size\": height and width of 0 to 65535 are expected");
    EXPECT_EQ(error(R"({"tty_size":{"height":"a"}})"),
              "malformed exec message: \"height\": a number is expected");
    EXPECT_NE(error("{").find("malformed exec message"), std::string::npos);
    EXPECT_TRUE(check_exec_handshake(R"({"version":1,"auth_token":""})"));
    EXPECT_FALSE(check_exec_handshake(R"({"version":2})"));
    EXPECT_FALSE(check_exec_handshake("{}"));
}

}  // namespace
}  // namespace drover::api
