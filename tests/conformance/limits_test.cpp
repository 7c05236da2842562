// SPDX-License-Identifier: Apache-2.0
// Tasks that want out: of their process group, of their limits, of what their user may do; commands that cannot be run;
// and shims that are killed under their tasks. What is left behind is counted by the fixture after each test.
#include <sys/resource.h>

#include <atomic>

#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

class LimitsTest : public DriverTest {
 protected:
    sdk::TaskConfig limited(const std::string& script, Value::Map more) {
        more["command"] = "/bin/sh";
        more["args"] = Value::List{"-c", script};
        return task(std::move(more));
    }
    size_t group_size(const sdk::TaskConfig& config) {
        auto group = cgroup::Cgroup::open(cgroup_ + "/" + sdk::task_dir_name(config.id));
        return group ? group->procs().value_or(std::vector<pid_t>()).size() : 0;
    }
    std::string knob(const sdk::TaskConfig& config, std::string_view controller, const std::string& file) {
        auto group = cgroup::Cgroup::open(cgroup_ + "/" + sdk::task_dir_name(config.id));
        return std::string(trim(read_file(group->dir(controller) + "/" + file).value_or("")));
    }
    // Kernels count them in the group of the limit or in that of the forking process.
    int64_t refused_forks(const sdk::TaskConfig& config) {
        int64_t sum = 0;
        for (const char* file : {"pids.events", "container/pids.events"})
            if (std::string text = knob(config, "pids", file); starts_with(text, "max "))
                sum += parse_int(split(text.substr(4), '\n').front()).value_or(0);
        return sum;
    }
    std::string start_error(const sdk::TaskConfig& config) {
        auto started = plugin_->start_task(config);
        EXPECT_FALSE(started);
        if (started) return "";
        EXPECT_EQ(started.error().retry(), Retry::No) << "no start can mend this";
        return started.error().message();
    }
    std::vector<pid_t> shims_of(const sdk::TaskConfig& config) {
        std::vector<pid_t> found;
        for (const std::string& name : list_dir("/proc").value_or(std::vector<std::string>())) {
            auto pid = parse_int(name);
            auto text = pid ? read_file("/proc/" + name + "/cmdline", 65536) : Result<std::string>(std::string());
            if (text && starts_with(*text, "drover-shim") &&
                text->find(sdk::task_dir_name(config.id)) != std::string::npos)
                found.push_back(static_cast<pid_t>(*pid));
        }
        return found;
    }
    bool kill_shim(const sdk::TaskConfig& config) {
        auto shims = shims_of(config);
        for (pid_t pid : shims) ::kill(pid, SIGKILL);
        return !shims.empty();
    }
};

// Two children in sessions of their own, one of them twice forked away from everybody.
TEST_P(LimitsTest, KillsWhatLeftItsSession) {
    sdk::TaskConfig config =
        shell("setsid sleep 3600 & (setsid sh -c 'sleep 3600 & exit' &) ; echo up; trap '' INT TERM; sleep 3600; "
              "sleep 3600");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    ASSERT_TRUE(eventually([&] { return group_size(config) >= 4; }));
    auto group = cgroup::Cgroup::open(cgroup_ + "/" + sdk::task_dir_name(config.id));
    std::vector<pid_t> pids = group->procs().value();
    ASSERT_OK(plugin_->stop_task(config.id, 50 * kMillisecond, "SIGTERM"));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    for (pid_t pid : pids) EXPECT_TRUE(eventually([&] { return !alive(pid); })) << pid;
}

TEST_P(LimitsTest, AForkBombStaysWithinItsLimit) {
    sdk::TaskConfig config =
        limited("echo up; bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 3600", {{"pids_limit", 40}});
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    // Forks were refused, and there were never more than that.
    EXPECT_TRUE(eventually([&] { return refused_forks(config) > 0; }));
    for (int i = 0; i < 50; ++i) EXPECT_LE(parse_int(knob(config, "pids", "pids.current")).value_or(99), 40);
    ASSERT_OK(plugin_->stop_task(config.id, 0, ""));
    EXPECT_TRUE(eventually([&] { return group_size(config) == 0; }));
}

