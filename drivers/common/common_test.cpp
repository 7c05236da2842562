// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "drivers/common/command_path.h"
#include "drover/signals.h"
#include "drivers/common/subprocess.h"
#include "drivers/common/users.h"

namespace drover::drivers {
namespace {

TEST(Signals, AreReadAsJobFilesWriteThem) {
    EXPECT_EQ(*sdk::parse_signal("SIGTERM"), SIGTERM);
    EXPECT_EQ(*sdk::parse_signal("usr1"), SIGUSR1);
    EXPECT_EQ(*sdk::parse_signal("9"), SIGKILL);
    for (const char* bad : {"", "SIG", "SIGNONE", "0", "-9", "999", "TERM "})
        EXPECT_FALSE(sdk::parse_signal(bad)) << bad;
}

TEST(Users, ByNameAndNumber) {
    EXPECT_EQ(find_user("root")->uid, 0u);
    EXPECT_EQ(find_user("nobody")->uid, 65534u);
    EXPECT_EQ(find_user("54321")->uid, 54321u);
    EXPECT_EQ(find_user("54321")->gid, 54321u);
    EXPECT_TRUE(find_user("54321")->groups.empty());
    EXPECT_EQ(find_user("nobody:123")->gid, 123u);
    EXPECT_EQ(find_user("no-such-user").error().message(), "user \"no-such-user\" does not exist on this machine");
    EXPECT_FALSE(find_user("4294967295"));  // "as it is", to the kernel
    EXPECT_FALSE(find_user("nobody:staff"));
}

class CommandPath : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-cmd-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        for (const char* sub : {"/local", "/work", "/bin"}) ASSERT_TRUE(make_dirs(dir_ + sub));
        file("/local/mine", 0755);
        file("/work/mine", 0755);
        file("/work/tool", 0755);
        file("/bin/tool", 0755);
        file("/bin/text", 0644);
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    void file(const std::string& path, mode_t mode) {
        ASSERT_TRUE(write_file(dir_ + path, "#!/bin/sh\n", mode));
        ASSERT_EQ(::chmod((dir_ + path).c_str(), mode), 0);
    }
    Result<std::string> find(const std::string& command) {
        // As a task sees it: /local and /work are elsewhere on the machine.
        return find_command(command, "/local", "/work", "/bin:relative:/none",
                            {{"/local", dir_ + "/local"}, {"/work", dir_ + "/work"}, {"/bin", dir_ + "/bin"}});
    }
    std::string dir_;
};

TEST_F(CommandPath, LooksWhereATaskExpectsIt) {
    EXPECT_EQ(*find("mine"), "/local/mine");
    EXPECT_EQ(*find("tool"), "/work/tool");
    EXPECT_EQ(*find("/bin/tool"), "/bin/tool");
    EXPECT_EQ(*find_command("/" + dir_.substr(1) + "/bin/tool", "/", "/", "", {{"/", ""}}), dir_ + "/bin/tool");
}

TEST_F(CommandPath, ErrorsNameThePath) {
    EXPECT_EQ(find("/bin/none").error().message(), "command \"/bin/none\": No such file or directory");
    EXPECT_EQ(find("/etc/passwd").error().message(), "command \"/etc/passwd\": no such file in the task's file system");
    EXPECT_EQ(find("text").error().message(), "command \"/bin/text\": is not executable (mode 0644)");
    EXPECT_EQ(find("/bin").error().message(), "command \"/bin\": is a directory");
    EXPECT_EQ(find("none").error().message(), "command \"none\": not found (looked in /local, /work, /bin, /none)");
    EXPECT_EQ(find("").error().message(), "command: must not be empty");
    EXPECT_FALSE(find("bin/tool"));  // with a slash: not along PATH
}

TEST_F(CommandPath, FollowsSymlinksAsTheTaskWould) {
    const std::vector<ViewEntry> view = {{"/local", dir_ + "/local"}, {"/opt/bin", dir_ + "/bin"}};
    auto link = [&](const char* target, const std::string& name) {
        ASSERT_EQ(::symlink(target, (dir_ + "/local/" + name).c_str()), 0);
    };
    link("/opt/bin/tool", "absolute");
    link("../opt/bin", "relative");
    link("/work/tool", "outward");
    link("loop", "loop");
    EXPECT_EQ(host_path("/local/absolute", view), dir_ + "/bin/tool");
    EXPECT_EQ(host_path("/local/relative/tool", view), dir_ + "/bin/tool");
    EXPECT_EQ(host_path("/local/./../opt//bin/tool", view), dir_ + "/bin/tool");
    EXPECT_EQ(host_path("/local/outward", view), "");
    EXPECT_EQ(host_path("/local/loop", view), "");
    EXPECT_EQ(host_path("/opt", view), "");
    EXPECT_EQ(find("../local/mine").error().message(), "command \"../local/mine\": leads out of the task's directory");
}

TEST(Users, RangesOfIds) {
    auto ids = IdRanges::parse("7, 100-199", "f");
    ASSERT_TRUE(ids);
    for (uint64_t id : {7, 100, 199}) EXPECT_TRUE(ids->contains(id)) << id;
    for (uint64_t id : {0, 8, 99, 200}) EXPECT_FALSE(ids->contains(id)) << id;
    EXPECT_TRUE(IdRanges::parse(" ", "f"));
    for (const char* bad : {"a", "1-", "5-4", "1,,2", "1-4294967296"}) EXPECT_FALSE(IdRanges::parse(bad, "f")) << bad;
    EXPECT_EQ(IdRanges::parse("1,x", "f").error().message(), "f: expected ids like \"0,100-199\", found \"x\"");
}

TEST(Subprocess, TellsHowItEnded) {
    auto done = run_command({"/bin/sh", "-c", "echo out; echo err >&2; exit 4"}, 20 * kSecond);
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(done->exit_code, 4);
    EXPECT_EQ(done->output, "out\nerr\n");
    EXPECT_EQ(run_command({"/bin/sh", "-c", "kill -9 $$"}, 20 * kSecond)->exit_code, 128 + 9);
    EXPECT_EQ(run_command({"/no/such"}, kSecond).error().code(), Code::NotFound);
    auto late = run_command({"/bin/sh", "-c", "sleep 3600"}, 50 * kMillisecond);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code(), Code::DeadlineExceeded);
    // More output than is kept does not block the program.
    auto loud = run_command({"/bin/sh", "-c", "head -c 1000000 /dev/zero"}, 20 * kSecond);
    ASSERT_TRUE(loud);
    EXPECT_EQ(loud->exit_code, 0);
    EXPECT_LE(loud->output.size(), 64u << 10);
}

}  // namespace
}  // namespace drover::drivers
