// SPDX-License-Identifier: Apache-2.0
// fork and exec of a plugin; see the header. Between fork and exec only async-signal-safe calls are made: the
// agent has many threads.
#include "agent/host/spawn.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/limits.h"
#include "agent/host/record.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

// Made anew, so that a process of an earlier launch that still lives keeps its own pipe.
Result<UniqueFd> make_fifo(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return Error::from_errno(fmt::format("remove {}", path));
    if (::mkfifo(path.c_str(), 0600) != 0) return Error::from_errno(fmt::format("make the FIFO {}", path));
    UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) return Error::from_errno(path);
    // The size is a wish: beyond the user's pipe limit the default stays.
    (void)::fcntl(fd.get(), F_SETPIPE_SZ, kPluginPipeBytes);
    return fd;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> out;
    for (auto& s : strings) out.push_back(s.data());
    out.push_back(nullptr);
    return out;
}

// What the child needs, all made before the fork.
struct ChildPlan {
    const char* file;
    char** argv;
    char** envp;
    const char* const* cgroup_files;  // ends with null
    int stdin_fd, stdout_fd, stderr_fd, report_fd, gate_fd, gate_write_fd;
};

// One report: which step failed. `cgroup` counts up, since those do not stop the launch.
struct Report {
    int exec_errno = 0;
    int cgroup_errno = 0;
};

int join_groups(const char* const* files) {
    int failed = 0;
    for (; *files; ++files) {
        const int fd = ::open(*files, O_WRONLY | O_CLOEXEC);
        if (fd < 0) {
            failed = errno;
            continue;
        }
        if (::write(fd, "0", 1) != 1) failed = errno;
        ::close(fd);
    }
    return failed;
}

[[noreturn]] void child_main(const ChildPlan& plan) {
    ::setsid();
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(022);
    // The agent's end of the gate is the only writing one: its death, or its change of mind, is an end of
    // file here.
    ::close(plan.gate_write_fd);
    char go = 0;
    ssize_t got = -1;
    do {
        got = ::read(plan.gate_fd, &go, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) ::_exit(127);
    Report report;
    report.cgroup_errno = join_groups(plan.cgroup_files);
    // The descriptors to move are all above 2 (spawn_plugin sees to it), so none is overwritten before it is
    // moved.
    const bool moved = ::dup2(plan.stdin_fd, 0) == 0 && ::dup2(plan.stdout_fd, 1) == 1 &&
                       ::dup2(plan.stderr_fd, 2) == 2 && ::dup2(plan.report_fd, 3) == 3 &&
                       ::fcntl(3, F_SETFD, FD_CLOEXEC) == 0;
    if (moved) {
        ::syscall(SYS_close_range, 4u, ~0u, 0u);
        if (report.cgroup_errno != 0) (void)!::write(3, &report, sizeof report);
        ::execve(plan.file, plan.argv, plan.envp);
    }
    report.exec_errno = errno;
    (void)!::write(moved ? 3 : plan.report_fd, &report, sizeof report);
    ::_exit(127);
}

// Descriptors above 9, so that the child's dup2 calls never hit one another.
Result<UniqueFd> above(UniqueFd fd) {
    UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10));
    if (!moved) return Error::from_errno("duplicate a descriptor");
    return moved;
}

// Reads reports until the child has exec'd (the pipe closes) or failed.
Report read_report(int fd) {
    Report last, next;
    for (;;) {
        const ssize_t got = ::read(fd, &next, sizeof next);
        if (got < 0 && errno == EINTR) continue;
        if (got != static_cast<ssize_t>(sizeof next)) return last;
        last = next;
    }
}

}  // namespace

Result<UniqueFd> open_fifo_for_reading(const std::string& path) {
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (!fd) return Error::from_errno(path);
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0 || !S_ISFIFO(info.st_mode)) {
        return make_error(Code::FailedPrecondition, "{} is not a FIFO", path);
    }
    return fd;
}

