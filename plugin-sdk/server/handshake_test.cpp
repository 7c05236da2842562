// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/handshake.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace drover::sdk {
namespace {

EnvLookup env(std::map<std::string, std::string> values) {
    return [values = std::move(values)](const char* name) -> std::optional<std::string> {
        auto it = values.find(name);
        return it == values.end() ? std::nullopt : std::optional<std::string>(it->second);
    };
}

TEST(Handshake, WithoutTheCookieItExplainsItself) {
    for (auto values : {std::map<std::string, std::string>{}, {{kCookieName, "other"}}}) {
        auto request = read_handshake_request("driver", "exec", env(values));
        ASSERT_FALSE(request);
        EXPECT_EQ(request.error().code(), Code::FailedPrecondition);
        EXPECT_NE(request.error().message().find("driver plugin \"exec\""), std::string::npos);
    }
}

TEST(Handshake, ReadsWhatTheHostAsksFor) {
    auto request = read_handshake_request("driver", "exec", env({{kCookieName, kCookieValue}}));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->socket_parent, "/tmp");
    request = read_handshake_request("driver", "exec", env({{kCookieName, kCookieValue},
                                                  {"PLUGIN_PROTOCOL_VERSIONS", "1, 2"},
                                                  {"TMPDIR", "/var/tmp"},
                                                  {"PLUGIN_UNIX_SOCKET_DIR", "/run/x"},
                                                  {"PLUGIN_UNIX_SOCKET_GROUP", "0"}}));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->socket_parent, "/run/x");
    EXPECT_EQ(request->socket_group, "0");
    request =
        read_handshake_request("driver", "exec", env({{kCookieName, kCookieValue}, {"PLUGIN_PROTOCOL_VERSIONS", "3"}}));
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().message(), "PLUGIN_PROTOCOL_VERSIONS: the host offers \"3\", this plugin speaks 2");
}

TEST(Handshake, SocketDirIsPrivateShortAndRemoved) {
    std::string path;
    {
        auto dir = SocketDir::create({.socket_parent = "/tmp", .socket_group = {}});
        ASSERT_TRUE(dir) << dir.error().message();
        path = dir->socket_path();
        struct stat info {};
        ASSERT_EQ(::stat(path.substr(0, path.rfind('/')).c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0700u);
        ASSERT_TRUE(write_file(path, "", 0666));
        ASSERT_TRUE(dir->restrict_socket());
        ASSERT_EQ(::stat(path.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0600u);
    }
    EXPECT_FALSE(path_exists(path.substr(0, path.rfind('/'))));

    auto dir = SocketDir::create({.socket_parent = "/" + std::string(200, 'x'), .socket_group = {}});
    ASSERT_TRUE(dir) << dir.error().message();
    EXPECT_LT(dir->socket_path().size(), 108u);

    auto missing = SocketDir::create({.socket_parent = "/no/such/directory", .socket_group = {}});
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message().find("/no/such/directory"), std::string::npos);
    auto group = SocketDir::create({.socket_parent = "/tmp", .socket_group = "no such group"});
    ASSERT_FALSE(group);
    EXPECT_NE(group.error().message().find("no such group"), std::string::npos);
}

TEST(Handshake, Line) { EXPECT_EQ(handshake_line("/tmp/p/s"), "1|2|unix|/tmp/p/s|grpc|\n"); }

}  // namespace
}  // namespace drover::sdk
