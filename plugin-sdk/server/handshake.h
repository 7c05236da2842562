// SPDX-License-Identifier: Apache-2.0
// The plugin's half of the go-plugin handshake: what the host's environment asks for, the private socket, the one line
// on stdout. Used by serve.cpp alone. Pure except where it makes the directory.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::sdk {

inline constexpr char kCookieName[] = "NOMAD_PLUGIN_MAGIC_COOKIE";
inline constexpr char kCookieValue[] = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255";
inline constexpr int kCoreProtocol = 1;
inline constexpr int kAppProtocol = 2;

using EnvLookup = std::function<std::optional<std::string>(const char* name)>;

struct HandshakeRequest {
    std::string socket_parent;                // where the socket's directory is made
    std::optional<std::string> socket_group;  // name or gid that may connect too
};

// FailedPrecondition: not started by a host (the cookie is missing); the message is for a person at a shell.
// InvalidArgument: started by a host that speaks another protocol.
Result<HandshakeRequest> read_handshake_request(std::string_view kind, std::string_view name, const EnvLookup& env);

// A directory with a socket path in it, both for this user (and the group) alone; removed with everything in it when
// this goes. Nothing is bound yet.
class SocketDir {
 public:
    static Result<SocketDir> create(const HandshakeRequest& request);
    SocketDir(SocketDir&& other) noexcept : dir_(std::move(other.dir_)), gid_(other.gid_) { other.dir_.clear(); }
    SocketDir& operator=(SocketDir&&) = delete;
    ~SocketDir() { remove(); }

    std::string socket_path() const { return dir_ + "/s"; }
    // After bind: nobody but us (and the group) may connect.
    Status restrict_socket() const;
    void remove();

 private:
    SocketDir(std::string dir, std::optional<unsigned> gid) : dir_(std::move(dir)), gid_(gid) {}
    std::string dir_;
    std::optional<unsigned> gid_;
};

// "1|2|unix|<path>|grpc|\n"
std::string handshake_line(std::string_view socket_path);

}  // namespace drover::sdk
