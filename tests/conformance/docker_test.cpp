// SPDX-License-Identifier: Apache-2.0
// What only docker promises, over the real protocol and a real daemon: no line of a log is lost or doubled
// however often the plugin is killed, bad jobs are refused by name and leave nothing, an OOM is told.
#include "base/clock.h"
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

class DockerTest : public DriverTest {
 protected:
    void SetUp() override {
        DriverTest::SetUp();
        if (!IsSkipped()) launch({{"gc", Value::Map{{"image_delay", "0s"}}}});
    }
};

// A FIFO with a reader that keeps what comes, as the agent's log daemon does.
class Reader {
 public:
    explicit Reader(const std::string& path) {
        if (::mkfifo(path.c_str(), 0600) != 0) ADD_FAILURE() << "mkfifo " << path;
        fd_.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        thread_ = std::thread([this] {
            char buffer[4096];
            for (ssize_t n; (n = ::read(fd_.get(), buffer, sizeof buffer)) > 0;) {
                std::lock_guard lock(mutex_);
                text_.append(buffer, static_cast<size_t>(n));
                if (text_.ends_with(kEnd)) return text_.resize(text_.size() - kEnd.size());
            }
        });
    }
    ~Reader() {
        if (thread_.joinable()) (void)finish();
    }
    std::string text() const {
        std::lock_guard lock(mutex_);
        return text_;
    }
    std::string finish() {
        (void)!::write(fd_.get(), kEnd.data(), kEnd.size());
        thread_.join();
        return text_;
    }

 private:
    static constexpr std::string_view kEnd{"\0end\0", 5};
    mutable std::mutex mutex_;
    std::string text_;
    UniqueFd fd_;
    std::thread thread_;
};

TEST_P(DockerTest, NoLineIsLostOrDoubledHoweverOftenThePluginIsKilled) {
    constexpr int kLines = 30000;
    Reader out(dir_ + "/out.fifo"), err(dir_ + "/err.fifo");
    sdk::TaskConfig config =
        shell(fmt::format("i=0; while [ $i -lt {} ]; do i=$((i+1)); echo line $i; [ $((i % 100)) = 0 ] && "
                          "echo error $i >&2; done; exit 6",
                          kLines));
    config.stdout_path = dir_ + "/out.fifo";
    config.stderr_path = dir_ + "/err.fifo";
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    int kills = 0;
    const pid_t pid = task_pid(config.id);
    for (size_t seen = 0; alive(pid) || kills < 5; ++kills) {
        // Killed while lines are moving, at another point each time.
        eventually(
            [&] { return out.text().size() > seen + 1000 * static_cast<size_t>(kills % 7) || !alive(pid); });
        seen = out.text().size();
        relaunch_after_kill();
        ASSERT_OK(plugin_->recover_task(started->handle));
    }
    auto exit = plugin_->wait_task(config.id, 60 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 6);
    std::string expected_out, expected_err;
    for (int i = 1; i <= kLines; ++i) {
        expected_out += fmt::format("line {}\n", i);
        if (i % 100 == 0) expected_err += fmt::format("error {}\n", i);
    }
    EXPECT_TRUE(out.finish() == expected_out);
    EXPECT_TRUE(err.finish() == expected_err);
    RecordProperty("kills", kills);
    EXPECT_GE(kills, 5);
}

TEST_P(DockerTest, LongLinesTerminalsAndLastLinesWithoutANewlineArriveWhole) {
    for (const bool tty : {false, true}) {
        sdk::TaskConfig config =
            task({{"command", "/bin/sh"},
                  {"args", Value::List{"-c",
                                       "head -c 50000 /dev/zero | tr '\\0' x; echo; head -c 16384 "
                                       "/dev/zero | tr '\\0' y; echo; printf end"}},
                  {"tty", tty}});
        ASSERT_OK(plugin_->start_task(config));
        EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 0);
        const std::string newline = tty ? "\r\n" : "\n";
        EXPECT_TRUE(out() == std::string(50000, 'x') + newline + std::string(16384, 'y') + newline + "end")
            << "tty " << tty << ", " << out().size() << " bytes";
        ASSERT_OK(plugin_->destroy_task(config.id, true));
    }
}

