// SPDX-License-Identifier: Apache-2.0
// Exec as a host uses it: one-shot with its output, and streaming with pipes and with a terminal. Needs root.
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

class DriverExecTest : public DriverTest {
 protected:
    void SetUp() override {
        DriverTest::SetUp();
        if (IsSkipped() || HasFatalFailure()) return;
        sdk::TaskConfig config = shell("echo up; sleep 3600");
        ASSERT_OK(plugin_->start_task(config));
        ASSERT_TRUE(says("up"));
        id_ = config.id;
    }
    auto exec(const std::string& script, bool tty = false) {
        return plugin_->exec_task_streaming(id_, {.command = {"/bin/sh", "-c", script}, .tty = tty});
    }
    // The pid, as this machine sees it, of the process with this environment-like marker in its command line.
    static pid_t find(const std::string& marker) {
        for (const std::string& entry : list_dir("/proc").value_or(std::vector<std::string>())) {
            auto pid = parse_int(entry);
            if (!pid || *pid == ::getpid()) continue;
            auto line = read_file("/proc/" + entry + "/cmdline");
            if (line && starts_with(*line, "/bin/sh") && line->find(marker) != std::string::npos)
                return static_cast<pid_t>(*pid);
        }
        return 0;
    }
    std::string id_;
};

TEST_P(DriverExecTest, OneShotTellsOutputAndExitCode) {
    auto capabilities = plugin_->capabilities();
    ASSERT_OK(capabilities);
    EXPECT_TRUE(capabilities->exec);
    auto output = plugin_->exec_task(id_, {"sh", "-c", "echo $GREETING; echo oops >&2; cat; exit 7"}, 20 * kSecond);
    ASSERT_OK(output);
    EXPECT_EQ(output->stdout_bytes, "hello\n");
    EXPECT_EQ(output->stderr_bytes, "oops\n");
    EXPECT_EQ(output->exit.exit_code, 7);

    output = plugin_->exec_task(id_, {"/bin/sh", "-c", "exec sleep 3600"}, 300 * kMillisecond);
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code(), Code::DeadlineExceeded) << output.error().message();
}

TEST_P(DriverExecTest, RunsWithPipes) {
    auto session = exec("read line; echo got $line; echo oops >&2; pwd; cat; exit 7");
    ASSERT_TRUE(session->heartbeat());
    ASSERT_TRUE(session->type("hel"));
    ASSERT_TRUE(session->type("lo\nrest"));
    EXPECT_TRUE(session->shows("got hello\n"));
    ASSERT_TRUE(session->close_stdin());
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 7);
    EXPECT_EQ(session->out(), "got hello\n" + (GetParam().isolated ? "/" : alloc_ + "/web") + "\nrest");
    EXPECT_EQ(session->err(), "oops\n");
}

TEST_P(DriverExecTest, MovesMuchBothWays) {
    auto session = exec("cat");
    std::string sent;
    std::thread typist([&] {
        for (int i = 0; i < 64; ++i) {
            std::string block(64 << 10, static_cast<char>('a' + i % 26));
            sent += block;
            EXPECT_TRUE(session->type(block));
        }
        EXPECT_TRUE(session->close_stdin());
    });
    typist.join();
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_TRUE(session->out() == sent) << session->out().size();
}

TEST_P(DriverExecTest, HasATerminalThatFollowsTheWindow) {
    auto has_size = [](const std::string& size) {
        return "until [ \"$(stty size)\" = '" + size + "' ]; do sleep 0.02; done; echo has " + size + "; ";
    };
    auto session = exec(has_size("33 101") + has_size("44 202") + "read line; echo got $line; exit 5", true);
    ASSERT_TRUE(session->resize({.rows = 33, .columns = 101}));
    EXPECT_TRUE(session->shows("has 33 101")) << session->out();
    ASSERT_TRUE(session->resize({.rows = 44, .columns = 202}));
    EXPECT_TRUE(session->shows("has 44 202")) << session->out();
    ASSERT_TRUE(session->type("hello\r"));
    EXPECT_TRUE(session->shows("got hello"));
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 5);
    EXPECT_EQ(session->err(), "");
}

TEST_P(DriverExecTest, CancelKills) {
    for (const bool tty : {false, true}) {
        const std::string marker = "marker-" + short_id(new_uuid());
        auto session = exec("trap '' HUP; echo up-" + marker + "; while :; do sleep 0.05; done", tty);
        ASSERT_TRUE(session->shows("up-" + marker)) << session->err();
        ASSERT_NE(find(marker), 0);
        session->cancel();
        EXPECT_TRUE(eventually([&] { return find(marker) == 0; }));
        EXPECT_EQ(session->finish().error().code(), Code::Cancelled);
    }
    EXPECT_TRUE(alive(task_pid(id_)));
}

TEST_P(DriverExecTest, RefusesWhatCannotBeRun) {
    for (const char* command : {"no-such-program", "/no/such/program"}) {
        auto result = plugin_->exec_task_streaming(id_, {.command = {command}})->finish();
        ASSERT_FALSE(result);
        EXPECT_TRUE(starts_with(result.error().message(), fmt::format("command \"{}\": ", command)))
            << result.error().message();
        EXPECT_FALSE(plugin_->exec_task(id_, {command}, kSecond));
    }
    auto no_setup = plugin_->exec_task_streaming(id_, {})->finish();
    ASSERT_FALSE(no_setup);
    EXPECT_EQ(no_setup.error().message(), "ExecTaskStreaming: first message should always be setup");
    EXPECT_EQ(plugin_->exec_task_streaming("no/such/task", {.command = {"true"}})->finish().error().code(),
              Code::NotFound);
    ASSERT_OK(plugin_->stop_task(id_, kSecond, "SIGKILL"));
    auto ended = plugin_->exec_task_streaming(id_, {.command = {"true"}})->finish();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().message(), "task " + id_ + " is not running");
}

TEST_P(DriverExecTest, WorksAfterRecovery) {
    relaunch_after_kill();
    sdk::TaskHandle bare;
    bare.config.id = id_;
    ASSERT_OK(plugin_->recover_task(bare));
    auto output = plugin_->exec_task(id_, {"/bin/sh", "-c", "echo $GREETING"}, 20 * kSecond);
    ASSERT_OK(output);
    EXPECT_EQ(output->stdout_bytes, "hello\n");
}

TEST_P(DriverExecTest, EndsWithItsTask) {
    auto session = exec("echo up; sleep 3600");
    ASSERT_TRUE(session->shows("up"));
    ASSERT_OK(plugin_->stop_task(id_, kSecond, "SIGKILL"));
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_FALSE(exit->successful());
}

INSTANTIATE_TEST_SUITE_P(Drivers, DriverExecTest, ::testing::Values(kRawExec, kExec, kDocker),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
