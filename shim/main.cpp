// SPDX-License-Identifier: Apache-2.0
// drover-shim: the small parent of a task that outlives plugin and agent.
//   drover-shim run DIR            start what DIR/spec says; fd 3: the Record of the start is written there
//   drover-shim adopt DIR [pidfd]  take over from a shim that was killed; fd 4: a pidfd of the task
//   drover-shim version
// Started by the SDK's ProcessHost. Leaves its caller at once: own session, own cgroup, parent 1.
#include <linux/close_range.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/sys/unix_socket.h"
#include "shim/shim.h"

namespace drover::shim {
namespace {

Shim shim;

void say(const char* text) {
    ssize_t n = ::write(2, text, std::strlen(text));
    static_cast<void>(n);
}

void clean_signals() {
    // By the raw call: the C library keeps 32 and 33 for itself, but a task may inherit them ignored.
    struct {
        void* handler;
        unsigned long flags;
        void* restorer;
        uint64_t mask;
    } action{};  // all zero: SIG_DFL
    for (int number = 1; number <= 64; ++number)
        ::syscall(SYS_rt_sigaction, number, &action, nullptr, sizeof(uint64_t));
    sigset_t all;
    sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);  // only SIGKILL ends a shim
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    shim.signal_fd = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
}

// One shim per task. The kernel lets go of a dead one's lock a moment after its sockets, hence the patience.
// The file is the plugin's to make and to remove: when it is not there (any more), this task is being cleaned
// away.
bool take_lock() {
    shim.lock_fd = ::openat(shim.dir_fd, kLockFile, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (shim.lock_fd < 0) return false;
    for (int i = 0; i < 400; ++i) {
        if (::flock(shim.lock_fd, LOCK_EX | LOCK_NB) == 0) {
            struct stat st {};
            if (::fstat(shim.lock_fd, &st) == 0 && st.st_nlink > 0) return true;
            errno = ENOENT;
            return false;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) return false;
        sys::nap_ms(5);
    }
    errno = EBUSY;
    return false;
}

constexpr char kNoLock[] = "lock (is there another shim?)";

// What can fail before anything was started; nullptr when all is ready.
const char* prepare(bool adopting, int* error_number) {
    *error_number = 0;
    if (!take_lock()) return *error_number = errno, kNoLock;
    if (!sys::read_boot_id(shim.record.boot_id)) return *error_number = errno, "read boot id";
    if (!adopting && ::faccessat(shim.dir_fd, kStartedFile, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return *error_number = EEXIST, "the task was started already";
    if (const char* wrong = load_spec(shim, error_number)) return wrong;
    shim.listen_fd = sys::listen_at(shim.dir_fd, kSocketFile, 16);
    if (shim.listen_fd < 0) return *error_number = errno, "listen";
    const char* wrong = open_fifos(shim, error_number);
    // An adopter goes on without them: the task has its ends open, whatever became of the paths.
    if (wrong && !adopting) return wrong;
    reserve_exit(shim);
    return nullptr;
}

int run(const char* dir, bool adopting, bool has_pidfd) {
    ::umask(077);
    shim.has_status_fd = ::fcntl(kStatusFd, F_GETFD) >= 0;
    if (shim.has_status_fd) ::fcntl(kStatusFd, F_SETFD, FD_CLOEXEC);
    if (has_pidfd) ::fcntl(kInheritedPidfd, F_SETFD, FD_CLOEXEC);
    ::syscall(SYS_close_range, shim.has_status_fd ? (has_pidfd ? 5u : 4u) : 3u, ~0u, 0u);
    shim.dir_fd = ::open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (shim.dir_fd < 0) return say("drover-shim: cannot open the task directory\n"), 1;
    int null_fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || ::chdir("/") != 0) return say("drover-shim: cannot open /dev/null\n"), 1;
    for (int fd = 0; fd <= 2; ++fd) ::dup2(null_fd, fd);
    if (null_fd > 2) ::close(null_fd);

    clean_signals();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    shim.record.shim_pid = ::getpid();
    // A shim must not be the one the OOM killer takes; its task gets the inherited value back.
    if (sys::read_small_at(AT_FDCWD, "/proc/self/oom_score_adj", shim.own_oom_score,
                           sizeof shim.own_oom_score) > 0)
        sys::write_small_at(AT_FDCWD, "/proc/self/oom_score_adj", "-900");

    int error_number = 0;
    const char* wrong = prepare(adopting, &error_number);
    if (wrong) {  // nothing was started or taken over, nothing is recorded: the caller is told
        end_with(shim, Phase::StartFailed, wrong, error_number);
        if (wrong != kNoLock) note(shim, wrong, error_number);  // without the lock the directory is not ours
        send_status(shim);
        return 1;
    }
    if (adopting) {
        adopt(shim, has_pidfd ? kInheritedPidfd : -1);
    } else if ((wrong = launch(shim, &error_number)) != nullptr) {
        end_with(shim, Phase::StartFailed, wrong, error_number);
    }
    if (shim.record.phase == Phase::Running) send_status(shim);
    // The strings of the spec come back from the page cache when they are needed.
    ::madvise(const_cast<void*>(shim.spec.reader.data()), shim.spec.reader.size(), MADV_DONTNEED);
    loop(shim);
    ::unlinkat(shim.dir_fd, kSocketFile, 0);
    return 0;
}

}  // namespace
}  // namespace drover::shim

int main(int argc, char** argv) {
    using namespace drover::shim;
    if (argc == 2 && std::strcmp(argv[1], "version") == 0) {
        drover::sys::Text<64> text;
        text.add("drover-shim wire ").add(kWireVersion).add("\n");
        return ::write(1, text.c_str(), text.size()) < 0;
    }
    const bool adopting = argc >= 3 && std::strcmp(argv[1], "adopt") == 0;
    if (argc < 3 || (!adopting && std::strcmp(argv[1], "run") != 0)) {
        say("usage: drover-shim run DIR | adopt DIR [pidfd] | version\n");
        return 2;
    }
    // Away from the caller: a new session, and init (or the next subreaper) as parent.
    if (::fork() != 0) ::_exit(0);
    ::setsid();
    return run(argv[2], adopting, adopting && argc >= 4);
}