TEST_P(DockerTest, TellsAboutOom) {
    sdk::TaskConfig config = shell("echo up; tail /dev/zero");
    config.resources.memory_mb = 16;
    ASSERT_OK(plugin_->start_task(config));
    auto exit = plugin_->wait_task(config.id, 60 * kSecond);
    ASSERT_OK(exit);
    EXPECT_TRUE(exit->oom_killed);
    EXPECT_NE(exit->exit_code, 0);
}

TEST_P(DockerTest, RefusesWhatCannotStartAndLeavesNothing) {
    ASSERT_EQ(::symlink("/", (alloc_ + "/web/local/out").c_str()), 0);
    struct Case {
        Value::Map config;
        std::string user;
        std::string message;
        Retry retry = Retry::No;
        int64_t memory_mb = 64;
    };
    for (const Case& wrong : std::vector<Case>{
             {{{"image", "127.0.0.1:9/no/such"}, {"force_pull", true}},
              "",
              "pull 127.0.0.1:9/no/such:latest: ",
              Retry::Yes},
             {{{"image", "UPPER:"}}, "", "image: \"UPPER:\": the tag after \":\" is missing"},
             {{{"image", "a@sha256:12"}}, "", "image: \"a@sha256:12\": expected a digest"},
             {{{"privileged", true}}, "", "privileged: the agent's docker plugin does not allow it"},
             {{{"volumes", Value::List{"/etc:/x"}}},
              "",
              "volumes: volumes are not enabled on this agent; cannot mount"},
             {{{"volumes", Value::List{"../../..:/x"}}},
              "",
              "volumes: \"../../..\" leads out of the allocation"},
             {{{"volumes", Value::List{"local/out/etc:/x"}}},
              "",
              "volumes: \"local/out/etc\" leads out of the"},
             {{{"volumes", Value::List{"local"}}}, "", "volumes: expected \"host:container\""},
             {{{"mount", Value::List{Value::Map{{"type", "bind"}, {"target", "x"}}}}},
              "",
              "mount: target: \"x\" is no"},
             {{{"mount",
                Value::List{Value::Map{{"type", "bind"}, {"source", "local/no"}, {"target", "/x"}}}}},
              "",
              "mount /x: "},
             {{{"devices", Value::List{Value::Map{{"host_path", "/dev/no"}}}}},
              "",
              "devices: \"/dev/no\" does not exist"},
             {{{"cap_add", Value::List{"sys_admin"}}}, "", "cap_add"},
             {{{"ulimit", Value::Map{{"nofile", "many"}}}},
              "",
              "ulimit.nofile: expected \"soft\" or \"soft:hard\""},
             {{{"ports", Value::List{"http"}}}, "", "ports: the group's network has no port \"http\""},
             {{{"load", "local/no.tar"}}, "", "load: \"local/no.tar\" does not exist"},
             {{{"runtime", "evil"}}, "", "runtime: the agent allows runc, nvidia, found \"evil\""},
             {{{"command", "/no/such/program"}}, "", "start container: "},
             {{{"command", "/bin/true"}},
              "no-such-user",
              "start container: unable to find user no-such-user"},
             {{{"command", "/bin/true"}}, "", "memory: docker needs at least 6 MB, found 4 MB", Retry::No, 4},
         }) {
        sdk::TaskConfig config = task(wrong.config);
        config.user = wrong.user;
        config.resources.memory_mb = wrong.memory_mb;
        auto started = plugin_->start_task(config);
        ASSERT_FALSE(started) << wrong.message;
        EXPECT_NE(started.error().message().find(wrong.message), std::string::npos)
            << started.error().message() << "\nexpected: " << wrong.message;
        EXPECT_EQ(started.error().retry(), wrong.retry) << started.error().message();
        EXPECT_EQ(Dockerd::get().containers(), 0u) << wrong.message;
        EXPECT_EQ(list_dir(state_dir() + "/.docker/tasks").value_or(std::vector<std::string>()),
                  std::vector<std::string>());
    }
}

