// SPDX-License-Identifier: Apache-2.0
// ProcessTask against the real shim: real processes, cgroups and signals (root). Every test ends with a look
// for what may have been left behind: processes, groups, directories.
#include "drover/process_task.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "base/sys/shim_wire.h"
#include "base/uuid.h"
#include "plugin-sdk/process/shim_client.h"
#include "plugin-sdk/process/spec_writer.h"

namespace drover::sdk {
namespace {

bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 15 * kSecond) {
    for (int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(2000))
        if (condition()) return true;
    return condition();
}

bool process_alive(pid_t pid) {
    sys::ProcStat stat = sys::read_proc_stat(pid);
    return stat.found && stat.state != 'Z' && stat.state != 'X';
}

class ProcessTaskTest : public ::testing::Test {
 protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        char name[] = "/tmp/drover-process-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        ::chmod(name, 0755);
        parent_ = "drover-test-" + short_id(new_uuid());
        reopen();
    }
    void TearDown() override {
        if (dir_.empty()) return;
        for (const std::string& id : host_->list().value_or(std::vector<std::string>())) {
            auto task = host_->recover(id);
            if (task) {
                EXPECT_TRUE((*task)->destroy(true)) << id;
            }
        }
        EXPECT_EQ(host_->list().value(), std::vector<std::string>());
        host_.reset();
        if (has_cgroups()) {
            auto group = cgroup::Cgroup::open(parent_);
            ASSERT_TRUE(group);
            EXPECT_TRUE(eventually([&] { return group->procs()->empty(); }))
                << "a shim or task is left in " << parent_;
            Status removed = group->remove(5 * kSecond);
            EXPECT_TRUE(removed) << removed.error().message();
        }
        EXPECT_TRUE(remove_tree(dir_));
    }
    static bool has_cgroups() { return cgroup::mounted().version != cgroup::Version::None; }
    // As a plugin that was killed and started again: all it knew in memory is gone.
    void reopen() {
        host_.reset();
        auto host = ProcessHost::open({dir_ + "/tasks", parent_, ""});
        ASSERT_TRUE(host) << host.error().message();
        host_ = std::move(*host);
    }
    ProcessSpec shell(const std::string& script) {
        ProcessSpec spec;
        spec.task_id = "alloc/web/" + std::to_string(++count_);
        spec.command = "/bin/sh";
        spec.args = {"-c", script};
        spec.env = {"PATH=/usr/bin:/bin"};
        if (has_cgroups()) spec.cgroup = parent_ + "/task/" + task_dir_name(spec.task_id);
        spec.stdout_path = dir_ + "/out";
        spec.stderr_path = dir_ + "/out";
        EXPECT_TRUE(write_file(spec.stdout_path, ""));
        return spec;
    }
    std::shared_ptr<ProcessTask> start(const ProcessSpec& spec) {
        auto task = host_->start(spec);
        EXPECT_TRUE(task) << task.error().message();
        return task ? *task : nullptr;
    }
    std::string output() { return read_file(dir_ + "/out").value_or("?"); }
    // The pid of whichever shim lives for the task now.
    pid_t live_shim(const std::string& dir) {
        int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        auto record = read_record(fd, shim::kStartedFile);
        ::close(fd);
        return record ? record->shim_pid : 0;
    }
    ProcessStatus end_of(const std::shared_ptr<ProcessTask>& task) {
        auto status = task->wait(20 * kSecond);
        EXPECT_TRUE(status.has_value()) << "the task did not end";
        return status.value_or(ProcessStatus());
    }

    std::string dir_, parent_;
    std::unique_ptr<ProcessHost> host_;
    int count_ = 0;
};

