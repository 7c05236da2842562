// SPDX-License-Identifier: Apache-2.0
// Goal: whatever is killed between any two instructions of a start, the task directory tells the truth
// afterwards: either the command never ran, or it is found and can be ended; nothing is left. Method: a child
// process as the plugin starts a task; it, the shim, or both are killed -9 after a random moment; the next
// plugin recovers.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "base/uuid.h"
#include "drover/process_task.h"
#include "plugin-sdk/process/shim_client.h"

namespace drover::sdk {
namespace {

bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 20 * kSecond) {
    for (int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(1000))
        if (condition()) return true;
    return condition();
}

class ProcessCrash : public ::testing::Test {
 protected:
    void SetUp() override {
        if (::geteuid() != 0 || cgroup::mounted().version == cgroup::Version::None)
            GTEST_SKIP() << "needs root, cgroups";
        char name[] = "/tmp/drover-crash-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        parent_ = "drover-test-" + short_id(new_uuid());
    }
    void TearDown() override {
        if (dir_.empty()) return;
        auto group = cgroup::Cgroup::open(parent_);
        ASSERT_TRUE(group);
        EXPECT_TRUE(eventually([&] { return group->procs()->empty(); }));
        EXPECT_TRUE(group->remove(5 * kSecond));
        EXPECT_TRUE(remove_tree(dir_));
    }
    std::unique_ptr<ProcessHost> open_host() {
        auto host = ProcessHost::open({dir_ + "/tasks", parent_, ""});
        EXPECT_TRUE(host) << host.error().message();
        return host ? std::move(*host) : nullptr;
    }
    ProcessSpec spec(int round, bool launcher) {
        ProcessSpec spec;
        spec.task_id = fmt::format("task/{}", round);
        spec.command = "/bin/sh";
        const std::string run = fmt::format("echo ran > '{}/ran{}'; exec sleep 1000", dir_, round);
        spec.args = {"-c", run};
        if (launcher) {
            spec.pid_file = fmt::format("{}/pid{}", dir_, round);
            spec.args = {"-c", fmt::format("sh -c \"{}\" & echo $! > '{}'", run, spec.pid_file)};
        }
        spec.env = {"PATH=/usr/bin:/bin"};
        spec.cgroup = fmt::format("{}/task/{}", parent_, round);
        return spec;
    }
    // Processes of this test: their command line names its directory (shims), or they sit in its groups.
    std::vector<pid_t> shims() {
        std::vector<pid_t> found;
        const auto names = list_dir("/proc");
        for (const std::string& name : names.value_or(std::vector<std::string>())) {
            auto pid = parse_int(name);
            auto text = pid ? read_file(fmt::format("/proc/{}/cmdline", *pid), 65536)
                            : Result<std::string>(std::string());
            if (text && starts_with(*text, "drover-shim") && text->find(dir_) != std::string::npos)
                found.push_back(static_cast<pid_t>(*pid));
        }
        return found;
    }

    void round(int number, bool launcher, std::mt19937& random, std::map<std::string, int>* seen) {
        const ProcessSpec wanted = spec(number, launcher);
        const pid_t plugin = ::fork();
        if (plugin == 0) {
            auto host = ProcessHost::open({dir_ + "/tasks", parent_, ""});
            if (!host) ::_exit(1);
            auto task = (*host)->start(wanted);
            if (!task) ::_exit(2);
            for (;;) ::pause();
        }
        ::usleep(static_cast<useconds_t>(random() % 25'000));
        auto kill_shims = [&] {
            for (pid_t pid : shims()) ::kill(pid, SIGKILL);
        };
        // A plugin that sees its shim die undoes the start and says so; what it undid may have run before.
        const unsigned how = random() % 4;
        if (how == 0) kill_shims();
        if (how == 0 && random() % 2) ::usleep(static_cast<useconds_t>(random() % 20'000));
        ::kill(plugin, SIGKILL);
        if (how == 1) kill_shims();
        ::waitpid(plugin, nullptr, 0);

        auto host = open_host();
        ASSERT_TRUE(host);
        const std::string marker = fmt::format("{}/ran{}", dir_, number);
        Result<std::shared_ptr<ProcessTask>> task = make_error(Code::Unavailable, "not asked yet");
        ASSERT_TRUE(eventually([&] {
            task = host->recover(wanted.task_id);
            return task || task.error().code() != Code::Unavailable;
        })) << task.error().message();
        auto group = cgroup::Cgroup::open(wanted.cgroup);
        if (!task) {
            ++(*seen)["never started"];
            EXPECT_EQ(task.error().code(), Code::NotFound) << task.error().message();
            if (how != 0) {
                EXPECT_FALSE(path_exists(marker)) << "it says that it never ran, and it did";
            }
            EXPECT_FALSE(path_exists(host->task_dir(wanted.task_id)));
        } else {
            const ProcessStatus status = (*task)->status();
            ++(*seen)[status.phase == ProcessPhase::Running       ? "running"
                      : status.phase == ProcessPhase::StartFailed ? "start failed"
                                                                  : "lost"];
            // Nothing of what is started here ends by itself, and nobody is told of a task that is half
            // there.
            EXPECT_NE(status.phase, ProcessPhase::Starting);
            EXPECT_NE(status.phase, ProcessPhase::Exited)
                << "code " << status.exit_code << " signal " << status.signal << " pid " << status.pid
                << " how " << how << status.message;
            // (A launcher that was killed half-way has failed to start the task, and what it did start is
            // killed.)
            if (status.phase == ProcessPhase::StartFailed && !launcher) {
                EXPECT_FALSE(path_exists(marker)) << status.message;
            }
            if (status.phase == ProcessPhase::Running) {
                EXPECT_TRUE(sys::read_proc_stat(status.pid).found);
            }
            Status destroyed = (*task)->destroy(true);
            EXPECT_TRUE(destroyed) << destroyed.error().message();
        }
        EXPECT_FALSE(path_exists(host->task_dir(wanted.task_id)));
        EXPECT_FALSE(group->exists());
        EXPECT_TRUE(eventually([&] { return shims().empty(); })) << "a shim is left";
    }

    void rounds(bool launcher) {
        std::mt19937 random(std::random_device{}());
        std::map<std::string, int> seen;
        const int64_t begin = mono_now();
        for (int number = 0; number < 150 && mono_now() < begin + 8 * kSecond && !HasFatalFailure(); ++number)
            round(number, launcher, random, &seen);
        for (const auto& [what, count] : seen) std::printf("%s: %d\n", what.c_str(), count);
        EXPECT_GE(seen.size(), 2u) << "the kills all came too late or too early";
    }
    std::string dir_, parent_;
};

TEST_F(ProcessCrash, TellsTheTruthWheneverAStartIsInterrupted) {
    rounds(false);
}

TEST_F(ProcessCrash, TellsTheTruthWheneverALaunchIsInterrupted) {
    rounds(true);
}

}  // namespace
}  // namespace drover::sdk
