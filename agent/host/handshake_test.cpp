// SPDX-License-Identifier: Apache-2.0
// Handshake lines as plugins really write them, and everything else that may stand in their place.
#include "agent/host/handshake.h"

#include <gtest/gtest.h>

using drover::agent::Handshake;
using drover::agent::parse_handshake;

TEST(Handshake, TakesFiveSixAndSevenFields) {
    for (const char* line : {"1|2|unix|/tmp/plugin123|grpc", "1|2|unix|/tmp/plugin123|grpc|",
                             "1|2|unix|/tmp/plugin123|grpc||true", "  1|2|unix|/tmp/plugin123|grpc|\r\n"}) {
        auto got = parse_handshake(line);
        ASSERT_TRUE(got) << line << ": " << got.error().message();
        EXPECT_EQ(got->network, Handshake::Network::Unix);
        EXPECT_EQ(got->address, "/tmp/plugin123");
    }
}

TEST(Handshake, TakesLoopbackTcpOnly) {
    auto v4 = parse_handshake("1|2|tcp|127.0.0.1:10000|grpc|");
    ASSERT_TRUE(v4) << v4.error().message();
    EXPECT_EQ(v4->network, Handshake::Network::Tcp);
    EXPECT_EQ(v4->address, "127.0.0.1");
    EXPECT_EQ(v4->port, 10000);
    auto v6 = parse_handshake("1|2|tcp|[::1]:65535|grpc");
    ASSERT_TRUE(v6) << v6.error().message();
    EXPECT_EQ(v6->address, "::1");
    for (const char* line :
         {"1|2|tcp|10.0.0.1:80|grpc|", "1|2|tcp|127.0.0.1:0|grpc|", "1|2|tcp|127.0.0.1:65536|grpc|",
          "1|2|tcp|127.0.0.1|grpc|", "1|2|tcp|localhost:1000|grpc|", "1|2|tcp|:80|grpc|"}) {
        EXPECT_FALSE(parse_handshake(line)) << line;
    }
}

TEST(Handshake, RefusesEverythingElseAndSaysWhat) {
    const std::pair<std::string, const char*> cases[] = {
        {"", "0 fields"},
        {"hello", "1 fields"},
        {"1|2|unix", "3 fields"},
        {"2|2|unix|/tmp/x|grpc|", "core protocol \"2\""},
        {"1|1|unix|/tmp/x|grpc|", "plugin protocol \"1\""},
        {"1|2|udp|/tmp/x|grpc|", "network \"udp\""},
        {"1|2|unix|tmp/x|grpc|", "not absolute"},
        {"1|2|unix||grpc|", "not absolute"},
        {"1|2|unix|/tmp/x", "transport \"netrpc\""},
        {"1|2|unix|/tmp/x|netrpc|", "transport \"netrpc\""},
        {"1|2|unix|/" + std::string(200, 'x') + "|grpc|", "too long"},
        {"1|2|unix|/tmp/x|grpc|" + std::string(60, 'A'), "TLS"},
        {std::string("1|2|unix|/tmp/x\0y|grpc|", 24), "zero byte"},
        {std::string(100000, 'a'), "too long"},
        {"\x1b[31mred|\x07", "\\x1b[31mred|\\x07"},
    };
    for (const auto& [line, expected] : cases) {
        auto got = parse_handshake(line);
        ASSERT_FALSE(got) << line;
        EXPECT_NE(got.error().message().find(expected), std::string::npos) << got.error().message();
        EXPECT_LT(got.error().message().size(), 1000u);
    }
}
