// SPDX-License-Identifier: Apache-2.0
// What only raw_exec or only exec promises: how a task is isolated, what it sees, and crashes in the middle of a start.
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

std::string link_of(const std::string& path) {
    char target[256] = {};
    ssize_t n = ::readlink(path.c_str(), target, sizeof target - 1);
    return n > 0 ? std::string(target, static_cast<size_t>(n)) : "";
}

class RawExecTest : public DriverTest {};
class ExecTest : public DriverTest {};

TEST_P(RawExecTest, IsOffUnlessEnabled) {
    launch({});
    auto fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Undetected);
    EXPECT_EQ(fingerprint->description, "disabled");
    auto started = plugin_->start_task(shell("exit 0"));
    ASSERT_FALSE(started);
    EXPECT_NE(started.error().message().find("raw_exec is disabled"), std::string::npos);
}

TEST_P(RawExecTest, RunsInTheTasksDirectoryWithExactlyItsEnvironment) {
    sdk::TaskConfig config =
        task({{"command", "/bin/sh"},
              {"args",
               Value::List{
                   "-c", "pwd; env | sort; id -un; ulimit -n >/dev/null; grep -E 'Sig(Blk|Ign)' /proc/self/status"}}});
    config.user = "nobody";
    config.env = {{"A", "x y"}};
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 0);
    EXPECT_EQ(out(), "" + alloc_ + "/web\nA=x y\nPWD=" + alloc_ +
                         "/web\nnobody\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_P(RawExecTest, JoinsTheJobsCgroup) {
    Value::Map config{{"command", "/bin/sh"},
                      {"args", Value::List{"-c", "cat /proc/self/cgroup; echo up; sleep 3600"}}};
    config["cgroup_v1_override"] = Value::Map{{"cpu", "/" + cgroup_ + "/custom"}, {"pids", "/" + cgroup_ + "/custom"}};
    config["cgroup_v2_override"] = cgroup_ + "/custom";
    sdk::TaskConfig in_group = task(config);
    ASSERT_OK(plugin_->start_task(in_group));
    ASSERT_TRUE(says("up"));
    EXPECT_NE(out().find("/" + cgroup_ + "/custom/" + sdk::task_dir_name(in_group.id)), std::string::npos) << out();
    ASSERT_OK(plugin_->destroy_task(in_group.id, true));
    EXPECT_TRUE(cgroup::Cgroup::open(cgroup_ + "/custom")->remove(5 * kSecond));  // the job's own: left alone until now

    if (cgroup::mounted().version != cgroup::Version::V1) return;
    config["cgroup_v1_override"] = Value::Map{{"cpu", "a"}, {"pids", "b"}};
    auto refused = plugin_->start_task(task(config));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("found \"a\" and \"b\""), std::string::npos);
}

TEST_P(ExecTest, IsolatesTheTask) {
    ASSERT_OK(write_file(alloc_ + "/web/secrets/key", "sesame\n", 0644));
    ASSERT_EQ(::chmod((alloc_ + "/web/secrets/key").c_str(), 0644), 0);
    sdk::TaskConfig config = shell(
        "id -un; cat /proc/1/comm; pwd; cat /secrets/key; "
        "for d in / /usr /etc; do touch $d/x 2>/dev/null && echo wrote $d; done; "
        "for d in /local /tmp /alloc/data /secrets /dev/shm; do touch $d/x || echo cannot write $d; done; "
        "[ -e /home ] && echo sees /home; [ -e " +
        dir_ +
        " ] && echo sees the machine; "
        "[ -e /dev/null ] && [ ! -e /dev/kmsg ] && echo devices; ls /proc | grep -c '^[0-9]'; "
        "grep -E 'CapEff|NoNewPrivs' /proc/self/status; echo $GREETING up; sleep 3600");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    auto lines = split(out(), '\n');
    EXPECT_EQ(lines[0], "nobody");
    EXPECT_EQ(lines[1], "sh");  // the task is its namespace's first process
    EXPECT_EQ(lines[2], "/");
    EXPECT_EQ(lines[3], "sesame");
    EXPECT_EQ(lines[4], "devices") << out();
    EXPECT_LE(parse_int(lines[5]).value_or(99), 4);
    EXPECT_EQ(lines[6], "CapEff:\t00000000a80405fb") << out();  // the 13 of the default set
    EXPECT_NE(out().find("hello up"), std::string::npos);
    EXPECT_TRUE(path_exists(alloc_ + "/web/local/x"));
    EXPECT_TRUE(path_exists(alloc_ + "/web/tmp/x"));

    std::string process = fmt::format("/proc/{}/", task_pid(config.id));
    for (const char* kind : {"mnt", "pid", "ipc"})
        EXPECT_NE(link_of(process + "ns/" + kind), link_of(std::string("/proc/self/ns/") + kind)) << kind;
    EXPECT_EQ(link_of(process + "ns/net"), link_of("/proc/self/ns/net"));
}

