// SPDX-License-Identifier: Apache-2.0
// Unix sockets inside a directory that is open: paths of any length work, because the address goes through
// /proc/self/fd/N instead of the path (sun_path ends at 108 bytes). Header-only, no allocation.
#pragma once
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/sys/proc.h"

namespace drover::sys {

inline bool socket_address(int dir_fd, const char* name, sockaddr_un* address) {
    Text<sizeof(address->sun_path)> path;
    path.add("/proc/self/fd/").add(dir_fd).add("/").add(name);
    std::memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    std::memcpy(address->sun_path, path.c_str(), path.size());
    return path.size() + 1 < sizeof(address->sun_path);
}

// Replaces what lies at `name`, listens with mode 0600; -1 with errno. The caller's umask must not matter, so
// the socket is made unreachable first: the directory is the real guard (0700).
inline int listen_at(int dir_fd, const char* name, int backlog) {
    sockaddr_un address;
    if (!socket_address(dir_fd, name, &address)) return errno = ENAMETOOLONG, -1;
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (::unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT) goto fail;
    if (::fchmod(fd, 0600) != 0) goto fail;  // the mode of the inode that bind makes
    if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) goto fail;
    if (::fchmodat(dir_fd, name, 0600, 0) != 0) goto fail;
    if (::listen(fd, backlog) != 0) goto fail;
    return fd;
fail:
    int saved = errno;
    ::close(fd);
    errno = saved;
    return -1;
}

inline int connect_at(int dir_fd, const char* name) {
    sockaddr_un address;
    if (!socket_address(dir_fd, name, &address)) return errno = ENAMETOOLONG, -1;
    int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    int rc;
    do rc = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
    while (rc != 0 && errno == EINTR);
    if (rc == 0) return fd;
    int saved = errno;
    ::close(fd);
    errno = saved;
    return -1;
}

// Only the owner of the process and root may talk to it, whatever the modes of the directory have become.
inline bool peer_allowed(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == 0 || peer.uid == ::geteuid());
}

}  // namespace drover::sys