TEST_P(DockerTest, GivesTheContainerWhatTheJobSays) {
    ASSERT_OK(make_dirs(alloc_ + "/web/local/shared", 0777));
    ASSERT_OK(write_file(alloc_ + "/web/local/shared/file", "volume\n", 0644));
    sdk::TaskConfig config = task(
        {{"entrypoint", Value::List{"/bin/sh", "-c"}},
         {"args",
          Value::List{"pwd; hostname; cat /data/file; touch /x 2>/dev/null || echo read-only; "
                      "grep -c ' /scratch tmpfs' /proc/mounts; ulimit -n; grep CapEff /proc/self/status; "
                      "cat /proc/sys/net/ipv4/ip_default_ttl; id -u; grep -c ' /vol ' /proc/mounts"}},
         {"work_dir", "/tmp"},
         {"hostname", "box"},
         {"readonly_rootfs", true},
         {"cap_drop", Value::List{"all"}},
         {"sysctl", Value::Map{{"net.ipv4.ip_default_ttl", "77"}}},
         {"ulimit", Value::Map{{"nofile", "123:456"}}},
         {"volumes", Value::List{"local/shared:/data:ro"}},
         {"mount", Value::List{Value::Map{{"type", "tmpfs"}, {"target", "/scratch"}},
                               Value::Map{{"type", "volume"}, {"target", "/vol"}}}},
         {"pids_limit", 50},
         {"shm_size", 1048576},
         {"init", false},
         {"labels", Value::Map{{"team", "blue"}}}});
    config.user = "nobody";
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 0);
    EXPECT_EQ(out(), "/tmp\nbox\nvolume\nread-only\n1\n123\nCapEff:\t0000000000000000\n77\n65534\n1\n");
}

TEST_P(DockerTest, ContainersThatNobodyKnowsAreRemovedAfterTheirGrace) {
    const Value::Map gc{{"gc", Value::Map{{"dangling_containers",
                                           Value::Map{{"period", "100ms"}, {"creation_grace", "1s"}}}}}};
    launch(gc);
    sdk::TaskConfig known = shell("echo up; sleep 3600"), unknown = shell("sleep 3600");
    unknown.name = "other";
    ASSERT_OK(plugin_->start_task(unknown));
    auto started = plugin_->start_task(known);
    ASSERT_OK(started);
    plugin_->kill();
    launch(gc);
    ASSERT_OK(plugin_->recover_task(started->handle));
    EXPECT_TRUE(eventually([&] { return Dockerd::get().containers() == 1; }));
    EXPECT_TRUE(alive(task_pid(known.id)));
}

TEST_P(DockerTest, KeepsAnAllocationsNetworkAndJoinsIt) {
    auto network = plugin_->create_network("alloc-1", "front");
    ASSERT_OK(network);
    EXPECT_TRUE(network->created);
    EXPECT_TRUE(path_exists(network->network.path)) << network->network.path;
    plugin_->kill();
    launch();
    auto again = plugin_->create_network("alloc-1", "front");
    ASSERT_OK(again);
    EXPECT_FALSE(again->created);
    EXPECT_EQ(again->network.path, network->network.path);
    sdk::TaskConfig config =
        task({{"command", "/bin/sh"},
              {"args", Value::List{"-c", "hostname; cat /etc/resolv.conf; echo up; sleep 3600"}}});
    config.network_isolation = network->network;
    config.dns = sdk::DnsConfig{{"192.0.2.1"}, {"example"}, {}};
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    EXPECT_EQ(out(), "front\nnameserver 192.0.2.1\nsearch example\nup\n");
    struct stat mine {
    }, theirs{};
    ASSERT_EQ(::stat(network->network.path.c_str(), &theirs), 0);
    ASSERT_EQ(::stat(fmt::format("/proc/{}/ns/net", task_pid(config.id)).c_str(), &mine), 0);
    EXPECT_EQ(mine.st_ino, theirs.st_ino);
    ASSERT_OK(plugin_->destroy_task(config.id, true));
    ASSERT_OK(plugin_->destroy_network("alloc-1", network->network));
    ASSERT_OK(plugin_->destroy_network("alloc-1", network->network));
}

INSTANTIATE_TEST_SUITE_P(Drivers, DockerTest, ::testing::Values(kDocker),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
