// SPDX-License-Identifier: Apache-2.0
// Between fork and exec only async-signal-safe calls are made: a plugin has many threads.
#include "plugin-sdk/process/exec_spawn.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "cgroup/cgroup.h"

namespace drover::sdk {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr int64_t kKillNs = 10 * kSecond;

// Above the numbers that the child's dup2 calls aim at.
Result<UniqueFd> above(int fd) {
    UniqueFd given(fd), moved(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
    if (!moved) return Error::from_errno("duplicate a descriptor");
    return moved;
}

Status make_pipe(UniqueFd& read_end, UniqueFd& write_end) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno("pipe");
    UniqueFd second(ends[1]);
    DROVER_TRY(read_end, above(ends[0]));
    DROVER_TRY(write_end, above(second.release()));
    return {};
}

void set_nonblocking(const UniqueFd& fd) {
    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

enum class Step : int { Namespace, Cgroup, Terminal, Stdio, User, WorkDir, Exec };
struct Report {
    Step step;
    int error_number;
};

// Everything the child touches, made before the fork.
struct Plan {
    std::vector<std::string> joins, paths, args, env;
    std::vector<char*> argv, envp;
    const char* work_dir;
    const ProcessUser* user;
    int network_fd = -1;
    int in, out, err, report;
    bool tty;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

bool join_groups(const Plan& plan) {
    for (const std::string& file : plan.joins)
        if (!sys::write_small_at(AT_FDCWD, file.c_str(), "0")) return false;
    return true;
}
bool become(const ProcessUser* user) {
    if (!user) return true;
    return ::syscall(SYS_setgroups, user->groups.size(), user->groups.data()) == 0 &&
           ::syscall(SYS_setresgid, user->gid, user->gid, user->gid) == 0 &&
           ::syscall(SYS_setresuid, user->uid, user->uid, user->uid) == 0;
}
// Like execvp: a file that is there but cannot be run says more than one that is not.
int try_exec(const Plan& plan) {
    int said = ENOENT;
    for (const std::string& path : plan.paths) {
        ::execve(path.c_str(), plan.argv.data(), plan.envp.data());
        if (errno != ENOENT && errno != ENOTDIR) said = errno;
    }
    return said;
}

[[noreturn]] void child_main(const Plan& plan) {
    auto fail = [](int fd, Step step, int number) {
        Report report{step, number};
        static_cast<void>(!::write(fd, &report, sizeof report));
        ::_exit(127);
    };
    ::setsid();
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
    ::umask(022);
    if (plan.network_fd >= 0 && ::setns(plan.network_fd, CLONE_NEWNET) != 0) fail(plan.report, Step::Namespace, errno);
    if (!join_groups(plan)) fail(plan.report, Step::Cgroup, errno);
    if (plan.tty && ::ioctl(plan.in, TIOCSCTTY, 0) != 0) fail(plan.report, Step::Terminal, errno);
    if (::dup2(plan.in, 0) < 0 || ::dup2(plan.out, 1) < 0 || ::dup2(plan.err, 2) < 0 ||
        ::dup3(plan.report, 3, O_CLOEXEC) < 0)
        fail(plan.report, Step::Stdio, errno);
    ::syscall(SYS_close_range, 4u, ~0u, 0u);
    if (!become(plan.user)) fail(3, Step::User, errno);
    if (::chdir(plan.work_dir) != 0) fail(3, Step::WorkDir, errno);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    fail(3, Step::Exec, try_exec(plan));
    __builtin_unreachable();
}

std::string search_path(const ExecProgram& program) {
    for (const std::string& entry : program.env)
        if (starts_with(entry, "PATH=")) return entry.substr(5);
    return kDefaultPath;
}

Error describe(const Report& report, const ExecProgram& program) {
    std::string what;
    switch (report.step) {
        case Step::Namespace:
            what = "enter the network namespace " + program.network_namespace;
            break;
        case Step::Cgroup:
            what = "join the cgroup " + program.cgroup;
            break;
        case Step::Terminal:
            what = "take the terminal";
            break;
        case Step::Stdio:
            what = "set up stdio";
            break;
        case Step::User:
            what = fmt::format("become the user {}", program.user ? program.user->uid : 0);
            break;
        case Step::WorkDir:
            what = "work_dir " + program.work_dir;
            break;
        case Step::Exec:
            if (report.error_number == ENOENT && program.command.find('/') == std::string::npos)
                return make_error(Code::NotFound, "command \"{}\": not found (looked in {})", program.command,
                                  search_path(program));
            what = fmt::format("command \"{}\"", program.command);
            break;
    }
    return Error::from_errno(what, report.error_number);
}

Result<Plan> make_plan(const ExecProgram& program, bool tty, const ExecEnds& ends) {
    if (program.command.empty()) return make_error(Code::InvalidArgument, "command: must not be empty");
    Plan plan;
    if (!program.cgroup.empty()) {
        DROVER_TRY(auto group, cgroup::Cgroup::open(program.cgroup));
        plan.joins = group.join_files();
    }
    if (program.command.find('/') != std::string::npos) {
        plan.paths = {program.command};
    } else {
        for (const std::string& dir : split(search_path(program), ':'))
            if (!dir.empty()) plan.paths.push_back(join_path(dir, program.command));
    }
    plan.args = {program.command};
    plan.args.insert(plan.args.end(), program.args.begin(), program.args.end());
    plan.env = program.env;
    plan.work_dir = program.work_dir.empty() ? "/" : program.work_dir.c_str();
    plan.user = program.user ? &*program.user : nullptr;
    plan.tty = tty;
    plan.in = ends.child_in.get();
    plan.out = tty ? plan.in : ends.child_out.get();
    plan.err = tty ? plan.in : ends.child_err.get();
    return plan;
}

// The session of `pid`, or the pid alone when it leads none: never a session that was there before it.
struct Target {
    pid_t pid;
    UniqueFd pidfd;
    bool leads;
};
std::optional<Target> target_of(const std::string& pid_file) {
    auto text = pid_file.empty() ? Result<std::string>(std::string()) : read_file(pid_file, 64);
    auto pid = text ? parse_int(trim(*text)) : std::nullopt;
    if (!pid || *pid <= 1) return std::nullopt;
    Target target{static_cast<pid_t>(*pid), UniqueFd(sys::pidfd_open(static_cast<pid_t>(*pid))), false};
    target.leads = sys::read_proc_stat(target.pid).session == target.pid;
    return target;
}

// How many living processes the session has; each gets the signal.
size_t signal_session(pid_t session, int signal) {
    size_t found = 0;
    DIR* proc = ::opendir("/proc");
    while (dirent* entry = proc ? ::readdir(proc) : nullptr) {
        auto pid = parse_int(entry->d_name);
        if (!pid) continue;
        UniqueFd pidfd(sys::pidfd_open(static_cast<pid_t>(*pid)));
        // Read after the open: the descriptor is of the process that is looked at.
        sys::ProcStat stat = sys::read_proc_stat(static_cast<pid_t>(*pid));
        if (!pidfd || !stat.found || stat.session != session || stat.state == 'Z' || stat.state == 'X') continue;
        ++found;
        sys::pidfd_signal(pidfd.get(), signal);
    }
    if (proc) ::closedir(proc);
    return found;
}

}  // namespace

Result<ExecEnds> make_exec_ends(bool tty, const std::optional<ProcessUser>& user) {
    ExecEnds ends;
    if (!tty) {
        DROVER_CHECK(make_pipe(ends.child_in, ends.in));
        DROVER_CHECK(make_pipe(ends.out, ends.child_out));
        DROVER_CHECK(make_pipe(ends.err, ends.child_err));
    } else {
        DROVER_TRY(ends.out, above(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)));
        if (::unlockpt(ends.out.get()) != 0) return Error::from_errno("unlock the terminal");
        DROVER_TRY(ends.child_in, above(::ioctl(ends.out.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)));
        // The program's user may open its own terminal.
        if (user && ::fchown(ends.child_in.get(), user->uid, static_cast<gid_t>(-1)) != 0)
            return Error::from_errno("give the terminal away");
        ends.in = UniqueFd(::fcntl(ends.out.get(), F_DUPFD_CLOEXEC, 10));
        if (!ends.in) return Error::from_errno("duplicate a descriptor");
    }
    for (const UniqueFd* fd : {&ends.in, &ends.out, &ends.err})
        if (*fd) set_nonblocking(*fd);
    return ends;
}

Result<ExecChild> spawn_exec(const ExecProgram& program, bool tty, ExecEnds& ends) {
    DROVER_TRY(Plan plan, make_plan(program, tty, ends));
    UniqueFd network;
    if (!program.network_namespace.empty()) {
        DROVER_TRY(network, above(::open(program.network_namespace.c_str(), O_RDONLY | O_CLOEXEC)));
        plan.network_fd = network.get();
    }
    UniqueFd report_read, report_write;
    DROVER_CHECK(make_pipe(report_read, report_write));
    plan.report = report_write.get();
    plan.argv = pointers(plan.args);
    plan.envp = pointers(plan.env);

    // No handler of ours may run in the child.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = ::fork();
    if (pid == 0) child_main(plan);
    const int failed = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0) return Error::from_errno("fork", failed);
    for (UniqueFd* fd : {&report_write, &ends.child_in, &ends.child_out, &ends.child_err}) fd->reset();

    ExecChild child{pid, UniqueFd(sys::pidfd_open(pid))};
    Report report{};
    ssize_t n;
    do n = ::read(report_read.get(), &report, sizeof report);
    while (n < 0 && errno == EINTR);
    if (n == 0 && child.pidfd) return child;
    Error error = n == sizeof report ? describe(report, program) : Error::from_errno("pidfd_open");
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return error;
}

void end_exec_session(pid_t session, int pidfd, const std::string& pid_file, int signal) {
    std::optional<Target> target = target_of(pid_file);
    const int64_t deadline = mono_now() + kKillNs;
    for (;;) {
        size_t left = signal_session(session, signal);
        if (target && target->leads) left += signal_session(target->pid, signal);
        if (target && !target->leads && target->pidfd) sys::pidfd_signal(target->pidfd.get(), signal);
        if (signal != SIGKILL) return;
        // Forks in flight are found by the next round.
        if (left == 0 && sys::pidfd_exited(pidfd, 0)) return;
        if (mono_now() > deadline) return;
        sys::nap_ms(2);
    }
}

}  // namespace drover::sdk
