// SPDX-License-Identifier: Apache-2.0
// Naming a process for ever (boot id + pid + start time), pidfds, and a text buffer. Header-only, no
// allocation, no stdio: used by the shim and logd, and by whoever reattaches to a process.
#pragma once
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace drover::sys {

// Text of a fixed size, always NUL-terminated; what does not fit is cut.
template <size_t N>
class Text {
 public:
    Text() { bytes_[0] = 0; }
    Text& add(const char* text) {
        while (*text && used_ + 1 < N) bytes_[used_++] = *text++;
        bytes_[used_] = 0;
        return *this;
    }
    Text& add(int64_t number) {
        char digits[24];
        size_t at = sizeof digits;
        digits[--at] = 0;
        uint64_t rest = number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
        do digits[--at] = static_cast<char>('0' + rest % 10);
        while ((rest /= 10) != 0);
        if (number < 0) digits[--at] = '-';
        return add(digits + at);
    }
    const char* c_str() const { return bytes_; }
    size_t size() const { return used_; }

 private:
    char bytes_[N];
    size_t used_ = 0;
};

inline int64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}
inline int64_t unix_ns() {
    return clock_ns(CLOCK_REALTIME);
}
inline int64_t mono_ns() {
    return clock_ns(CLOCK_MONOTONIC);
}
inline void nap_ms(int64_t ms) {
    timespec rest{static_cast<time_t>(ms / 1000), static_cast<long>(ms % 1000) * 1'000'000};
    ::nanosleep(&rest, nullptr);
}

// At most size-1 bytes of a small file, NUL-terminated; -1 with errno.
inline ssize_t read_small_at(int dir_fd, const char* path, char* buffer, size_t size) {
    int fd = ::openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    size_t used = 0;
    while (used + 1 < size) {
        ssize_t n = ::read(fd, buffer + used, size - 1 - used);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int saved = errno;
            ::close(fd);
            errno = saved;
            return -1;
        }
        if (n == 0) break;
        used += static_cast<size_t>(n);
    }
    ::close(fd);
    buffer[used] = 0;
    return static_cast<ssize_t>(used);
}
// One write(2) to an existing file (cgroup and proc files); false with errno.
inline bool write_small_at(int dir_fd, const char* path, const char* text) {
    int fd = ::openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t n = ::write(fd, text, std::strlen(text));
    int saved = errno;
    ::close(fd);
    errno = saved;
    return n >= 0;
}

// The id of this boot as 16 bytes. $DROVER_BOOT_ID_FILE names another file than the kernel's: tests of a
// reboot.
inline bool read_boot_id(uint8_t id[16]) {
    const char* file = ::getenv("DROVER_BOOT_ID_FILE");
    char text[64];
    if (read_small_at(AT_FDCWD, file ? file : "/proc/sys/kernel/random/boot_id", text, sizeof text) < 36)
        return false;
    size_t nibbles = 0;
    std::memset(id, 0, 16);
    for (const char* at = text; *at && *at != '\n'; ++at) {
        int value = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10 : -1;
        if (value < 0) continue;
        if (nibbles < 32) id[nibbles / 2] = static_cast<uint8_t>(id[nibbles / 2] << 4 | value);
        ++nibbles;
    }
    return nibbles == 32;
}

struct ProcStat {
    bool found = false;
    char state = 0;  // 'Z': has exited, waits for its parent
    int32_t parent = 0;
    int32_t session = 0;
    uint64_t start_ticks = 0;
    int32_t wait_status = 0;  // of a zombie, readable by root
};
inline ProcStat read_proc_stat(pid_t pid) {
    ProcStat result;
    char text[1024];
    Text<48> path;
    path.add("/proc/").add(pid).add("/stat");
    if (read_small_at(AT_FDCWD, path.c_str(), text, sizeof text) <= 0) return result;
    const char* at = std::strrchr(text, ')');  // the name before it may hold anything, ')' and spaces too
    if (!at || at[1] != ' ') return result;
    result.state = at[2];
    at += 3;
    for (int field = 4; *at == ' '; ++field) {
        char* end = nullptr;
        if (field == 4)
            result.parent = static_cast<int32_t>(std::strtol(at, &end, 10));
        else if (field == 6)
            result.session = static_cast<int32_t>(std::strtol(at, &end, 10));
        else if (field == 52)
            result.wait_status = static_cast<int32_t>(std::strtol(at, &end, 10));
        else {
            uint64_t value = std::strtoull(at, &end, 10);
            if (field == 22) {
                result.start_ticks = value;
                result.found = true;
            }
        }
        if (end == at) break;
        at = end;
    }
    return result;
}

inline int pidfd_open(pid_t pid) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}
inline bool pidfd_signal(int pidfd, int number) {
    return ::syscall(SYS_pidfd_send_signal, pidfd, number, nullptr, 0) == 0;
}
// A pidfd for exactly the process that had this start time, or -1: gone (errno ESRCH) or another one by now.
inline int pidfd_open_checked(pid_t pid, uint64_t start_ticks) {
    int fd = pid > 0 ? pidfd_open(pid) : -1;
    if (fd < 0) return -1;
    ProcStat stat =
        read_proc_stat(pid);  // read after the open: if it matches, the descriptor is of that process
    if (stat.found && stat.start_ticks == start_ticks) return fd;
    ::close(fd);
    errno = ESRCH;
    return -1;
}
// True once the process has exited (reaped or not).
inline bool pidfd_exited(int pidfd, int timeout_ms) {
    pollfd item{pidfd, POLLIN, 0};
    return ::poll(&item, 1, timeout_ms) > 0 && (item.revents & (POLLIN | POLLHUP)) != 0;
}

// The wait status of somebody else's child, which the kernel keeps for open pidfds after it was reaped
// (Linux 6.15).
inline bool pidfd_wait_status(int pidfd, int* status) {
    struct Info {  // struct pidfd_info, first version: 64 bytes
        uint64_t mask, cgroup_id;
        uint32_t pid, tgid, ppid, ids[8];
        int32_t exit_code;
    } info{};
    static_assert(sizeof(Info) == 64);
    constexpr uint64_t kInfoExit = 1u << 3;
    info.mask = kInfoExit;
    if (::ioctl(pidfd, _IOWR(0xFF, 11, Info), &info) != 0 || (info.mask & kInfoExit) == 0) return false;
    *status = info.exit_code;
    return true;
}

}  // namespace drover::sys