Result<Spawned> spawn_plugin(const SpawnSpec& spec, const std::function<Status(pid_t)>& before_exec) {
    Spawned out;
    DROVER_TRY(UniqueFd stdout_made, make_fifo(spec.stdout_fifo));
    DROVER_TRY(UniqueFd stderr_made, make_fifo(spec.stderr_fifo));
    DROVER_TRY(out.stdout_read, open_fifo_for_reading(spec.stdout_fifo));
    DROVER_TRY(out.stderr_read, open_fifo_for_reading(spec.stderr_fifo));
    DROVER_TRY(UniqueFd stdout_fd, above(std::move(stdout_made)));
    DROVER_TRY(UniqueFd stderr_fd, above(std::move(stderr_made)));
    UniqueFd null_made(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!null_made) return Error::from_errno("/dev/null");
    DROVER_TRY(UniqueFd null_fd, above(std::move(null_made)));
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd report_read(ends[0]);
    DROVER_TRY(UniqueFd report_write, above(UniqueFd(ends[1])));
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd gate_write(ends[1]);
    DROVER_TRY(UniqueFd gate_read, above(UniqueFd(ends[0])));

    std::vector<std::string> arguments{spec.file}, environment;
    arguments.insert(arguments.end(), spec.args.begin(), spec.args.end());
    for (const auto& [key, value] : spec.env) environment.push_back(key + "=" + value);
    auto argv = pointers(arguments);
    auto envp = pointers(environment);
    std::vector<const char*> groups;
    for (const auto& file : spec.cgroup_files) groups.push_back(file.c_str());
    groups.push_back(nullptr);
    const ChildPlan plan{spec.file.c_str(), argv.data(),     envp.data(),     groups.data(),
                         null_fd.get(),     stdout_fd.get(), stderr_fd.get(), report_write.get(),
                         gate_read.get(),   gate_write.get()};

    // Signals stay blocked across the fork: a handler of the agent's must not run in the child.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::fork();
    if (pid == 0) child_main(plan);
    const int fork_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) return Error::from_errno("fork", fork_errno);

    report_write.reset();
    gate_read.reset();
    auto allowed = before_exec(pid);
    if (allowed) allowed = write_all(gate_write.get(), "g");
    gate_write.reset();
    if (!allowed) {
        ::waitpid(pid, nullptr, 0);
        return std::move(allowed).error();
    }
    const Report report = read_report(report_read.get());
    if (report.exec_errno != 0) {
        ::waitpid(pid, nullptr, 0);
        return Error::from_errno(fmt::format("exec {}", spec.file), report.exec_errno);
    }
    if (report.cgroup_errno != 0) {
        out.warnings.push_back(Error::from_errno("join the plugin's cgroup", report.cgroup_errno).message());
    }
    out.pid = pid;
    auto pidfd = open_pidfd(pid);
    if (!pidfd) {  // cannot be supervised: better none
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
        return std::move(pidfd).error();
    }
    out.pidfd = std::move(*pidfd);
    return out;
}

std::map<std::string, std::string> scrubbed_environment(char** environment) {
    static constexpr std::string_view kDropped[] = {"PLUGIN_CLIENT_CERT",
                                                    "PLUGIN_MULTIPLEX_GRPC",
                                                    "PLUGIN_UNIX_SOCKET_DIR",
                                                    "PLUGIN_UNIX_SOCKET_GROUP",
                                                    "PLUGIN_MIN_PORT",
                                                    "PLUGIN_MAX_PORT",
                                                    "PLUGIN_PROTOCOL_VERSIONS",
                                                    "NOTIFY_SOCKET",
                                                    "LISTEN_FDS",
                                                    "LISTEN_PID",
                                                    "LISTEN_FDNAMES",
                                                    "WATCHDOG_PID",
                                                    "WATCHDOG_USEC",
                                                    "JOURNAL_STREAM",
                                                    "INVOCATION_ID",
                                                    "NOMAD_TOKEN",
                                                    "DROVER_TOKEN",
                                                    "VAULT_TOKEN",
                                                    "CONSUL_HTTP_TOKEN"};
    std::map<std::string, std::string> out;
    for (char** entry = environment; entry && *entry; ++entry) {
        const std::string_view text = *entry;
        const auto equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0) continue;
        const auto key = text.substr(0, equals);
        if (std::find(std::begin(kDropped), std::end(kDropped), key) != std::end(kDropped)) continue;
        out[std::string(key)] = text.substr(equals + 1);
    }
    return out;
}

}  // namespace drover::agent