TEST_P(LimitsTest, TasksGetTheLimitsTheyAskFor) {
    sdk::TaskConfig config = limited("ulimit -Sn; ulimit -Hn", {{"ulimit", Value::Map{{"nofile", "100:200"}}}});
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_EQ(out(), "100\n200\n");
    EXPECT_NE(start_error(limited("", {{"ulimit", Value::Map{{"hopes", "1"}}}})).find("ulimit: \"hopes\""),
              std::string::npos);

    // Without: what the plugin itself had, not what it took for its own descriptors.
    config = shell("ulimit -Sn");
    struct rlimit own {};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    if (!GetParam().isolated) EXPECT_EQ(out(), std::to_string(own.rlim_cur) + "\n");
}

TEST_P(LimitsTest, RefusesUsersTheOperatorDenies) {
    Value::Map config = GetParam().config;
    config["denied_host_uids"] = "0,65534-65534";
    launch(config);
    sdk::TaskConfig denied = shell("id");
    denied.user = "nobody";
    EXPECT_EQ(start_error(denied),
              "user \"nobody\": the agent's plugin config (denied_host_uids) refuses uid 65534");
    config.erase("denied_host_uids");
    config["denied_host_gids"] = "0-10";
    launch(config);
    denied.user = "root";
    EXPECT_NE(start_error(denied).find("(denied_host_gids) refuses gid 0"), std::string::npos);
    config["denied_host_gids"] = "ten";
    Status set = plugin_->set_config(sdk::msgpack_encode(config), std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_NE(set.error().message().find("denied_host_gids: expected ids like"), std::string::npos);
}

TEST_P(LimitsTest, BadCommandsSayWhatIsWrong) {
    const std::string local = alloc_ + "/web/local/";
    auto put = [&](const std::string& name, std::string_view bytes, mode_t mode) {
        ASSERT_OK(write_file(local + name, bytes, mode));
        ASSERT_EQ(::chmod((local + name).c_str(), mode), 0);
    };
    std::string elf = "\x7f" "ELF\x02\x01\x01" + std::string(9, '\0') + std::string("\x02\x00\x08\x00", 4);  // MIPS
    put("mips", elf + std::string(100, '\0'), 0755);
    put("plain", "just words\n", 0755);
    put("data", "#!/bin/sh\n", 0644);
    ASSERT_EQ(::symlink((dir_ + "/beyond").c_str(), (local + "outward").c_str()), 0);
    auto error_of = [&](const std::string& command) { return start_error(task({{"command", command}})); };
    EXPECT_NE(error_of("no-such-program").find("command \"no-such-program\": not found (looked in "),
              std::string::npos);
    EXPECT_NE(error_of("data").find("is not executable (mode 0644)"), std::string::npos);
    EXPECT_NE(error_of("/usr").find("is a directory"), std::string::npos);
    EXPECT_NE(error_of("../../../bin/sh").find("leads out of the task's directory"), std::string::npos);
    EXPECT_NE(error_of("outward").find("command \"outward\": not found"), std::string::npos);
    EXPECT_NE(error_of("").find("command: must not be empty"), std::string::npos);
    if (list_dir("/proc/sys/fs/binfmt_misc").value_or(std::vector<std::string>()).size() <= 2) {
        EXPECT_NE(error_of("mips").find("is a program for ELF machine 8, this machine is "), std::string::npos);
        EXPECT_NE(error_of("plain").find("neither a program nor a script"), std::string::npos);
    }
    sdk::TaskConfig config = shell("exit");
    config.user = "no-such-user";
    EXPECT_EQ(start_error(config), "user \"no-such-user\" does not exist on this machine");
}

// What the task writes goes through a FIFO as the agent's, in one line of 1 GB; a task that closes its stdout goes on.
TEST_P(LimitsTest, OutputMayBeOneLongLineOrNone) {
    constexpr uint64_t kBytes = 1'000'000'000;
    sdk::TaskConfig config = shell("head -c 1000000000 /dev/zero; exec >&-; echo closed >&2; exit 5");
    ASSERT_EQ(::unlink(out_path().c_str()), 0);
    ASSERT_EQ(::mkfifo(out_path().c_str(), 0600), 0);
    UniqueFd reader(::open(out_path().c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    ASSERT_TRUE(reader);
    ASSERT_OK(plugin_->start_task(config));
    std::vector<char> buffer(1 << 20);
    uint64_t bytes = 0;
    EXPECT_TRUE(eventually(
        [&] {
            for (ssize_t n; (n = ::read(reader.get(), buffer.data(), buffer.size())) > 0;)
                bytes += static_cast<uint64_t>(n);
            return bytes >= kBytes;
        },
        100 * kSecond))
        << bytes;
    auto exit = plugin_->wait_task(config.id, 20 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 5);
    EXPECT_EQ(bytes, kBytes);
    EXPECT_EQ(read_file(err_path()).value(), "closed\n");
}

TEST_P(LimitsTest, AShimKilledWhileItsTaskRunsIsReplaced) {
    sdk::TaskConfig config = shell("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    const pid_t pid = task_pid(config.id);
    for (int times = 0; times < 2; ++times) {
        const std::vector<pid_t> before = shims_of(config);
        ASSERT_EQ(before.size(), 1u);
        ASSERT_TRUE(kill_shim(config));
        ASSERT_TRUE(eventually([&] {
            auto now = shims_of(config);
            return now.size() == 1 && now != before;
        }));
        EXPECT_EQ(task_pid(config.id), pid);
        EXPECT_TRUE(alive(pid));
    }
    ASSERT_OK(plugin_->stop_task(config.id, 20 * kSecond, "SIGTERM"));
    auto exit = plugin_->wait_task(config.id, 20 * kSecond);
    ASSERT_OK(exit);
    // Where the kernel tells a stranger's exit status it is the true one, else nobody claims to know it.
    EXPECT_TRUE(exit->exit_code == 9 || (exit->exit_code == -1 && !exit->error.empty())) << exit->exit_code;
}

TEST_P(LimitsTest, AShimKilledWhileItStopsItsTaskStillEndsIt) {
    sdk::TaskConfig config = shell("trap '' INT TERM; echo up; sleep 3600; sleep 3600");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    const pid_t pid = task_pid(config.id);
    std::atomic<bool> stopped{false};
    std::thread stopper([&] {
        EXPECT_TRUE(plugin_->stop_task(config.id, kSecond, "SIGTERM"));
        stopped = true;
    });
    int kills = 0;
    EXPECT_TRUE(eventually([&] {
        if (kills < 3 && kill_shim(config)) ++kills;
        ::usleep(50'000);
        return stopped.load();
    }));
    stopper.join();
    EXPECT_GE(kills, 1);
    EXPECT_FALSE(alive(pid));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
}

INSTANTIATE_TEST_SUITE_P(Drivers, LimitsTest, ::testing::Values(kRawExec, kExec),
                         [](const auto& info) { return info.param.name; });

// --- raw_exec alone

class RawLimitsTest : public LimitsTest {};

TEST_P(RawLimitsTest, EnforcesMemoryWhenAsked) {
    sdk::TaskConfig config = task(
        {{"command", "/usr/bin/tail"}, {"args", Value::List{"/dev/zero"}}, {"enforce_limits", true}});
    config.resources.memory_mb = 24;
    ASSERT_OK(plugin_->start_task(config));
    auto exit = plugin_->wait_task(config.id, 30 * kSecond);
    ASSERT_OK(exit);
    EXPECT_TRUE(exit->oom_killed);
    EXPECT_EQ(exit->signal, SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(Drivers, RawLimitsTest, ::testing::Values(kRawExec),
                         [](const auto& info) { return info.param.name; });

// --- exec alone

class ConfinementTest : public LimitsTest {};

TEST_P(ConfinementTest, ClosesTheDoorsIntoTheKernel) {
    const std::string script = "grep NoNewPrivs /proc/self/status; grep 'Seccomp:' /proc/self/status; "
                               "unshare -U true 2>/dev/null && echo namespaced || echo refused";
    sdk::TaskConfig config = shell(script);
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_EQ(out(), "NoNewPrivs:\t1\nSeccomp:\t2\nrefused\n");

    launch({{"seccomp_profile", "unconfined"}, {"no_new_privileges", false}});
    config = shell(script);
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_TRUE(starts_with(out(), "NoNewPrivs:\t0\nSeccomp:\t0\n")) << out();

    ASSERT_OK(write_file(dir_ + "/profile.json",
                         R"({"defaultAction": "SCMP_ACT_ALLOW",
                             "syscalls": [{"names": ["chdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]})"));
    launch({{"seccomp_profile", dir_ + "/profile.json"}});
    config = shell("cd /usr 2>/dev/null || echo no chdir");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_EQ(out(), "no chdir\n");
    EXPECT_FALSE(plugin_->set_config(sdk::msgpack_encode(Value::Map{{"seccomp_profile", "sometimes"}}), std::nullopt));
}

TEST_P(ConfinementTest, RunsInAUserNamespace) {
    launch({{"userns_host_ids", "100000-165535"}});
    sdk::TaskConfig config =
        shell("id -u; cat /proc/self/uid_map; touch /local/mine /usr/not 2>/dev/null; ls /; echo up; sleep 3600");
    config.user = "root";
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    auto lines = split(out(), '\n');
    EXPECT_EQ(lines[0], "0");
    EXPECT_EQ(lines[1], "         0     100000      65536") << out();
    struct stat info {};
    ASSERT_EQ(::stat((alloc_ + "/web/local/mine").c_str(), &info), 0);
    EXPECT_EQ(info.st_uid, 100'000u);
    EXPECT_FALSE(path_exists("/usr/not"));
    auto status = read_file(fmt::format("/proc/{}/status", task_pid(config.id)));
    ASSERT_OK(status);
    EXPECT_NE(status->find("Uid:\t100000\t"), std::string::npos);
    EXPECT_NE(start_error(limited("exit", {{"pid_mode", "host"}})).find("userns_mode"), std::string::npos);
}

TEST_P(ConfinementTest, RunsFromAnUnpackedImage) {
    const std::string image = alloc_ + "/web/local/image";
    ASSERT_OK(make_dirs(image + "/bin", 0755));
    ASSERT_OK(make_dirs(image + "/etc", 0755));
    ASSERT_OK(write_file(image + "/etc/motd", "from the image\n", 0644));
    DROVER_ASSERT(path_exists("/bin/busybox"));
    ASSERT_OK(write_file(image + "/bin/busybox", read_file("/bin/busybox").value(), 0755));
    ASSERT_EQ(::chmod((image + "/bin/busybox").c_str(), 0755), 0);
    for (const char* applet : {"sh", "cat", "ls", "touch"})
        ASSERT_EQ(::symlink("/bin/busybox", (image + "/bin/" + applet).c_str()), 0);
    sdk::TaskConfig config = limited("cat /etc/motd; ls /usr 2>/dev/null && echo sees /usr; touch /etc/x 2>/dev/null "
                                     "&& echo wrote; touch /local/y && echo local; cat /proc/1/comm; exit",
                                     {{"image_dir", "local/image"}});
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_EQ(out(), "from the image\nlocal\nsh\n") << read_file(err_path()).value();
    EXPECT_NE(start_error(limited("exit", {{"image_dir", "/etc"}})).find("image_dir: \"/etc\" is neither in"),
              std::string::npos);
    EXPECT_NE(start_error(limited("exit", {{"image_dir", "local/nothing"}})).find("local/nothing"), std::string::npos);
}

TEST_P(ConfinementTest, LimitsCpuAndCores) {
    sdk::TaskConfig config =
        limited("grep Cpus_allowed_list /proc/self/status; echo up; sleep 3600", {{"cpu_hard_limit", true}});
    config.resources.linux_resources.compute_fraction = 0.25;
    config.resources.linux_resources.cpuset_cpus = "0";
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    EXPECT_TRUE(starts_with(out(), "Cpus_allowed_list:\t0\n")) << out();
    const std::string quota = std::to_string(25'000 * ::sysconf(_SC_NPROCESSORS_CONF));
    if (cgroup::mounted().version == cgroup::Version::V2)
        EXPECT_EQ(knob(config, "cpu", "cpu.max"), quota + " 100000");
    else
        EXPECT_EQ(knob(config, "cpu", "cpu.cfs_quota_us"), quota);
}

TEST_P(ConfinementTest, RefusesMemoryNoContainerStartsIn) {
    sdk::TaskConfig config = shell("exit");
    const int64_t least = container_memory_mb_min();
    config.resources.memory_mb = least - 1;
    EXPECT_EQ(start_error(config),
              fmt::format("memory: {} MB is less than the {} MB that starting a container takes", least - 1, least));
    config = shell("echo ran");
    config.resources.memory_mb = least;
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_OK(plugin_->wait_task(config.id, 20 * kSecond));
    EXPECT_EQ(out(), "ran\n");
}

INSTANTIATE_TEST_SUITE_P(Drivers, ConfinementTest, ::testing::Values(kExec),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
