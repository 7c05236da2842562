// SPDX-License-Identifier: Apache-2.0
// Kills everything that belongs to the task: through cgroup.kill (v2), the freezer (v1), or, without a
// cgroup, the process group and whoever was orphaned to the shim. Bounded: a process that cannot die (state
// D) is left to its end.
#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "shim/shim.h"

namespace drover::shim {
namespace {

constexpr int64_t kKillDeadlineNs = 10'000'000'000;
constexpr int kDepthMax = 8;

// SIGKILL to each pid of a text of numbers (cgroup.procs, children), and reaps it where it is ours; how many
// are left, `except` not counted.
int kill_listed(int fd, pid_t except) {
    char buffer[512];
    int count = 0;
    pid_t pid = 0;
    for (;;) {
        ssize_t n = ::read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        for (ssize_t i = 0; i < n; ++i) {
            if (buffer[i] >= '0' && buffer[i] <= '9') {
                pid = pid * 10 + (buffer[i] - '0');
            } else if (pid > 1) {
                if (pid != except && pid != ::getpid()) {
                    siginfo_t info{};
                    ::kill(pid, SIGKILL);
                    if (!except || ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 ||
                        info.si_pid == 0)
                        ++count;
                }
                pid = 0;
            }
        }
    }
    return count;
}

int kill_procs_below(int dir_fd, int depth) {
    int count = 0;
    int procs = ::openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (procs >= 0) {
        count += kill_listed(procs, 0);
        ::close(procs);
    }
    if (depth >= kDepthMax) return count;
    alignas(dirent) char buffer[1024];
    for (;;) {
        long n = ::syscall(SYS_getdents64, dir_fd, buffer, sizeof buffer);
        if (n <= 0) break;
        for (long at = 0; at < n;) {
            dirent* entry = reinterpret_cast<dirent*>(buffer + at);
            at += entry->d_reclen;
            if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
            int child = ::openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            if (child < 0) continue;
            count += kill_procs_below(child, depth + 1);
            ::close(child);
        }
    }
    return count;
}

int kill_group_dir(const char* path) {
    int dir = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return 0;
    int count = kill_procs_below(dir, 0);
    ::close(dir);
    return count;
}

void freeze(const char* freezer_dir, bool frozen) {
    sys::Text<4096> path;
    path.add(freezer_dir).add("/freezer.state");
    sys::write_small_at(AT_FDCWD, path.c_str(), frozen ? "FROZEN" : "THAWED");
    // FREEZING can last for ever when somebody sits in an uninterruptible call: the kill does not depend on
    // it.
    for (int i = 0; frozen && i < 50; ++i) {
        char state[16];
        if (sys::read_small_at(AT_FDCWD, path.c_str(), state, sizeof state) <= 0) return;
        if (std::strncmp(state, "FROZEN", 6) == 0) return;
        sys::nap_ms(2);
    }
}

void reap_orphans(Shim& shim) {
    for (;;) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
        // The task itself is reaped by the loop, when its status is recorded and its group is gone: until
        // then its zombie keeps the number of the process group from being used again.
        if (shim.is_child && info.si_pid == shim.record.pid) return;
        ::waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
    }
}

int kill_without_group(Shim& shim) {
    if (shim.pidfd >= 0 && !shim.ended()) sys::pidfd_signal(shim.pidfd, SIGKILL);
    // Its pid leads a group of its own. Only while it is ours to reap, or lives, is the number certain to be
    // its.
    if (shim.record.pid > 1 && (shim.is_child || !shim.ended())) ::kill(-shim.record.pid, SIGKILL);
    sys::Text<64> path;
    path.add("/proc/self/task/").add(::getpid()).add("/children");
    int children = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (children < 0) return 0;
    int count = kill_listed(children, shim.record.pid);
    ::close(children);
    return shim.ended() ? count : count + 1;
}

}  // namespace

void kill_tree(Shim& shim) {
    const int64_t deadline = sys::mono_ns() + kKillDeadlineNs;
    for (int64_t nap = 1;; nap = nap < 32 ? nap * 2 : nap) {
        int left = 0;
        if (shim.spec.kill_cgroup2) {
            sys::Text<4096> path;
            path.add(shim.spec.kill_cgroup2).add("/cgroup.kill");
            sys::write_small_at(AT_FDCWD, path.c_str(), "1");
            left = kill_group_dir(shim.spec.kill_cgroup2);
        } else if (shim.spec.kill_freezer) {
            left = kill_group_dir(shim.spec.kill_freezer);
            if (left > 0) {  // frozen: nobody can fork away between the listing and the signal
                freeze(shim.spec.kill_freezer, true);
                kill_group_dir(shim.spec.kill_freezer);
                freeze(shim.spec.kill_freezer, false);
            }
        } else {
            left = kill_without_group(shim);
        }
        reap_orphans(shim);
        if (left == 0) return;
        // A zombie whose status we have yet to record still counts as a member: its turn comes after this.
        if (!shim.ended() && shim.pidfd >= 0 && sys::pidfd_exited(shim.pidfd, 0)) return;
        if (sys::mono_ns() > deadline) return note(shim, "kill: some processes are still there", 0);
        sys::nap_ms(nap);
    }
}

}  // namespace drover::shim