TEST_F(ProcessTaskTest, ReportsExitCodeAndOutput) {
    auto task = start(shell("echo hello; exit 7"));
    ASSERT_TRUE(task);
    std::atomic<int> calls{0};
    task->on_exit([&](const ProcessStatus& status) {
        EXPECT_EQ(status.exit_code, 7);
        ++calls;
    });
    ProcessStatus status = end_of(task);
    EXPECT_EQ(status.phase, ProcessPhase::Exited);
    EXPECT_EQ(status.exit_code, 7);
    EXPECT_EQ(status.signal, 0);
    EXPECT_FALSE(status.oom_killed);
    EXPECT_GE(status.finished_ns, status.started_ns);
    EXPECT_EQ(output(), "hello\n");
    EXPECT_TRUE(eventually([&] { return calls == 1; }));
    task->on_exit([&](const ProcessStatus&) { ++calls; });
    EXPECT_EQ(calls, 2);
    EXPECT_TRUE(task->destroy(false));
    EXPECT_FALSE(path_exists(task->dir()));
}

TEST_F(ProcessTaskTest, ReportsTheSignalThatKilled) {
    auto task = start(shell("kill -SEGV $$"));
    ASSERT_TRUE(task);
    ProcessStatus status = end_of(task);
    EXPECT_EQ(status.signal, SIGSEGV);
    EXPECT_EQ(status.exit_code, 0);
}

TEST_F(ProcessTaskTest, FailsToStartWithTheReasonAndLeavesNothing) {
    auto failing = [&](auto change) {
        ProcessSpec spec = shell("true");
        change(spec);
        auto task = host_->start(spec);
        EXPECT_FALSE(task);
        EXPECT_FALSE(path_exists(host_->task_dir(spec.task_id)));
        if (has_cgroups()) {
            EXPECT_FALSE(cgroup::Cgroup::open(spec.cgroup)->exists());
        }
        return task ? std::string() : task.error().message();
    };
    EXPECT_EQ(failing([](auto& s) { s.command = "/no/such/command"; }),
              "exec /no/such/command: No such file or directory");
    EXPECT_EQ(failing([](auto& s) { s.command = "/etc/passwd"; }), "exec /etc/passwd: Permission denied");
    EXPECT_EQ(failing([](auto& s) { s.work_dir = "/no/such/dir"; }),
              "change directory to /no/such/dir: No such file or directory");
    EXPECT_EQ(failing([](auto& s) { s.stdout_path = "/no/such/out"; }),
              "open stdout: No such file or directory");
    EXPECT_EQ(failing([](auto& s) { s.command = "relative"; }),
              "command \"relative\": expected an absolute path");
}

TEST_F(ProcessTaskTest, RunsAsTheUserInACleanProcess) {
    ProcessSpec spec = shell(
        "id -u; id -g; id -G; umask; pwd; ulimit -n; ls -l /proc/self/fd | wc -l; "
        "grep SigIgn /proc/self/status; grep SigBlk /proc/self/status; env | sort");
    spec.user = ProcessUser{12345, 23456, {34567}};
    spec.work_dir = "/usr";
    spec.umask = 027;
    spec.rlimits = {{7, 333, 333}};  // RLIMIT_NOFILE
    spec.env = {"PATH=/usr/bin:/bin", "X=1 2"};
    ::chmod((dir_ + "/out").c_str(), 0666);
    ::signal(SIGPIPE, SIG_IGN);
    auto task = start(spec);
    ::signal(SIGPIPE, SIG_DFL);
    ASSERT_TRUE(task);
    EXPECT_EQ(end_of(task).exit_code, 0) << output();
    EXPECT_EQ(output(),
              "12345\n23456\n23456 "
              "34567\n0027\n/usr\n333\n5\nSigIgn:\t0000000000000000\nSigBlk:\t0000000000000000\n"
              "PATH=/usr/bin:/bin\nPWD=/usr\nX=1 2\n");
}

