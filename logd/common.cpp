// SPDX-License-Identifier: Apache-2.0
#include "logd/common.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/sys/unix_socket.h"

namespace drover::logd {
namespace {

constexpr long kNoteBytesMax = 256 << 10;
constexpr size_t kConnectionsMax = 64;

bool same_fifo(int fd, const StreamHeader& header) {
    struct stat st {};
    return ::fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_dev == header.fifo_dev &&
           st.st_ino == header.fifo_ino;
}

// The path is looked at through O_PATH first: opening what is not our FIFO could block or do harm (a device).
int open_checked(const char* path, int flags, const StreamHeader& header) {
    int handle = ::open(path, O_PATH | O_CLOEXEC | flags);
    if (handle < 0) return -1;
    int fd = -1;
    errno = ESTALE;
    if (same_fifo(handle, header)) {
        sys::Text<48> self;
        self.add("/proc/self/fd/").add(handle);
        fd = ::open(self.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    }
    int saved = errno;
    ::close(handle);
    errno = saved;
    return fd;
}

}  // namespace

void note(const Home& home, const char* who, const char* what, const char* detail, int error_number) {
    int fd = ::openat(home.fd, kNoteFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    if (::lseek(fd, 0, SEEK_END) > kNoteBytesMax && ::ftruncate(fd, 0) != 0) return void(::close(fd));
    sys::Text<1024> line;
    line.add(sys::unix_ns()).add(" ").add(who).add(" ").add(::getpid()).add(": ").add(what);
    if (detail && *detail) line.add(" ").add(detail);
    if (error_number) line.add(": ").add(::strerrorname_np(error_number));
    line.add("\n");
    ssize_t n = ::write(fd, line.c_str(), line.size());
    static_cast<void>(n);
    ::close(fd);
}

int take_lock(const Home& home, const char* name, Patience patience) {
    int fd = ::openat(home.fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return -1;
    bool locked = false;
    if (patience == Patience::Forever) {
        do locked = ::flock(fd, LOCK_EX) == 0;
        while (!locked && errno == EINTR);
    } else {
        for (int i = 0; !locked && i < (patience == Patience::Seconds ? 400 : 1); ++i) {
            locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
            if (!locked) sys::nap_ms(patience == Patience::Seconds ? 5 : 0);
        }
    }
    if (!locked) return ::close(fd), -1;
    sys::Text<32> pid;
    pid.add(::getpid()).add("\n");
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.c_str(), pid.size(), 0) < 0)
        note(home, "logd", "write", name, errno);
    return fd;
}

pid_t lock_holder(const Home& home, const char* name) {
    char text[32];
    if (sys::read_small_at(home.fd, name, text, sizeof text) <= 0) return 0;
    return static_cast<pid_t>(std::strtol(text, nullptr, 10));
}

void calm_process() {
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);  // only SIGKILL and our own Stop end logd
    sys::write_small_at(AT_FDCWD, "/proc/self/oom_score_adj", "-900");
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

const char* load_stream(const Home& home, uint64_t key, StreamFile* file, int* error_number) {
    char path[64];
    ::snprintf(path, sizeof path, "%s/%016llx", kStreamsDir, static_cast<unsigned long long>(key));
    *error_number = 0;
    int fd = ::openat(home.fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return *error_number = errno, "open the stream's file";
    ssize_t size = ::read(fd, file->bytes, sizeof file->bytes);
    ::close(fd);
    if (size < 0) return *error_number = EIO, "read the stream's file";
    const char* wrong = parse_stream(file->bytes, static_cast<size_t>(size), &file->view);
    if (!wrong && stream_key(file->view.id, std::strlen(file->view.id)) != key)
        wrong = "stream: under another's name";
    if (wrong) *error_number = EBADMSG;
    return wrong;
}

std::vector<uint64_t> stream_keys(const Home& home) {
    std::vector<uint64_t> keys;
    int fd = ::openat(home.fd, kStreamsDir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* dir = fd >= 0 ? ::fdopendir(fd) : nullptr;
    if (!dir) return keys;
    while (dirent* entry = ::readdir(dir)) {
        if (std::strlen(entry->d_name) != 16) continue;
        char* end = nullptr;
        uint64_t key = std::strtoull(entry->d_name, &end, 16);
        if (end == entry->d_name + 16) keys.push_back(key);
    }
    ::closedir(dir);
    return keys;
}

int open_fifo(const StreamView& view, pid_t other) {
    int fd = open_checked(view.fifo, O_NOFOLLOW, view.header);
    if (fd < 0 && other > 1) {
        // The path is gone or another's; the pipe may still be in the hands of the other process.
        sys::Text<48> list;
        list.add("/proc/").add(other).add("/fd");
        DIR* dir = ::opendir(list.c_str());
        while (dirent* entry = dir ? ::readdir(dir) : nullptr) {
            if (entry->d_name[0] == '.') continue;
            sys::Text<96> path;
            path.add(list.c_str()).add("/").add(entry->d_name);
            fd = open_checked(path.c_str(), 0, view.header);
            if (fd >= 0) break;
        }
        if (dir) ::closedir(dir);
        if (fd < 0) errno = ENOENT;
    }
    if (fd >= 0) ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes);  // bigger is only better; refusals do not matter
    return fd;
}

bool Server::listen(const Home& home, const char* name) {
    listen_fd_ = sys::listen_at(home.fd, name, 32);
    return listen_fd_ >= 0;
}

int Server::accept() {
    int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return -1;
    if (!sys::peer_allowed(fd) || connections_.size() >= kConnectionsMax) return ::close(fd), -1;
    connections_.push_back(Connection{});
    connections_.back().fd = fd;
    return fd;
}

int Server::read(Connection& connection, RequestFrame* frame) {
    ssize_t n = ::recv(connection.fd, connection.bytes + connection.used,
                       sizeof connection.bytes - connection.used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (n <= 0) return close(connection), -1;
    connection.used += static_cast<size_t>(n);
    if (connection.used < sizeof connection.bytes) return 0;
    std::memcpy(frame, connection.bytes, sizeof *frame);
    connection.used = 0;
    if (!request_ok(*frame)) return close(connection), -1;
    return 1;
}

void Server::send(Connection& connection, const Reply& reply) {
    if (connection.fd < 0) return;
    if (::send(connection.fd, &reply, sizeof reply, MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(sizeof reply))
        close(connection);
}

void Server::close(Connection& connection) {
    if (connection.fd >= 0) ::close(connection.fd);
    connection.fd = -1;
}

void Server::sweep() {
    std::erase_if(connections_, [](const Connection& connection) { return connection.fd < 0; });
}

}  // namespace drover::logd
