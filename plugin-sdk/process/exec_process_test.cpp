// SPDX-License-Identifier: Apache-2.0
// run_exec with real programs: pipes, terminals, users, ends of all kinds. As root where a user is changed.
#include "drover/exec_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"

namespace drover::sdk {
namespace {

constexpr int64_t kPatienceNs = 20 * kSecond;

// The person's end.
class FakeStream final : public ExecStream {
 public:
    void say(ExecInput input) {
        std::lock_guard lock(mutex_);
        inputs_.push_back(std::move(input));
        changed_.notify_all();
    }
    void type(std::string bytes) { say(ExecStdin{std::move(bytes)}); }
    bool shows(const std::string& text, int64_t timeout_ns = kPatienceNs) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                                 [&] { return (out_ + err_).find(text) != std::string::npos; });
    }
    std::string out() {
        std::lock_guard lock(mutex_);
        return out_;
    }
    std::string err() {
        std::lock_guard lock(mutex_);
        return err_;
    }

    ExecInput read() override {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return interrupted_ || !inputs_.empty(); });
        if (interrupted_) return ExecCancelled{};
        ExecInput next = std::move(inputs_.front());
        inputs_.pop_front();
        return next;
    }
    void interrupt() override {
        std::lock_guard lock(mutex_);
        interrupted_ = true;
        changed_.notify_all();
    }
    Status write_stdout(std::string_view bytes) override { return keep(out_, bytes); }
    Status write_stderr(std::string_view bytes) override { return keep(err_, bytes); }

 private:
    Status keep(std::string& where, std::string_view bytes) {
        std::lock_guard lock(mutex_);
        where += bytes;
        changed_.notify_all();
        return {};
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<ExecInput> inputs_;
    bool interrupted_ = false;
    std::string out_, err_;
};

ExecProgram shell(const std::string& script) {
    return {.command = "/bin/sh", .args = {"-c", script}, .env = {"PATH=/usr/bin:/bin"}, .work_dir = "/tmp"};
}

// A session in a thread of its own.
struct Running {
    Running(ExecProgram program, bool tty, std::vector<ExecInput> said_before = {}) {
        for (ExecInput& input : said_before) stream.say(std::move(input));
        thread = std::thread([this, program = std::move(program), tty] {
            result = run_exec(program, {.command = {"x"}, .tty = tty}, stream);
        });
    }
    const Result<ExitResult>& end() {
        if (thread.joinable()) thread.join();
        return *result;
    }
    ~Running() { end(); }
    FakeStream stream;
    std::optional<Result<ExitResult>> result;
    std::thread thread;
};

// What a session must not leave behind in this process.
class ExecProcess : public ::testing::Test {
 protected:
    static size_t count(const char* dir) { return list_dir(dir).value_or(std::vector<std::string>()).size(); }
    void SetUp() override { fds_ = count("/proc/self/fd"), threads_ = count("/proc/self/task"); }
    void TearDown() override {
        EXPECT_EQ(count("/proc/self/fd"), fds_);
        for (int64_t until = mono_now() + kPatienceNs; count("/proc/self/task") > threads_ && mono_now() < until;)
            sys::nap_ms(1);
        EXPECT_EQ(count("/proc/self/task"), threads_);
        EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // not even a zombie
        EXPECT_EQ(errno, ECHILD);
    }
    static bool gone(pid_t pid) {
        for (int64_t until = mono_now() + kPatienceNs; mono_now() < until; sys::nap_ms(2)) {
            sys::ProcStat stat = sys::read_proc_stat(pid);
            if (!stat.found || stat.state == 'Z') return true;
        }
        return false;
    }
    // The number in a line "<what> <number>" of the output.
    static pid_t told(FakeStream& stream, const std::string& what) {
        EXPECT_TRUE(stream.shows(what + " ") && stream.shows("ready")) << stream.out();
        std::string out = stream.out();
        size_t at = out.find(what + " ");
        return at == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(out.c_str() + at + what.size() + 1));
    }
    size_t fds_ = 0, threads_ = 0;
};

