// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace drover::agent {

Result<UniqueFd> dial_plugin(const Handshake& address) {
    const bool is_unix = address.network == Handshake::Network::Unix;
    sockaddr_storage storage{};
    socklen_t size = 0;
    int family = AF_UNIX;
    if (is_unix) {
        auto* un = reinterpret_cast<sockaddr_un*>(&storage);
        un->sun_family = AF_UNIX;
        DROVER_ASSERT(address.address.size() < sizeof un->sun_path);  // parse_handshake refuses longer ones
        address.address.copy(un->sun_path, sizeof un->sun_path - 1);
        size = sizeof *un;
    } else if (auto* in4 = reinterpret_cast<sockaddr_in*>(&storage);
               ::inet_pton(AF_INET, address.address.c_str(), &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        family = AF_INET;
        in4->sin_port = htons(address.port);
        size = sizeof *in4;
    } else {
        auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
        if (::inet_pton(AF_INET6, address.address.c_str(), &in6->sin6_addr) != 1) {
            return make_error(Code::InvalidArgument, "bad address \"{}\"", address.address);
        }
        in6->sin6_family = AF_INET6;
        family = AF_INET6;
        in6->sin6_port = htons(address.port);
        size = sizeof *in6;
    }
    UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Error::from_errno("socket");
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0) return fd;
    if (errno != EINPROGRESS) return Error::from_errno(fmt::format("connect to {}", address.address));
    constexpr int kConnectMs = 1000;
    pollfd wait{fd.get(), POLLOUT, 0};
    int failure = 0;
    socklen_t failure_size = sizeof failure;
    if (::poll(&wait, 1, kConnectMs) != 1)
        return make_error(Code::DeadlineExceeded, "connect to {}: no answer", address.address);
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &failure, &failure_size) != 0 || failure != 0) {
        return Error::from_errno(fmt::format("connect to {}", address.address), failure);
    }
    return fd;
}

}  // namespace drover::agent
