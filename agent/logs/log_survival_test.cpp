// SPDX-License-Identifier: Apache-2.0
// Goal: no line is lost, doubled or out of order whoever is killed. Method: tasks under real shims write
// numbered lines at full speed through FIFOs into small rotated files, while worker, keeper, shims, and all
// of them at once are killed -9 at random; then each line is looked for. Then the same with everything dead
// for a while.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "agent/logs/logd_client.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "base/uuid.h"
#include "drover/process_task.h"
#include "plugin-sdk/process/shim_client.h"

#include <fcntl.h>

namespace drover::agent {
namespace {

bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 30 * kSecond) {
    for (int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(2000))
        if (condition()) return true;
    return condition();
}

class LogSurvival : public ::testing::Test {
 protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        char name[] = "/tmp/drover-survival-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        parent_ = "drover-test-" + short_id(new_uuid());
        ASSERT_TRUE(make_dirs(dir_ + "/logs"));
        auto host = sdk::ProcessHost::open({dir_ + "/tasks", parent_, ""});
        ASSERT_TRUE(host) << host.error().message();
        host_ = std::move(*host);
        open_logd();
    }
    void TearDown() override {
        if (dir_.empty()) return;
        if (HasFailure())
            std::printf("logd.log:\n%s", read_file(dir_ + "/logd/logd.log").value_or("(none)\n").c_str());
        tasks_.clear();
        for (const std::string& id : host_->list().value_or(std::vector<std::string>()))
            if (auto task = host_->recover(id)) {
                EXPECT_TRUE((*task)->destroy(true));
            }
        host_.reset();
        EXPECT_TRUE(logd_->shutdown());
        logd_.reset();
        if (cgroup::mounted().version != cgroup::Version::None) {
            auto group = cgroup::Cgroup::open(parent_);
            ASSERT_TRUE(group);
            EXPECT_TRUE(eventually([&] { return group->procs()->empty(); }));
            EXPECT_TRUE(group->remove(5 * kSecond));
        }
        EXPECT_TRUE(remove_tree(dir_));
    }
    void open_logd() {
        logd_.reset();
        const char* build = ::getenv("DROVER_BUILD_DIR");
        std::string group = cgroup::mounted().version != cgroup::Version::None ? parent_ + "/logd" : "";
        auto client = LogdClient::open(
            {dir_ + "/logd", std::string(build ? build : "build/dev") + "/libexec/drover/drover-logd",
             group});
        ASSERT_TRUE(client) << client.error().message();
        logd_ = std::move(*client);
    }
    void start(const std::string& name, const std::string& script) {
        LogStream stream{name,    dir_ + "/" + name + ".fifo", dir_ + "/logs", name + ".stdout", 1'000'000,
                         1u << 20};
        Status added = logd_->add(stream);
        ASSERT_TRUE(added) << added.error().message();
        sdk::ProcessSpec spec;
        spec.task_id = name;
        spec.command = "/bin/sh";
        spec.args = {"-c", script};
        spec.env = {"PATH=/usr/bin:/bin"};
        spec.stdout_path = stream.fifo;
        spec.stderr_path = stream.fifo;
        if (cgroup::mounted().version != cgroup::Version::None) spec.cgroup = parent_ + "/task/" + name;
        auto task = host_->start(spec);
        ASSERT_TRUE(task) << task.error().message();
        tasks_[name] = *task;
        pids_[name] = (*task)->pid();
    }
    pid_t shim_of(const std::string& name) {
        UniqueFd dir(::open(tasks_[name]->dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        auto record = sdk::read_record(dir.get(), shim::kStartedFile);
        return record ? record->shim_pid : 0;
    }
    static bool kill_pid(pid_t pid) { return pid > 1 && ::kill(pid, SIGKILL) == 0; }

    // All files of a task in order: line k must be the number k. Returns the last.
    int64_t check_lines(const std::string& name) {
        int64_t expected = 1, files = 0;
        std::string carry;
        for (;; ++files) {
            auto text = read_file(fmt::format("{}/logs/{}.stdout.{}", dir_, name, files));
            if (!text) break;
            const bool last = !path_exists(fmt::format("{}/logs/{}.stdout.{}", dir_, name, files + 1));
            if (!last && !text->empty()) {
                EXPECT_EQ(text->back(), '\n') << name << ": a line is split at the end of file " << files;
            }
            EXPECT_LE(text->size(), (1u << 20) + (16u << 10));
            for (size_t at = 0; at < text->size();) {
                const char* begin = text->data() + at;
                const char* end = static_cast<const char*>(std::memchr(begin, '\n', text->size() - at));
                if (!end) {
                    ADD_FAILURE() << name << ": a line without an end in file " << files;
                    return expected - 1;
                }
                int64_t number = 0;
                auto [stop, error] = std::from_chars(begin, end, number);
                if (error != std::errc() || stop != end || number != expected) {
                    ADD_FAILURE() << name << ": line " << expected << " expected, found \""
                                  << std::string(begin, end) << "\" in file " << files;
                    return expected - 1;
                }
                ++expected;
                at += static_cast<size_t>(end - begin) + 1;
            }
        }
        RecordProperty(name + "_lines", fmt::format("{}", expected - 1));
        std::printf("%s: %lld lines in %lld files\n", name.c_str(), static_cast<long long>(expected - 1),
                    static_cast<long long>(files));
        return expected - 1;
    }

    std::string dir_, parent_;
    std::unique_ptr<sdk::ProcessHost> host_;
    std::unique_ptr<LogdClient> logd_;
    std::map<std::string, std::shared_ptr<sdk::ProcessTask>> tasks_;
    std::map<std::string, pid_t> pids_;
};

TEST_F(LogSurvival, EachLineOnceAndInOrderWhoeverIsKilled) {
    constexpr int64_t kFast = 12'000'000;
    start("fast", fmt::format("seq 1 {}; sleep 0.01; exit 17", kFast));  // blocks of lines at full speed
    start("lines", "exec awk 'BEGIN { for (i = 1;; i++) { print i; fflush() } }'");  // one write(2) a line
    start("slow", "i=1; while :; do echo $i; i=$((i+1)); sleep 0.01; done");         // one line per 10 ms
    std::mt19937 random(std::random_device{}());
    std::map<std::string, int> killed;
    const int64_t begin = mono_now();
    while (mono_now() < begin + 10 * kSecond) {
        const pid_t worker = logd_->worker_pid(), keeper = logd_->keeper_pid();
        const std::string victim = (const char*[]){"fast", "lines", "slow"}[random() % 3];
        switch (random() % 5) {
            case 0:
            case 1:
                killed["worker"] += kill_pid(worker);
                break;
            case 2:
                killed["keeper"] += kill_pid(keeper);
                break;
            case 3:
                if (!tasks_[victim]->status().ended()) killed["shim"] += kill_pid(shim_of(victim));
                break;
            case 4:
                if (random() % 3) break;
                kill_pid(keeper);
                kill_pid(worker);
                if (!tasks_[victim]->status().ended()) kill_pid(shim_of(victim));
                ++killed["all three"];
                break;
        }
        ::usleep(static_cast<useconds_t>(random() % 40'000));
    }
    for (auto& [what, count] : killed) std::printf("killed %s: %d times\n", what.c_str(), count);
    EXPECT_GT(killed["worker"], 5);
    EXPECT_GT(killed["keeper"], 2);
    EXPECT_GT(killed["shim"], 2);

    for (const char* name : {"lines", "slow"}) {
        EXPECT_TRUE(tasks_[name]->stop(SIGTERM, 10 * kSecond));
        auto status = tasks_[name]->wait(30 * kSecond);
        ASSERT_TRUE(status);
        EXPECT_EQ(status->pid, pids_[name]);
        EXPECT_EQ(status->phase, sdk::ProcessPhase::Exited) << status->message;
        EXPECT_EQ(status->signal, SIGTERM);
    }
    auto status = tasks_["fast"]->wait(60 * kSecond);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->exit_code, 17) << status->message;
    for (auto& [name, task] : tasks_) EXPECT_TRUE(logd_->flush(name, 30 * kSecond)) << name;
    EXPECT_EQ(check_lines("fast"), kFast);
    // Ended by SIGTERM, which cannot split a write(2) of one line.
    EXPECT_GT(check_lines("lines"), 100'000);
    EXPECT_GT(check_lines("slow"), 100);
}

// Agent, keeper and worker dead for a while: shim and task hold the pipe open, so the task waits, it does not
// get SIGPIPE.
TEST_F(LogSurvival, NothingIsLostWhileAllOfLogdIsDead) {
    start("alone", "seq 1 2000000; exit 5");
    ASSERT_TRUE(eventually([&] { return path_exists(dir_ + "/logs/alone.stdout.1"); }));
    const pid_t keeper = logd_->keeper_pid(), worker = logd_->worker_pid();
    logd_.reset();  // the agent
    ASSERT_TRUE(kill_pid(keeper));
    ASSERT_TRUE(kill_pid(worker));
    ASSERT_TRUE(eventually(
        [&] { return !sys::read_proc_stat(worker).found || sys::read_proc_stat(worker).state == 'Z'; }));
    EXPECT_FALSE(tasks_["alone"]->wait(500 * kMillisecond))
        << "it must wait for a reader, not die of SIGPIPE";
    open_logd();
    auto status = tasks_["alone"]->wait(30 * kSecond);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->exit_code, 5);
    EXPECT_TRUE(logd_->flush("alone", 30 * kSecond));
    EXPECT_EQ(check_lines("alone"), 2'000'000);
}

// The task ends while nobody drains: the shim keeps the last lines alive until somebody does.
TEST_F(LogSurvival, TheLastLinesOutliveTheTask) {
    start("short", "sleep 0.2; seq 1 100");
    const pid_t keeper = logd_->keeper_pid(), worker = logd_->worker_pid();
    logd_.reset();
    ASSERT_TRUE(kill_pid(keeper));
    ASSERT_TRUE(kill_pid(worker));
    auto status = tasks_["short"]->wait(30 * kSecond);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->exit_code, 0) << status->signal;
    open_logd();
    EXPECT_TRUE(logd_->flush("short", 30 * kSecond));
    EXPECT_EQ(check_lines("short"), 100);
}

}  // namespace
}  // namespace drover::agent