TEST_F(ProcessTaskTest, SignalsAndStops) {
    auto task = start(shell(
        "trap 'echo usr1' USR1; trap 'echo term; exit 3' TERM; echo ready; while :; do sleep 0.01; done"));
    ASSERT_TRUE(task);
    ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
    EXPECT_TRUE(task->signal(SIGUSR1));
    ASSERT_TRUE(eventually([&] { return output() == "ready\nusr1\n"; }));
    EXPECT_FALSE(task->signal(9999));
    EXPECT_FALSE(task->destroy(false));
    EXPECT_TRUE(task->stop(SIGTERM, 10 * kSecond));
    EXPECT_EQ(end_of(task).exit_code, 3);
    EXPECT_EQ(task->signal(SIGUSR1).error().code(), Code::FailedPrecondition);
    EXPECT_TRUE(task->stop(SIGTERM, 0));  // of what has ended: fine
}

TEST_F(ProcessTaskTest, KillsTheWholeTreeAfterTheTimeout) {
    if (!has_cgroups()) GTEST_SKIP();
    auto task = start(shell(
        "trap '' TERM; setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1001' &) ; sleep 1002"));
    ASSERT_TRUE(task);
    ASSERT_TRUE(eventually([&] { return task->procs()->size() >= 4; }));
    std::vector<pid_t> pids = *task->procs();
    int64_t begin = mono_now();
    EXPECT_TRUE(task->stop(SIGTERM, 200 * kMillisecond));
    EXPECT_GE(mono_now() - begin, 190 * kMillisecond);
    EXPECT_EQ(end_of(task).signal, SIGKILL);
    EXPECT_FALSE(end_of(task).oom_killed);
    for (pid_t pid : pids) EXPECT_FALSE(process_alive(pid)) << pid;
}

TEST_F(ProcessTaskTest, KillsWhatTheTaskLeavesBehind) {
    auto task = start(shell("setsid sleep 1000 & echo $!; exit 0"));
    ASSERT_TRUE(task);
    EXPECT_EQ(end_of(task).exit_code, 0);
    pid_t left = static_cast<pid_t>(parse_int(trim(output())).value_or(0));
    ASSERT_GT(left, 0);
    EXPECT_TRUE(eventually([&] { return !process_alive(left); }));  // the exit may be known a moment earlier
}

TEST_F(ProcessTaskTest, KillsTheTreeWithoutCgroupsToo) {
    ProcessSpec spec =
        shell("sleep 1000 & setsid sleep 1000 & echo $!; trap '' TERM; wait; wait; sleep 1000");
    spec.cgroup.clear();
    auto task = start(spec);
    ASSERT_TRUE(task);
    ASSERT_TRUE(eventually([&] { return !output().empty(); }));
    pid_t other_session = static_cast<pid_t>(parse_int(trim(output())).value_or(0));
    EXPECT_FALSE(task->stats());
    EXPECT_TRUE(task->stop(SIGTERM, 50 * kMillisecond));
    EXPECT_EQ(end_of(task).signal, SIGKILL);
    EXPECT_TRUE(eventually([&] { return !process_alive(other_session); }));
}

TEST_F(ProcessTaskTest, TellsAnOomKill) {
    if (!has_cgroups()) GTEST_SKIP();
    ProcessSpec spec = shell("exec tail /dev/zero");
    spec.limits.memory_limit_bytes = 24 << 20;
    spec.limits.memory_swap_bytes = 0;
    auto task = start(spec);
    ASSERT_TRUE(task);
    ProcessStatus status = end_of(task);
    EXPECT_TRUE(status.oom_killed);
    EXPECT_EQ(status.signal, SIGKILL);
    auto stats = task->stats();
    ASSERT_TRUE(stats);
    EXPECT_GE(task->group()->oom_kills(), 1u);
    EXPECT_GT(stats->memory_peak_bytes, 8u << 20);
}

TEST_F(ProcessTaskTest, RefusesToRunTheSameTaskTwice) {
    ProcessSpec spec = shell("sleep 1000");
    auto task = start(spec);
    ASSERT_TRUE(task);
    EXPECT_EQ(host_->start(spec).error().code(), Code::AlreadyExists);
    EXPECT_TRUE(task->destroy(true));
    auto again = start(spec);
    EXPECT_TRUE(again);
}

