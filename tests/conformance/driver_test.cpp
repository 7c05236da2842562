// SPDX-License-Identifier: Apache-2.0
// Every bundled driver against the protocol, as a host would use it: the real binary, a real handshake, real tasks. The
// processes' drivers are killed with -9 while their tasks run. Needs root; skipped without.
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

// --- what all drivers do, the mock included

class ProtocolTest : public DriverTest {};

TEST_P(ProtocolTest, ExplainsItselfToAPerson) {
    std::string output;
    auto status = PluginProcess::run_to_end(
        {.binary = binary_path(GetParam()), .env = {}, .stderr_path = dir_ + "/shell", .cookie = false}, &output);
    ASSERT_OK(status);
    EXPECT_EQ(*status, 1);
    EXPECT_EQ(output, "");
    EXPECT_NE(read_file(dir_ + "/shell").value().find(GetParam().name), std::string::npos);
    EXPECT_NE(read_file(dir_ + "/shell").value().find("plugin_dir"), std::string::npos);
}

TEST_P(ProtocolTest, IntroducesItself) {
    EXPECT_TRUE(starts_with(plugin_->handshake(), "1|2|unix|" + dir_ + "/drover-plugin-"));
    auto info = plugin_->info();
    ASSERT_OK(info);
    EXPECT_EQ(info->name, GetParam().name);
    EXPECT_EQ(info->type, sdk::PluginType::Driver);
    EXPECT_EQ(info->api_versions, std::vector<std::string>{"v0.1.0"});
    auto schema = plugin_->config_schema();
    ASSERT_OK(schema);
    EXPECT_TRUE(*schema && (*schema)->kind == sdk::HclSpec::Kind::Object);
    auto task_schema = plugin_->task_config_schema();
    ASSERT_OK(task_schema);
    EXPECT_EQ(task_schema->kind, sdk::HclSpec::Kind::Object);
    auto capabilities = plugin_->capabilities();
    ASSERT_OK(capabilities);
    EXPECT_TRUE(capabilities->send_signals);
    EXPECT_EQ(capabilities->fs_isolation, GetParam().isolated ? sdk::FsIsolation::Image : sdk::FsIsolation::None);
    auto fingerprint = plugin_->fingerprint();
    ASSERT_OK(fingerprint);
    EXPECT_EQ(fingerprint->health, sdk::Health::Healthy) << fingerprint->description;
    EXPECT_TRUE(plugin_->healthy().value_or(false));
    EXPECT_TRUE(plugin_->idle_streams_stay_open().value_or(false));
}

TEST_P(ProtocolTest, EndsWhenToldTo) {
    int64_t before = mono_now();
    auto status = plugin_->shutdown(10 * kSecond);
    ASSERT_OK(status);
    EXPECT_EQ(*status, 0);
    EXPECT_LT(mono_now() - before, 2 * kSecond);
    for (const std::string& entry : list_dir(dir_).value_or(std::vector<std::string>()))
        EXPECT_FALSE(starts_with(entry, "drover-plugin-")) << "the socket's directory is left: " << entry;
    plugin_.reset();
}