TEST_P(ExecTest, LimitsMemoryAndTellsAboutOom) {
    sdk::TaskConfig config = task({{"command", "/usr/bin/tail"}, {"args", Value::List{"/dev/zero"}}});
    config.resources.memory_mb = container_memory_mb_min();
    ASSERT_OK(plugin_->start_task(config));
    auto exit = plugin_->wait_task(config.id, 30 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(exit->signal, SIGKILL);
    EXPECT_TRUE(exit->oom_killed);
}

TEST_P(ExecTest, DropsCapabilitiesAndMountsWhatTheAgentSays) {
    sdk::TaskConfig config = task({{"command", "/bin/sh"},
                                   {"args", Value::List{"-c",
                                                        "grep CapEff /proc/self/status; cat /vol/file; touch /vol/x "
                                                        "2>/dev/null || echo read-only; cat /etc/resolv.conf"}},
                                   {"cap_drop", Value::List{"all"}}});
    ASSERT_OK(make_dirs(alloc_ + "/vol", 0777));
    ASSERT_OK(write_file(alloc_ + "/vol/file", "volume\n", 0644));
    ASSERT_EQ(::chmod((alloc_ + "/vol/file").c_str(), 0644), 0);
    config.mounts = {{"/vol", alloc_ + "/vol", true, "", "", ""}};
    config.dns = sdk::DnsConfig{{"192.0.2.1"}, {"example"}, {}};
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 0);
    EXPECT_EQ(out(), "CapEff:\t0000000000000000\nvolume\nread-only\nnameserver 192.0.2.1\nsearch example\n");
}

TEST_P(ExecTest, TellsWhatTheRuntimeSays) {
    auto started = plugin_->start_task(task({{"command", "/bin/true"}, {"work_dir", "/usr/nowhere"}}));
    ASSERT_FALSE(started);
    EXPECT_TRUE(starts_with(started.error().message(), "start container: ")) << started.error().message();
    EXPECT_NE(started.error().message().find("/usr/nowhere"), std::string::npos) << started.error().message();

    launch({{"runtime", "/no/such/runc"}});
    auto fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Undetected);
    EXPECT_NE(fingerprint->description.find("/no/such/runc"), std::string::npos);
}

// The plugin dies between intent and answer: its successor finds the task by id, whichever call comes first.
TEST_P(ExecTest, APluginThatDiesWhileStartingLosesNothing) {
    const std::string runtime = dir_ + "/slow-runc", gate = dir_ + "/gate";
    ASSERT_OK(write_file(runtime,
                         "#!/bin/sh\n[ \"$7\" = run ] && { touch " + gate + ".reached; while [ ! -e " + gate +
                             " ]; do sleep 0.02; done; }\nexec runc \"$@\"\n",
                         0700));
    const Value::Map slow{{"runtime", runtime}};
    for (const bool destroy : {true, false}) {
        launch(slow);
        sdk::TaskConfig config = shell("echo up; sleep 3600");
        std::thread starter([&] { EXPECT_FALSE(plugin_->start_task(config)); });
        ASSERT_TRUE(eventually([&] { return path_exists(gate + ".reached"); }));
        ::kill(plugin_->pid(), SIGKILL);
        starter.join();
        launch(slow);
        if (destroy) {
            ASSERT_OK(plugin_->destroy_task(config.id, true));
            EXPECT_EQ(plugin_->inspect_task(config.id).error().code(), Code::NotFound);
            EXPECT_EQ(out(), "");
        } else {
            std::thread again([&] { EXPECT_TRUE(plugin_->start_task(config)); });  // waits for the launch to end
            EXPECT_TRUE(write_file(gate, ""));
            again.join();
            ASSERT_TRUE(says("up"));
            pid_t pid = task_pid(config.id);
            EXPECT_NE(link_of(fmt::format("/proc/{}/ns/pid", pid)), link_of("/proc/self/ns/pid"));
            ASSERT_OK(plugin_->destroy_task(config.id, true));
            EXPECT_FALSE(alive(pid));
        }
        ASSERT_EQ(::unlink((gate + ".reached").c_str()), 0);
    }
}

INSTANTIATE_TEST_SUITE_P(Drivers, RawExecTest, ::testing::Values(kRawExec),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Drivers, ExecTest, ::testing::Values(kExec), [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