TEST_F(ProcessTaskTest, IsFoundAgainByTheNextPlugin) {
    ProcessSpec spec = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
    pid_t pid;
    {
        auto task = start(spec);
        ASSERT_TRUE(task);
        pid = task->pid();
    }
    reopen();
    EXPECT_EQ(host_->list().value(), std::vector<std::string>{spec.task_id});
    auto task = host_->recover(spec.task_id);
    ASSERT_TRUE(task) << task.error().message();
    EXPECT_EQ((*task)->pid(), pid);
    EXPECT_EQ((*task)->status().phase, ProcessPhase::Running);
    ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
    EXPECT_TRUE((*task)->stop(SIGTERM, 10 * kSecond));
    EXPECT_EQ(end_of(*task).exit_code, 5);
    reopen();
    task = host_->recover(spec.task_id);  // ended while nobody looked
    ASSERT_TRUE(task);
    EXPECT_EQ((*task)->status().exit_code, 5);
}

TEST_F(ProcessTaskTest, KnowsNothingOfWhatNeverWas) {
    EXPECT_EQ(host_->recover("no/such/task").error().code(), Code::NotFound);
    // A plugin killed between the intent and the shim: nothing ran, nothing stays.
    std::string dir = host_->task_dir("half");
    ASSERT_TRUE(make_dirs(dir));
    ASSERT_TRUE(write_file(dir + "/spec", "garbage"));
    EXPECT_EQ(host_->recover("half").error().code(), Code::NotFound);
    EXPECT_FALSE(path_exists(dir));
}

TEST_F(ProcessTaskTest, SurvivesItsShimBeingKilled) {
    auto task = start(shell("trap 'exit 9' TERM; while :; do sleep 0.01; done"));
    ASSERT_TRUE(task);
    const pid_t pid = task->pid();
    for (uint32_t round = 1; round <= 5; ++round) {
        const pid_t shim = live_shim(task->dir());
        ASSERT_GT(shim, 1);
        ASSERT_EQ(::kill(shim, SIGKILL), 0);
        ASSERT_TRUE(eventually([&] {
            pid_t now = live_shim(task->dir());
            return now != shim && process_alive(now);
        }));
        EXPECT_TRUE(process_alive(pid));
    }
    EXPECT_TRUE(task->stop(SIGTERM, 10 * kSecond));
    ProcessStatus status = end_of(task);
    EXPECT_EQ(status.phase, ProcessPhase::Exited) << status.message;
    EXPECT_EQ(status.exit_code, 9);
    EXPECT_EQ(status.pid, pid);
    EXPECT_EQ(status.adopted, 5u);
}

TEST_F(ProcessTaskTest, LearnsAnExitThatHappenedWhileTheShimWasDead) {
    auto task = start(shell("while [ ! -e '" + dir_ + "/go' ]; do sleep 0.005; done; exit 11"));
    ASSERT_TRUE(task);
    // Shim and task die in the same moment: the plugin's pidfd is what is left to ask.
    const pid_t shim = live_shim(task->dir());
    ASSERT_EQ(::kill(shim, SIGSTOP), 0);
    ASSERT_TRUE(write_file(dir_ + "/go", ""));
    const pid_t pid = task->pid();
    ASSERT_TRUE(eventually([&] { return !process_alive(pid); }));
    ASSERT_EQ(::kill(shim, SIGKILL), 0);
    ProcessStatus status = end_of(task);
    EXPECT_EQ(status.phase, ProcessPhase::Exited) << status.message;
    EXPECT_EQ(status.exit_code, 11);
}