TEST_P(ProtocolTest, RefusesABadConfigNamingThePlace) {
    static const std::map<std::string, std::pair<const char*, const char*>> kKeys = {
        {"mock_driver", {"healthy", "a boolean"}}, {"raw_exec", {"enabled", "a boolean"}},
        {"exec", {"no_pivot_root", "a boolean"}},  {"java", {"no_pivot_root", "a boolean"}},
        {"qemu", {"image_paths", "a list"}},    {"docker", {"allow_privileged", "a boolean"}}};
    auto [key, expected] = kKeys.at(GetParam().name);
    Status set = plugin_->set_config(sdk::msgpack_encode(Value::Map{{key, 7}}), std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().message(),
              fmt::format("SetConfig failed: {}: expected {}, found a number (7)", key, expected));
    set = plugin_->set_config("\xc1", std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_NE(set.error().message().find("msgpack, byte 0"), std::string::npos);
    set = plugin_->set_config(sdk::msgpack_encode(Value::List{"no map"}), std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_NE(set.error().message().find("expected a map, found a list"), std::string::npos) << set.error().message();
}

TEST_P(ProtocolTest, RefusesAMessageBeyondAllBounds) {
    Status set = plugin_->set_config(std::string(100 << 20, 'x'), std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_EQ(set.error().code(), Code::ResourceExhausted) << set.error().message();
    EXPECT_TRUE(plugin_->healthy().value_or(false));
    EXPECT_TRUE(plugin_->info());
}

TEST_P(ProtocolTest, RefusesAHostOfAnotherKind) {
    for (const auto& [env, says] : std::vector<std::pair<sdk::StringMap, std::string>>{
             {{{"NOMAD_PLUGIN_MAGIC_COOKIE", "wrong"}}, "not meant to be run by hand"},
             {{{"PLUGIN_PROTOCOL_VERSIONS", "3,4"}}, "the host offers \"3,4\", this plugin speaks 2"}}) {
        std::string output;
        const std::string log = dir_ + "/refused";
        auto status = PluginProcess::run_to_end(
            {.binary = binary_path(GetParam()), .env = env, .stderr_path = log, .cookie = true}, &output);
        ASSERT_OK(status);
        EXPECT_EQ(*status, 1);
        EXPECT_EQ(output, "");
        EXPECT_NE(read_file(log).value().find(says), std::string::npos) << read_file(log).value();
    }
}

TEST_P(ProtocolTest, UnknownTasksAreNotFoundOrGone) {
    EXPECT_EQ(plugin_->wait_task("no/such/task", 10 * kSecond).error().code(), Code::NotFound);
    EXPECT_EQ(plugin_->inspect_task("no/such/task").error().code(), Code::NotFound);
    EXPECT_EQ(plugin_->signal_task("no/such/task", "SIGTERM").error().code(), Code::NotFound);
    EXPECT_TRUE(plugin_->stop_task("no/such/task", kSecond, ""));
    EXPECT_TRUE(plugin_->destroy_task("no/such/task", true));
    sdk::TaskHandle handle;
    handle.config.id = "no/such/task";
    EXPECT_EQ(plugin_->recover_task(handle).error().code(), Code::NotFound);
    EXPECT_EQ(plugin_->recover_task({}).error().code(), Code::InvalidArgument);
    EXPECT_EQ(plugin_->start_task({}).error().code(), Code::InvalidArgument);
    EXPECT_FALSE(plugin_->exec_task("no/such/task", {"/bin/true"}, 0));
    EXPECT_FALSE(plugin_->exec_task_streaming("no/such/task", {.command = {"/bin/true"}})->finish());
}

// --- the drivers of real tasks

// What only those say that start a program of the machine's; docker's own are in docker_test.cpp.
class ProcessTest : public DriverTest {};

TEST_P(DriverTest, RunsATaskToItsEnd) {
    sdk::TaskConfig config = shell("echo $GREETING; echo oops >&2; exit 3");
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    EXPECT_EQ(started->handle.config, config);
    EXPECT_EQ(started->handle.state, sdk::TaskState::Running);
    EXPECT_NE(started->handle.version, 0);
    auto exit = plugin_->wait_task(config.id, 20 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(*exit, (sdk::ExitResult{.exit_code = 3, .signal = 0, .oom_killed = false, .error = ""}));
    EXPECT_EQ(*plugin_->wait_task(config.id, 20 * kSecond), *exit);  // and again
    EXPECT_EQ(out(), "hello\n");
    EXPECT_EQ(read_file(err_path()).value(), "oops\n");
    auto status = plugin_->inspect_task(config.id);
    ASSERT_OK(status);
    EXPECT_EQ(status->state, sdk::TaskState::Exited);
    EXPECT_EQ(status->exit.exit_code, 3);
    EXPECT_GE(status->completed_unix_ns, status->started_unix_ns);
    ASSERT_OK(plugin_->destroy_task(config.id, true));
}

TEST_P(DriverTest, StopsBySignalThenByForce) {
    sdk::TaskConfig polite = shell("trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    ASSERT_OK(plugin_->start_task(polite));
    ASSERT_TRUE(says("up"));
    ASSERT_OK(plugin_->stop_task(polite.id, 20 * kSecond, "SIGTERM"));
    EXPECT_EQ(plugin_->wait_task(polite.id, 20 * kSecond)->exit_code, 7);

    sdk::TaskConfig deaf = shell("trap '' INT TERM; echo up; sleep 3600 & sleep 3600; wait");
    ASSERT_OK(plugin_->start_task(deaf));
    ASSERT_TRUE(says("up"));
    pid_t pid = task_pid(deaf.id);
    EXPECT_TRUE(alive(pid));
    ASSERT_OK(plugin_->stop_task(deaf.id, 100 * kMillisecond, ""));
    EXPECT_EQ(plugin_->wait_task(deaf.id, 20 * kSecond)->signal, SIGKILL);
    EXPECT_FALSE(alive(pid));
    // Again, and for one that has ended: fine.
    EXPECT_TRUE(plugin_->stop_task(deaf.id, 100 * kMillisecond, ""));
}

TEST_P(DriverTest, DeliversSignals) {
    sdk::TaskConfig config = shell("trap 'echo got usr1' USR1; echo up; while :; do sleep 0.05; done");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    ASSERT_OK(plugin_->signal_task(config.id, "SIGUSR1"));
    EXPECT_TRUE(says("got usr1"));
    Status bad = plugin_->signal_task(config.id, "SIGNONSENSE");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().message(), "\"SIGNONSENSE\" is no signal");
}

TEST_P(DriverTest, TasksOutliveTheirPlugin) {
    sdk::TaskConfig config = shell("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done");
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    ASSERT_TRUE(says("up"));
    pid_t pid = task_pid(config.id);
    EXPECT_NE(::getsid(pid), ::getsid(plugin_->pid()));

    relaunch_after_kill();
    EXPECT_EQ(plugin_->wait_task(config.id, 10 * kSecond).error().code(), Code::NotFound);
    ASSERT_OK(plugin_->recover_task(started->handle));
    EXPECT_EQ(task_pid(config.id), pid);
    ASSERT_OK(plugin_->recover_task(started->handle));  // known already

    // The agent died before it stored the handle: only the id is known.
    relaunch_after_kill();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(task_pid(config.id), pid);
    EXPECT_TRUE(alive(pid));

    // The same start again, as a host does whose plugin died during StartTask: it is the same task.
    relaunch_after_kill();
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_EQ(task_pid(config.id), pid);
    EXPECT_EQ(plugin_->start_task(config).error().code(), Code::AlreadyExists);

    ASSERT_OK(plugin_->stop_task(config.id, 20 * kSecond, "TERM"));
    EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 9);
}

TEST_P(DriverTest, ReportsAnEndThatNobodySaw) {
    sdk::TaskConfig config = shell("echo up; while [ ! -e " + std::string(GetParam().isolated ? "/local" : "local") +
                                   "/go ]; do sleep 0.02; done; exit 5");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    pid_t pid = task_pid(config.id);
    plugin_->kill();
    ASSERT_OK(write_file(alloc_ + "/web/local/go", ""));
    ASSERT_TRUE(eventually([&] { return !alive(pid); }));
    launch();
    sdk::TaskHandle bare;
    bare.config.id = config.id;
    ASSERT_OK(plugin_->recover_task(bare));
    EXPECT_EQ(*plugin_->wait_task(config.id, 20 * kSecond),
              (sdk::ExitResult{.exit_code = 5, .signal = 0, .oom_killed = false, .error = ""}));
}

TEST_P(DriverTest, DestroysByIdAlone) {
    sdk::TaskConfig config = shell("sleep 3600 & echo up; sleep 3600");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    pid_t pid = task_pid(config.id);
    Status refused = plugin_->destroy_task(config.id, false);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::FailedPrecondition);
    relaunch_after_kill();
    ASSERT_OK(plugin_->destroy_task(config.id, true));
    EXPECT_FALSE(alive(pid));
    EXPECT_EQ(plugin_->inspect_task(config.id).error().code(), Code::NotFound);
    ASSERT_OK(plugin_->destroy_task(config.id, true));  // again is fine
}

TEST_P(ProcessTest, RefusesWhatCannotStartAndLeavesNothing) {
    ASSERT_OK(write_file(alloc_ + "/web/local/plain", "x", 0644));
    std::string local = GetParam().isolated ? "/local" : alloc_ + "/web/local";
    struct Case {
        Value::Map config;
        std::string user;
        std::string message;
    };
    for (const Case& wrong : std::vector<Case>{
             {{}, "", "command: is required, but was not given"},
             {{{"command", ""}}, "", "command: must not be empty"},
             {{{"command", "/no/such/file"}}, "", "command \"/no/such/file\": "},
             {{{"command", "no-such-program"}}, "", "command \"no-such-program\": not found (looked in "},
             {{{"command", "plain"}}, "", "command \"" + local + "/plain\": is not executable (mode 0644)"},
             {{{"command", "/usr"}}, "", "command \"/usr\": is a directory"},
             {{{"command", "/bin/true"}, {"args", "x"}}, "", "args: expected a list, found text (\"x\")"},
             {{{"command", "/bin/true"}}, "no-such-user", "user \"no-such-user\" does not exist on this machine"},
             {{{"command", "/bin/true"}, {"work_dir", "tmp"}}, "", "work_dir: must be an absolute path, found \"tmp\""},
         }) {
        sdk::TaskConfig config = task(wrong.config);
        config.user = wrong.user;
        auto started = plugin_->start_task(config);
        ASSERT_FALSE(started) << wrong.message;
        EXPECT_EQ(started.error().message().substr(0, wrong.message.size()), wrong.message);
        EXPECT_EQ(started.error().retry(), Retry::No);
    }
    sdk::TaskConfig config = task({{"command", "/bin/true"}});
    config.stdout_path = dir_ + "/no/such/fifo";
    auto started = plugin_->start_task(config);
    ASSERT_FALSE(started);
    EXPECT_NE(started.error().message().find(config.stdout_path), std::string::npos) << started.error().message();
}

TEST_P(DriverTest, SamplesItsCgroup) {
    sdk::TaskConfig config = shell("echo up; while :; do :; done");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    auto stats = plugin_->task_stats(config.id, 50 * kMillisecond, 3);
    ASSERT_OK(stats);
    for (const sdk::TaskStats& sample : *stats) {
        EXPECT_EQ(sample.id, config.id);
        EXPECT_GT(sample.timestamp_unix_ns, 0);
        EXPECT_TRUE(sample.total.memory.usage_bytes.value_or(0) > 0);
    }
    EXPECT_GT(stats->back().total.cpu.percent.value_or(0), 1.0);
    EXPECT_EQ(plugin_->task_stats("no/such/task", kSecond, 1).error().code(), Code::NotFound);
}

// Hundreds of blocked WaitTask calls must not cost a thread each.
TEST_P(DriverTest, WaitingCostsNoThreads) {
    sdk::TaskConfig config = shell("echo up; while [ ! -e " + std::string(GetParam().isolated ? "/local" : "local") +
                                   "/go ]; do sleep 0.02; done");
    ASSERT_OK(plugin_->start_task(config));
    ASSERT_TRUE(says("up"));
    size_t threads = 0;
    auto results = plugin_->wait_many(std::vector<std::string>(400, config.id), 30 * kSecond, [&] {
        threads = list_dir(fmt::format("/proc/{}/task", plugin_->pid()))->size();
        EXPECT_TRUE(write_file(alloc_ + "/web/local/go", ""));
    });
    ASSERT_OK(results);
    EXPECT_EQ(results->size(), 400u);
    EXPECT_LT(threads, 40u);
}

INSTANTIATE_TEST_SUITE_P(Drivers, ProtocolTest, ::testing::Values(kMock, kRawExec, kExec, kDocker, kJava, kQemu),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Drivers, ProcessTest, ::testing::Values(kRawExec, kExec),
                         [](const auto& info) { return info.param.name; });
INSTANTIATE_TEST_SUITE_P(Drivers, DriverTest, ::testing::Values(kRawExec, kExec, kDocker),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
