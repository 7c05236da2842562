// SPDX-License-Identifier: Apache-2.0
// The process of a plugin: its session, descriptors and environment; nobody reading its output does not hurt
// it; a failed exec, and a launch given up before exec, leave nothing.
#include "agent/host/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/record.h"
#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

class Spawn : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-spawn-XXXXXX";
        dir_ = ::mkdtemp(name);
        spec_.stdout_fifo = dir_ + "/stdout";
        spec_.stderr_fifo = dir_ + "/stderr";
        spec_.file = dir_ + "/plugin";
        spec_.env = {{"A", "1"}, {"PATH", "/usr/bin:/bin"}};
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    void script(const std::string& body) { ASSERT_TRUE(write_file(spec_.file, "#!/bin/sh\n" + body, 0700)); }
    Result<Spawned> run() {
        return spawn_plugin(spec_, [](pid_t) { return Status(); });
    }
    static int exit_code(const Spawned& process) {
        pollfd wait{process.pidfd.get(), POLLIN, 0};
        if (::poll(&wait, 1, 20000) != 1) {
            ::kill(process.pid, SIGKILL);
            ::waitpid(process.pid, nullptr, 0);
            return -1;
        }
        int status = 0;
        ::waitpid(process.pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }
    static std::string output(const UniqueFd& fd) {
        std::string out(1 << 16, '\0');
        const ssize_t got = ::read(fd.get(), out.data(), out.size());
        out.resize(got > 0 ? static_cast<size_t>(got) : 0);
        return out;
    }
    std::string dir_;
    SpawnSpec spec_;
};

TEST_F(Spawn, HasASessionOfItsOwnAndNothingOfOurs) {
    UniqueFd leaked(::open("/dev/null", O_RDONLY));  // not close-on-exec, on purpose
    ::signal(SIGPIPE, SIG_IGN);
    script(
        "echo $A:$HOME:$1; cut -d' ' -f6 /proc/$$/stat; echo $$; ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn "
        "/proc/$$/status\n");
    spec_.args = {"x y"};
    auto process = run();
    ASSERT_TRUE(process) << process.error().message();
    EXPECT_EQ(exit_code(*process), 0);
    const auto lines = split(output(process->stdout_read), '\n');
    ASSERT_GE(lines.size(), 4u);
    EXPECT_EQ(lines[0], "1::x y");
    EXPECT_EQ(lines[1], lines[2]);  // session id is the pid
    EXPECT_EQ(lines[2], std::to_string(process->pid));
    // 10 is the shell's own, for its script. Ours is another one.
    ASSERT_NE(leaked.get(), 10);
    EXPECT_TRUE(starts_with(lines[3], "0 1 10 2 SigIgn")) << lines[3];
    EXPECT_NE(lines[3].find("0000000000000000"), std::string::npos) << lines[3];
    ::signal(SIGPIPE, SIG_DFL);
}

TEST_F(Spawn, OutputThatNobodyReadsDoesNotKill) {
    // The agent is gone: nothing reads. Both descriptors take some hundred KB, and no SIGPIPE comes.
    script("read go < " + dir_ +
           "/go\ni=0; while [ $i -lt 2000 ]; do echo $i "
           "0123456789012345678901234567890123456789012345678901234567890123 "
           ">&2; i=$((i+1)); done; exit 5\n");
    ASSERT_EQ(::mkfifo((dir_ + "/go").c_str(), 0600), 0);
    auto process = run();
    ASSERT_TRUE(process) << process.error().message();
    process->stdout_read.reset();
    process->stderr_read.reset();
    ASSERT_TRUE(write_file(dir_ + "/go", "go\n"));
    // A new agent comes while the process lives (or has just ended), and finds every line, from the first.
    auto again = open_fifo_for_reading(spec_.stderr_fifo);
    ASSERT_TRUE(again) << again.error().message();
    EXPECT_EQ(exit_code(*process), 5);
    EXPECT_TRUE(starts_with(output(*again), "0 0123"));
}

TEST_F(Spawn, FailuresLeaveNothing) {
    auto missing = run();
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Code::NotFound);
    EXPECT_NE(missing.error().message().find(spec_.file), std::string::npos);
    script("touch " + dir_ + "/ran\n");
    pid_t seen = 0;
    auto refused = spawn_plugin(spec_, [&](pid_t pid) -> Status {
        seen = pid;
        return make_error(Code::ResourceExhausted, "disk full");
    });
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), "disk full");
    EXPECT_FALSE(process_start_time(seen));
    EXPECT_FALSE(path_exists(dir_ + "/ran"));
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no child is left
}

TEST_F(Spawn, TheDeathOfTheAgentBeforeTheRecordIsWrittenEndsTheChild) {
    script("touch " + dir_ + "/ran\n");
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t agent = ::fork();
    if (agent == 0) {
        auto ignored = spawn_plugin(spec_, [&](pid_t pid) -> Status {
            (void)!::write(ends[1], &pid, sizeof pid);
            ::kill(::getpid(), SIGKILL);
            return {};
        });
        ::_exit(0);
    }
    ::close(ends[1]);
    pid_t child = 0;
    ASSERT_EQ(::read(ends[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
    ::waitpid(agent, nullptr, 0);
    char byte;
    EXPECT_EQ(::read(ends[0], &byte, 1), 0);  // the child held the other end too: it has ended
    ::close(ends[0]);
    EXPECT_FALSE(path_exists(dir_ + "/ran"));
}

TEST_F(Spawn, ACgroupThatCannotBeJoinedIsAWarning) {
    script("exit 0\n");
    spec_.cgroup_files = {dir_ + "/no/such/file"};
    auto process = run();
    ASSERT_TRUE(process) << process.error().message();
    EXPECT_EQ(exit_code(*process), 0);
    ASSERT_EQ(process->warnings.size(), 1u);
}

TEST(Environment, IsScrubbed) {
    const char* environment[] = {"PATH=/bin",
                                 "PLUGIN_MULTIPLEX_GRPC=1",
                                 "PLUGIN_CLIENT_CERT=x",
                                 "NOMAD_TOKEN=s",
                                 "NOTIFY_SOCKET=/x",
                                 "EMPTY=",
                                 "=odd",
                                 "odd",
                                 "DOCKER_HOST=a=b",
                                 nullptr};
    const auto scrubbed = scrubbed_environment(const_cast<char**>(environment));
    const std::map<std::string, std::string> expected = {
        {"PATH", "/bin"}, {"EMPTY", ""}, {"DOCKER_HOST", "a=b"}};
    EXPECT_EQ(scrubbed, expected);
}

}  // namespace
}  // namespace drover::agent