TEST_F(ProcessTaskTest, SaysHonestlyThatAnExitWasNotSeen) {
    ProcessSpec spec = shell("while [ ! -e '" + dir_ + "/go' ]; do sleep 0.005; done; exit 12");
    pid_t pid, shim;
    std::string dir;
    {
        auto task = start(spec);
        ASSERT_TRUE(task);
        pid = task->pid();
        shim = live_shim(task->dir());
        dir = task->dir();
    }
    host_.reset();  // plugin and shim gone, then the task ends
    ASSERT_EQ(::kill(shim, SIGKILL), 0);
    ASSERT_TRUE(write_file(dir_ + "/go", ""));
    ASSERT_TRUE(eventually([&] { return !sys::read_proc_stat(pid).found; }));
    reopen();
    auto task = host_->recover(spec.task_id);
    ASSERT_TRUE(task) << task.error().message();
    ProcessStatus status = end_of(*task);
    EXPECT_EQ(status.phase, ProcessPhase::Lost);
    EXPECT_NE(status.message.find("supervisor lost"), std::string::npos) << status.message;
    reopen();  // and it stays said
    task = host_->recover(spec.task_id);
    ASSERT_TRUE(task);
    EXPECT_EQ((*task)->status().phase, ProcessPhase::Lost);
}

TEST_F(ProcessTaskTest, BelievesRecordsAcrossARebootAndNothingElse) {
    ProcessSpec running = shell("sleep 1000"), ended = shell("exit 4");
    std::string boot_file = dir_ + "/boot_id";
    pid_t pid, shim;
    {
        auto a = start(running), b = start(ended);
        ASSERT_TRUE(a && b);
        EXPECT_EQ(end_of(b).exit_code, 4);
        pid = a->pid();
        shim = live_shim(a->dir());
    }
    host_.reset();
    ::kill(shim, SIGKILL);
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(eventually([&] { return !sys::read_proc_stat(pid).found; }));
    ASSERT_TRUE(write_file(boot_file, "01234567-89ab-cdef-0123-456789abcdef\n"));
    ::setenv("DROVER_BOOT_ID_FILE", boot_file.c_str(), 1);
    reopen();
    auto a = host_->recover(running.task_id);
    auto b = host_->recover(ended.task_id);
    ::unsetenv("DROVER_BOOT_ID_FILE");
    ASSERT_TRUE(a) << a.error().message();
    EXPECT_EQ(end_of(*a).phase, ProcessPhase::Lost);
    EXPECT_NE(end_of(*a).message.find("restarted"), std::string::npos) << end_of(*a).message;
    ASSERT_TRUE(b);
    EXPECT_EQ((*b)->status().exit_code, 4);
}

// A launcher like runc: starts a process, leaves its pid in a file and exits; the process is orphaned to the
// shim.
TEST_F(ProcessTaskTest, SupervisesWhatALauncherStarted) {
    ProcessSpec spec =
        shell("(sh -c 'trap \"exit 21\" TERM; echo up; while :; do sleep 0.01; done' & echo $! > '" + dir_ +
              "/pid.tmp'; mv '" + dir_ + "/pid.tmp' '" + dir_ + "/pid'); exit 0");
    spec.pid_file = dir_ + "/pid";
    auto task = start(spec);
    ASSERT_TRUE(task);
    EXPECT_EQ(std::to_string(task->pid()), std::string(trim(read_file(dir_ + "/pid").value())));
    ASSERT_TRUE(eventually([&] { return output() == "up\n"; }));
    EXPECT_TRUE(task->stop(SIGTERM, 10 * kSecond));
    EXPECT_EQ(end_of(task).exit_code, 21);
}

TEST_F(ProcessTaskTest, TellsWhyALauncherFailed) {
    ProcessSpec spec = shell("exit 33");
    spec.pid_file = dir_ + "/pid";
    auto task = host_->start(spec);
    ASSERT_FALSE(task);
    EXPECT_EQ(task.error().message(), "/bin/sh exited with code 33");
    spec = shell("exit 0");
    spec.pid_file = dir_ + "/pid";
    EXPECT_EQ(host_->start(spec).error().message(), "the launcher left no running process");
    spec = shell("sleep 1000");
    spec.pid_file = dir_ + "/pid";
    spec.launch_timeout_ns = 100 * kMillisecond;
    EXPECT_EQ(host_->start(spec).error().message(), "the launcher did not finish in time");
}