TEST_F(ExecProcess, RunsWithPipes) {
    Running run(shell("echo out; echo err >&2; pwd; env; ls /proc/self/fd | tr '\\n' ' '; exit 7"), false);
    ASSERT_TRUE(run.end()) << run.end().error().message();
    EXPECT_EQ(*run.end(), (ExitResult{.exit_code = 7, .signal = 0, .oom_killed = false, .error = ""}));
    EXPECT_EQ(run.stream.out(),
              "out\n/tmp\nPATH=/usr/bin:/bin\nPWD=/tmp\n0 1 2 3 ");  // 3: ls reading that very directory
    EXPECT_EQ(run.stream.err(), "err\n");
}

TEST_F(ExecProcess, FeedsStdinUntilItsEnd) {
    Running run(shell("wc -c"), false);
    const std::string block(100'000, 'x');
    for (int i = 0; i < 20; ++i) run.stream.type(block);
    run.stream.say(ExecStdinClosed{});
    ASSERT_TRUE(run.end());
    EXPECT_EQ(trim(run.stream.out()), "2000000");
}

TEST_F(ExecProcess, InputThatNobodyReadsHoldsNothingUp) {
    Running run(shell("exec <&-; echo closed; sleep 0.1; exit 3"), false);
    for (int i = 0; i < 20; ++i) run.stream.type(std::string(100'000, 'x'));
    ASSERT_TRUE(run.end());
    EXPECT_EQ(run.end()->exit_code, 3);
    Running deaf(shell("exit 4"), false);
    deaf.stream.type(std::string(1 << 20, 'x'));  // more than a pipe holds
    EXPECT_EQ(deaf.end()->exit_code, 4);
}

TEST_F(ExecProcess, HandsOnAllOutput) {
    Running run(shell("seq 1 200000"), false);
    ASSERT_TRUE(run.end());
    EXPECT_EQ(run.stream.out().size(), 1288895u);
    EXPECT_TRUE(run.stream.out().ends_with("199999\n200000\n"));
}

TEST_F(ExecProcess, ABackgroundProcessDoesNotHoldTheEnd) {
    Running run(shell("sleep 3600 & echo pid $!; echo ready"), false);
    ASSERT_TRUE(run.end());
    pid_t left = told(run.stream, "pid");
    EXPECT_FALSE(sys::read_proc_stat(left).state == 'Z');
    EXPECT_EQ(::kill(left, SIGKILL), 0);  // it was left running on purpose
    EXPECT_TRUE(gone(left));
}

TEST_F(ExecProcess, TellsASignal) {
    Running run(shell("kill -TERM $$"), false);
    ASSERT_TRUE(run.end());
    EXPECT_EQ(*run.end(), (ExitResult{.exit_code = 143, .signal = SIGTERM, .oom_killed = false, .error = ""}));
}

TEST_F(ExecProcess, GivesATerminalWithItsSize) {
    ExecProgram program = shell(
        "tty >/dev/null && echo terminal; stty size; until [ \"$(stty size)\" = '44 202' ]; do "
        "sleep 0.02; done; echo resized; read line; echo got $line; read other || echo over");
    Running run(program, true, {TerminalSize{.rows = 33, .columns = 101}});
    EXPECT_TRUE(run.stream.shows("terminal\r\n33 101\r\n")) << run.stream.out();
    run.stream.say(TerminalSize{.rows = 44, .columns = 202});
    EXPECT_TRUE(run.stream.shows("resized\r\n")) << run.stream.out();
    run.stream.type("hello\n");
    EXPECT_TRUE(run.stream.shows("got hello\r\n")) << run.stream.out();
    run.stream.say(ExecStdinClosed{});
    ASSERT_TRUE(run.end());
    EXPECT_TRUE(run.stream.shows("over")) << run.stream.out();
    EXPECT_EQ(run.stream.err(), "");
}

TEST_F(ExecProcess, CtrlCReachesTheForeground) {
    Running run(shell("trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"), true);
    ASSERT_TRUE(run.stream.shows("ready"));
    run.stream.type("\x03");
    ASSERT_TRUE(run.end());
    EXPECT_EQ(run.end()->exit_code, 9);
}

TEST_F(ExecProcess, CancelEndsTheWholeSession) {
    for (const bool tty : {false, true}) {
        Running run(shell("trap '' HUP TERM; sleep 3600 & echo child $!; echo self $$; echo ready; sleep 3600"), tty);
        const pid_t child = told(run.stream, "child"), self = told(run.stream, "self");
        run.stream.say(ExecCancelled{});
        ASSERT_FALSE(run.end());
        EXPECT_EQ(run.end().error().code(), Code::Cancelled);
        EXPECT_TRUE(gone(child));
        EXPECT_TRUE(gone(self));
    }
    // Whoever listens to SIGHUP has a second to put things in order.
    const std::string bye = fmt::format("/tmp/drover-exec-bye-{}", ::getpid());
    Running polite(shell("trap 'echo bye >" + bye + "; exit 0' HUP; echo ready; while :; do sleep 0.02; done"), false);
    ASSERT_TRUE(polite.stream.shows("ready"));
    polite.stream.say(ExecCancelled{});
    EXPECT_FALSE(polite.end());
    EXPECT_EQ(read_file(bye).value_or(""), "bye\n");
    ::unlink(bye.c_str());
}

TEST_F(ExecProcess, RunsAsTheUser) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ExecProgram program = shell("id -u; id -G; echo x >/dev/tty && echo owns");
    program.user = ProcessUser{.uid = 65534, .gid = 65534, .groups = {4, 65534}};
    Running run(program, true);
    ASSERT_TRUE(run.end());
    EXPECT_EQ(run.stream.out(), "65534\r\n65534 4\r\nx\r\nowns\r\n");
}

TEST_F(ExecProcess, ErrorsNameWhatCannotBeRun) {
    auto message = [](ExecProgram program) {
        FakeStream stream;
        auto result = run_exec(program, {.command = {"x"}, .tty = false}, stream);
        return result ? "it ran" : result.error().message();
    };
    EXPECT_EQ(message({.command = "no-such", .env = {"PATH=/bin:/usr/bin"}}),
              "command \"no-such\": not found (looked in /bin:/usr/bin)");
    EXPECT_EQ(message({.command = "/no/such"}), "command \"/no/such\": No such file or directory");
    EXPECT_EQ(message({.command = "/etc/passwd"}), "command \"/etc/passwd\": Permission denied");
    EXPECT_EQ(message({.command = "/bin/true", .work_dir = "/no/such"}),
              "work_dir /no/such: No such file or directory");
    EXPECT_EQ(message({.command = ""}), "command: must not be empty");
    FakeStream terminal;
    EXPECT_EQ(run_exec({.command = "no-such"}, {.command = {"x"}, .tty = true}, terminal).error().code(),
              Code::NotFound);
    EXPECT_EQ(message({.command = "true"}), "it ran");
}

TEST_F(ExecProcess, EndsWhatALauncherStarted) {
    const std::string pid_file = fmt::format("/tmp/drover-exec-test-{}", ::getpid());
    ExecProgram program =
        shell("setsid sh -c 'echo $$ >" + pid_file + "; trap \"\" HUP; echo self $$; echo ready; sleep 3600'; true");
    program.pid_file = pid_file;
    Running run(program, false);
    const pid_t real = told(run.stream, "self");
    run.stream.say(ExecCancelled{});
    EXPECT_FALSE(run.end());
    EXPECT_TRUE(gone(real));
    EXPECT_FALSE(path_exists(pid_file));
}

TEST_F(ExecProcess, CapturesWithinBounds) {
    auto output = run_exec_captured(shell("cat; echo out; echo err >&2; exit 3"), kPatienceNs);
    ASSERT_TRUE(output) << output.error().message();
    EXPECT_EQ(output->stdout_bytes, "out\n");
    EXPECT_EQ(output->stderr_bytes, "err\n");
    EXPECT_EQ(output->exit.exit_code, 3);
    output = run_exec_captured(shell("seq 1 200000; echo done >&2"), 0, 1000);
    ASSERT_TRUE(output);
    EXPECT_EQ(output->stdout_bytes.size(), 1000u);
    EXPECT_EQ(output->stderr_bytes, "done\n");
    const int64_t before = mono_now();
    output = run_exec_captured(shell("sleep 3600"), 100 * kMillisecond);
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().message(), "/bin/sh: no end after 100ms");
    EXPECT_EQ(output.error().code(), Code::DeadlineExceeded);
    EXPECT_LT(mono_now() - before, kPatienceNs);
}

}  // namespace
}  // namespace drover::sdk
