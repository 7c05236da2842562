// SPDX-License-Identifier: Apache-2.0
// From the spec to a running task. The child waits at a gate until `started` is written, so a shim that dies
// at any point leaves either no record and nothing running, or a record that names what runs.
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shim/shim.h"

namespace drover::shim {
namespace {

struct CloneArgs {  // struct clone_args up to cgroup (Linux 5.7)
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size,
        cgroup;
};

struct ChildError {
    const char* step;  // a literal: the same address in parent and child
    int error_number;
};

uint32_t number(const char* payload) {
    uint32_t value;
    std::memcpy(&value, payload, sizeof value);
    return value;
}

// ---- the child, between clone and exec: system calls only
// --------------------------------------------------------

[[noreturn]] void child_fail(int error_fd, const char* step, int error_number = errno) {
    ChildError error{step, error_number};
    ssize_t n = ::write(error_fd, &error, sizeof error);
    static_cast<void>(n);
    ::_exit(127);
}

void child_identity(Shim& shim, int error_fd) {
    bool has_user = false;
    uint32_t uid = 0, gid = 0;
    uint32_t groups[64];
    size_t group_count = 0;
    Tag tag;
    const char* payload;
    uint32_t bytes;
    shim.spec.reader.rewind();
    while (shim.spec.reader.next(&tag, &payload, &bytes)) {
        if (tag == Tag::Uid) uid = number(payload), has_user = true;
        if (tag == Tag::Gid) gid = number(payload);
        if (tag == Tag::Group && group_count < 64) groups[group_count++] = number(payload);
    }
    if (!has_user) return;
    if (::syscall(SYS_setgroups, group_count, groups) != 0) child_fail(error_fd, "set groups");
    if (::syscall(SYS_setresgid, gid, gid, gid) != 0) child_fail(error_fd, "set group");
    if (::syscall(SYS_setresuid, uid, uid, uid) != 0) child_fail(error_fd, "set user");
}

void child_settings(Shim& shim, int error_fd) {
    mode_t mask = 022;
    const char* oom_score = shim.own_oom_score;
    sys::Text<16> wanted_score;
    Tag tag;
    const char* payload;
    uint32_t bytes;
    shim.spec.reader.rewind();
    while (shim.spec.reader.next(&tag, &payload, &bytes)) {
        if (tag == Tag::TaskJoin && !sys::write_small_at(AT_FDCWD, payload, "0"))
            child_fail(error_fd, "join cgroup");
        if (tag == Tag::Umask) mask = static_cast<mode_t>(number(payload) & 0777);
        if (tag == Tag::OomScoreAdj) {
            wanted_score.add(static_cast<int32_t>(number(payload)));
            oom_score = wanted_score.c_str();
        }
        if (tag == Tag::Rlimit) {
            RlimitField field;
            std::memcpy(&field, payload, sizeof field);
            rlimit64 limit{field.soft, field.hard};
            if (::syscall(SYS_prlimit64, 0, field.resource, &limit, nullptr) != 0)
                child_fail(error_fd, "set rlimit");
        }
        if (tag == Tag::NoNewPrivs && number(payload) && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            child_fail(error_fd, "no_new_privs");
    }
    if (*oom_score && !sys::write_small_at(AT_FDCWD, "/proc/self/oom_score_adj", oom_score))
        child_fail(error_fd, "set oom_score_adj");
    ::umask(mask);
}

// A FIFO the shim holds is opened again through that descriptor, so that nobody can put another file in
// between. It is read-write for the task too: then its pipe has a reader as long as the task lives, and no
// write of it ends in SIGPIPE even if logd, shim and agent are all killed in the same moment.
int open_output(int fifo_fd, const char* path) {
    if (fifo_fd < 0) return ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    sys::Text<48> self;
    self.add("/proc/self/fd/").add(fifo_fd);
    return ::open(self.c_str(), O_RDWR | O_CLOEXEC);
}

void child_stdio(Shim& shim, int error_fd) {
    int in = ::open(shim.spec.stdin_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (in < 0) child_fail(error_fd, "open stdin");
    int out = open_output(shim.fifo_fds[0], shim.spec.stdout_path);
    if (out < 0) child_fail(error_fd, "open stdout");
    int err = open_output(shim.fifo_fds[1], shim.spec.stderr_path);
    if (err < 0) child_fail(error_fd, "open stderr");
    // All three are above 2 (those are /dev/null in the shim), so no dup2 can hit a source of a later one.
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) child_fail(error_fd, "set up stdio");
}

[[noreturn]] void run_child(Shim& shim, int gate_fd, int error_fd) {
    ::setsid();
    child_settings(shim, error_fd);
    child_stdio(shim, error_fd);

    size_t words = shim.spec.args + shim.spec.envs + 2;
    void* memory =
        ::mmap(nullptr, words * sizeof(char*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) child_fail(error_fd, "make argv");
    char** argv = static_cast<char**>(memory);
    char** envp = argv + shim.spec.args + 1;
    size_t args = 0, envs = 0;
    Tag tag;
    const char* payload;
    uint32_t bytes;
    shim.spec.reader.rewind();
    while (shim.spec.reader.next(&tag, &payload, &bytes)) {
        if (tag == Tag::Arg) argv[args++] = const_cast<char*>(payload);
        if (tag == Tag::Env) envp[envs++] = const_cast<char*>(payload);
    }

    child_identity(shim, error_fd);
    if (::chdir(shim.spec.work_dir) != 0) child_fail(error_fd, "change directory");
    ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);

    char go = 0;
    ssize_t n;
    do n = ::read(gate_fd, &go, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) ::_exit(127);  // the shim died before it could record us
    ::execve(shim.spec.command, argv, envp);
    child_fail(error_fd, "exec");
}

const char* describe_failure(const Shim& shim, const char* step, char* text, size_t size) {
    sys::Text<kMessageBytesMax - 64> message;
    message.add(step);
    if (std::strcmp(step, "exec") == 0) message.add(" ").add(shim.spec.command);
    if (std::strcmp(step, "change directory") == 0) message.add(" to ").add(shim.spec.work_dir);
    if (std::strcmp(step, "open stdout") == 0) message.add(" ").add(shim.spec.stdout_path);
    if (std::strcmp(step, "open stderr") == 0) message.add(" ").add(shim.spec.stderr_path);
    if (std::strcmp(step, "open stdin") == 0) message.add(" ").add(shim.spec.stdin_path);
    std::memcpy(text, message.c_str(), message.size() < size ? message.size() + 1 : size);
    return text;
}

}  // namespace

const char* load_spec(Shim& shim, int* error_number) {
    int fd = ::openat(shim.dir_fd, kSpecFile, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return *error_number = errno, "open spec";
    struct stat st {};
    void* memory = MAP_FAILED;
    if (::fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= kSpecBytesMax)
        memory = ::mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    ::close(fd);
    if (memory == MAP_FAILED) return *error_number = EINVAL, "map spec";
    Spec& spec = shim.spec;
    if (const char* wrong = spec.reader.open(memory, static_cast<size_t>(st.st_size)))
        return *error_number = 0, wrong;

    Tag tag;
    const char* payload;
    uint32_t bytes;
    while (spec.reader.next(&tag, &payload, &bytes)) {
        switch (tag) {
            case Tag::Command:
                spec.command = payload;
                break;
            case Tag::Arg:
                ++spec.args;
                break;
            case Tag::Env:
                ++spec.envs;
                break;
            case Tag::WorkDir:
                spec.work_dir = payload;
                break;
            case Tag::StdinPath:
                spec.stdin_path = payload;
                break;
            case Tag::StdoutPath:
                spec.stdout_path = payload;
                break;
            case Tag::StderrPath:
                spec.stderr_path = payload;
                break;
            case Tag::TaskCgroup2:
                spec.cgroup2 = payload;
                break;
            case Tag::KillFreezer:
                spec.kill_freezer = payload;
                break;
            case Tag::KillCgroup2:
                spec.kill_cgroup2 = payload;
                break;
            case Tag::PidFile:
                spec.pid_file = payload;
                break;
            case Tag::DrainMs:
                spec.drain_ms = number(payload);
                break;
            case Tag::LaunchMs:
                spec.launch_ms = number(payload);
                break;
            case Tag::OomFile:
                if (spec.oom_files_count < kOomFilesMax) spec.oom_files[spec.oom_files_count++] = payload;
                break;
            case Tag::ShimJoin:
                if (!sys::write_small_at(AT_FDCWD, payload, "0")) note(shim, payload, errno);
                break;
            default:
                break;
        }
    }
    *error_number = 0;
    if (!spec.command || spec.args == 0) return "spec: no command";
    return nullptr;
}

const char* open_fifos(Shim& shim, int* error_number) {
    const char* const paths[2] = {shim.spec.stdout_path, shim.spec.stderr_path};
    for (int i = 0; i < 2; ++i) {
        struct stat st {};
        int fd = ::open(paths[i], O_PATH | O_CLOEXEC);
        bool fifo = fd >= 0 && ::fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
        if (fifo) {  // read-write: never a SIGPIPE for the task, whoever else is killed
            sys::Text<48> self;
            self.add("/proc/self/fd/").add(fd);
            shim.fifo_fds[i] = ::open(self.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        }
        *error_number = errno;
        if (fd >= 0) ::close(fd);
        if (fd < 0 || (fifo && shim.fifo_fds[i] < 0)) return i == 0 ? "open stdout" : "open stderr";
    }
    return nullptr;
}

const char* launch(Shim& shim, int* error_number) {
    int gate[2], errors[2];
    if (::pipe2(gate, O_CLOEXEC) != 0 || ::pipe2(errors, O_CLOEXEC) != 0)
        return *error_number = errno, "make pipes";
    CloneArgs args = {};
    args.flags = CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uint64_t>(&shim.pidfd);
    args.exit_signal = SIGCHLD;
    if (shim.spec.cgroup2) {
        int dir = ::open(shim.spec.cgroup2, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0) return *error_number = errno, "open cgroup";
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = static_cast<uint64_t>(dir);
    }
    long pid = ::syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        ::close(gate[1]);
        ::close(errors[0]);
        run_child(shim, gate[0], errors[1]);
    }
    int clone_errno = errno;
    ::close(gate[0]);
    ::close(errors[1]);
    if (shim.spec.cgroup2) ::close(static_cast<int>(args.cgroup));
    if (pid < 0) {
        ::close(gate[1]);
        ::close(errors[0]);
        return *error_number = clone_errno, "clone";
    }

    shim.is_child = true;
    shim.record.pid = static_cast<int32_t>(pid);
    shim.record.start_ticks = sys::read_proc_stat(static_cast<pid_t>(pid)).start_ticks;
    shim.record.started_ns = sys::unix_ns();
    shim.record.phase = shim.spec.pid_file ? Phase::Launching : Phase::Running;
    shim.launch_deadline_ns = sys::mono_ns() + static_cast<int64_t>(shim.spec.launch_ms) * 1'000'000;

    ChildError failure{"write started", 0};
    if (write_started(shim)) {
        ssize_t n = ::write(gate[1], "g", 1);
        static_cast<void>(n);  // a child that failed already says so on the other pipe
    } else {
        failure.error_number = errno;
    }
    ::close(gate[1]);
    ChildError from_child;
    ssize_t n;
    do n = ::read(errors[0], &from_child, sizeof from_child);
    while (n < 0 && errno == EINTR);
    ::close(errors[0]);
    if (n == static_cast<ssize_t>(sizeof from_child))
        failure = from_child;
    else if (failure.error_number == 0)
        return nullptr;  // the exec closed it

    siginfo_t info{};
    ::waitid(P_PIDFD, static_cast<id_t>(shim.pidfd), &info, WEXITED);
    shim.is_child = false;
    static char text[kMessageBytesMax - 64];
    *error_number = failure.error_number;
    return describe_failure(shim, failure.step, text, sizeof text);
}

void launcher_done(Shim& shim, bool status_known, int wait_status) {
    if (shim.is_child) {
        siginfo_t info{};
        ::waitid(P_PIDFD, static_cast<id_t>(shim.pidfd), &info, WEXITED);
        shim.is_child = false;
    }
    ::close(shim.pidfd);
    shim.pidfd = -1;
    if (status_known && wait_status != 0) {
        shim.record.exit_code =
            WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
        sys::Text<128> text;
        text.add(shim.spec.command).add(" exited with code ").add(shim.record.exit_code);
        return end_with(shim, Phase::StartFailed, text.c_str(), 0);
    }
    char digits[32];
    pid_t pid = 0;
    if (sys::read_small_at(AT_FDCWD, shim.spec.pid_file, digits, sizeof digits) > 0)
        pid = static_cast<pid_t>(std::strtol(digits, nullptr, 10));
    int pidfd = pid > 1 ? sys::pidfd_open(pid) : -1;
    sys::ProcStat stat = sys::read_proc_stat(pid);
    // A pid file of an earlier life, its number used again, would name a process older than the launcher.
    if (pidfd < 0 || !stat.found || stat.start_ticks < shim.record.start_ticks) {
        if (pidfd >= 0) ::close(pidfd);
        if (status_known)
            return end_with(shim, Phase::StartFailed, "the launcher left no running process", 0);
        return end_with(shim, Phase::Lost, "the launcher ended without its shim and left no process", 0);
    }
    shim.pidfd = pidfd;
    shim.is_child = stat.parent == ::getpid();
    shim.record.pid = pid;
    shim.record.start_ticks = stat.start_ticks;
    shim.record.phase = Phase::Running;
    shim.launch_deadline_ns = 0;
    if (!write_started(shim)) note(shim, "write started", errno);
    send_status(shim);
}

}  // namespace drover::shim