TEST_F(ProcessTaskTest, HoldsTheFifoUntilItIsEmpty) {
    ProcessSpec spec = shell("echo last words");
    spec.stdout_path = dir_ + "/fifo";
    spec.stderr_path = dir_ + "/fifo";
    ASSERT_EQ(::mkfifo(spec.stdout_path.c_str(), 0600), 0);
    auto task = start(spec);
    ASSERT_TRUE(task);
    EXPECT_EQ(end_of(task).exit_code, 0);
    const pid_t shim = live_shim(task->dir());
    EXPECT_TRUE(process_alive(shim));  // nobody has read: the bytes live as long as it holds the FIFO
    int fd = ::open(spec.stdout_path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    char buffer[64];
    EXPECT_EQ(::read(fd, buffer, sizeof buffer), 11);
    ::close(fd);
    EXPECT_TRUE(eventually([&] { return !process_alive(shim); }));
    EXPECT_TRUE(task->destroy(false));
}

// The v2 way (clone3 into the group, cgroup.kill, memory.events) on the unified tree, which hybrid machines
// have too.
TEST_F(ProcessTaskTest, StartsAndKillsInsideAUnifiedGroup) {
    cgroup::Layout layout;
    layout.version = cgroup::Version::V2;
    const auto& here = cgroup::mounted();
    if (here.version == cgroup::Version::V2)
        layout = here;
    else if (here.hierarchy("unified"))
        layout.root2 = *here.hierarchy("unified");
    else
        GTEST_SKIP() << "no cgroup2 is mounted";
    auto group = cgroup::Cgroup::create(parent_ + "/v2", {}, layout);
    ASSERT_TRUE(group) << group.error().message();

    ProcessSpec spec = shell("setsid sleep 1000 & setsid sleep 1000 & trap '' TERM; echo up; sleep 1000");
    SpecPlaces places;
    places.task_cgroup2 = group->unified_dir();
    places.kill_cgroup2 = group->unified_dir();
    places.oom_files = {group->oom_file()};
    const std::string dir = host_->task_dir(spec.task_id);
    ASSERT_TRUE(make_dirs(dir));
    spec.cgroup.clear();
    ASSERT_TRUE(write_file(dir + "/spec", *encode_spec(spec, places)));
    ASSERT_TRUE(write_file(dir + "/lock", ""));
    auto fd = spawn_shim(host_->shim_path(), ShimVerb::Run, dir, -1);
    ASSERT_TRUE(fd);
    auto record = await_record(fd->get(), 10 * kSecond);
    ASSERT_TRUE(record) << record.error().message();
    ASSERT_EQ(record->phase, shim::Phase::Running) << record->message;
    ASSERT_TRUE(eventually([&] { return output() == "up\n"; }));
    auto procs = group->procs();
    ASSERT_TRUE(procs);
    EXPECT_GE(procs->size(), 3u);
    EXPECT_NE(std::find(procs->begin(), procs->end(), record->pid), procs->end());
    auto task = host_->recover(spec.task_id);
    ASSERT_TRUE(task) << task.error().message();
    EXPECT_TRUE((*task)->stop(SIGTERM, 50 * kMillisecond));
    EXPECT_EQ(end_of(*task).signal, SIGKILL);
    EXPECT_TRUE(group->procs()->empty());
    auto parent = cgroup::Cgroup::open(parent_, layout);
    ASSERT_TRUE(parent);
    EXPECT_TRUE(parent->remove(5 * kSecond));
}

TEST_F(ProcessTaskTest, WorksInAVeryDeepDirectory) {
    host_.reset();
    std::string deep = dir_ + "/" + std::string(180, 'd') + "/" + std::string(180, 'e');
    auto host = ProcessHost::open({deep, parent_, ""});
    ASSERT_TRUE(host) << host.error().message();
    auto task = (*host)->start(shell("exit 6"));
    ASSERT_TRUE(task) << task.error().message();
    EXPECT_EQ(end_of(*task).exit_code, 6);
    struct stat st {};
    ASSERT_EQ(::stat((*task)->dir().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0700u);
    EXPECT_TRUE((*task)->destroy(false));
    reopen();
}

}  // namespace
}  // namespace drover::sdk
