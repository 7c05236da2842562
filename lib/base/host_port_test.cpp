// SPDX-License-Identifier: Apache-2.0
#include "base/host_port.h"

#include <gtest/gtest.h>

namespace drover {
namespace {

TEST(HostPort, ReadsWhatPeopleWrite) {
    struct Case {
        const char* text;
        const char* host;
        int port;
    };
    for (const Case& c :
         {Case{"web", "web", 0}, Case{"web:80", "web", 80}, Case{"10.0.0.1:65535", "10.0.0.1", 65535},
          Case{"::1", "::1", 0}, Case{"[::1]", "::1", 0}, Case{"[::1]:4647", "::1", 4647}}) {
        const auto got = parse_host_port(c.text);
        ASSERT_TRUE(got) << c.text;
        EXPECT_EQ(got->host, c.host);
        EXPECT_EQ(got->port, c.port);
    }
}

TEST(HostPort, RefusesWhatIsNoAddress) {
    for (const char* text :
         {"", ":80", "web:x", "web:0", "web:70000", "web:-1", "[::1", "[::1]80", "[]:80"}) {
        const auto got = parse_host_port(text);
        ASSERT_FALSE(got) << text;
        EXPECT_EQ(got.error().code(), Code::InvalidArgument);
    }
}

TEST(HostPort, JoinsBack) {
    EXPECT_EQ(join_host_port("web", 80), "web:80");
    EXPECT_EQ(join_host_port("::1", 80), "[::1]:80");
    EXPECT_EQ(join_host_port("[::1]", 80), "[::1]:80");
}

}  // namespace
}  // namespace drover
