// SPDX-License-Identifier: Apache-2.0
// Noticing that the other end of an upgraded connection is gone when nobody reads from it just now.
#pragma once
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

namespace drover::api {

constexpr std::chrono::milliseconds kHangupInterval{500};

// The peer has closed or reset, also when there is unread data before that.
inline bool hung_up(int fd) {
    pollfd entry{fd, POLLRDHUP, 0};
    return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

// A machine that vanished without a word is noticed in about a minute. Of no effect on unix sockets.
inline void keep_alive(int fd) {
    const int on = 1;
    const int idle_s = 15;
    const int probes = 4;
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &idle_s, sizeof idle_s);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

}  // namespace drover::api
