// SPDX-License-Identifier: Apache-2.0
// The example plugins, built outside of the tree, under a host that is not drover: it does not say where state goes,
// starts instances only to ask them, and gives handles back without the task's config. Run by tests/e2e/sdk_test.py
// with DROVER_EXAMPLES naming where they were built; needs root.
#include "plugin-sdk/testing/device_calls.h"
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

class ExamplePlugins : public ::testing::Test {
 protected:
    void SetUp() override {
        const char* built = std::getenv("DROVER_EXAMPLES");
        ASSERT_NE(built, nullptr) << "DROVER_EXAMPLES is not set";
        built_ = built;
        char name[] = "/tmp/drover-examples-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        cgroup_ = "drover-test-" + short_id(new_uuid());
        for (const char* sub : {"/alloc/alloc/logs", "/alloc/web/local"}) ASSERT_OK(make_dirs(dir_ + sub, 0755));
    }
    void TearDown() override {
        plugin_.reset();
        if (HasFailure()) fmt::print(stderr, "plugin's log:\n{}", read_file(dir_ + "/stderr").value_or(""));
        auto group = cgroup::Cgroup::open(cgroup_);
        if (group && group->exists()) EXPECT_TRUE(group->remove(5 * kSecond));
        EXPECT_TRUE(remove_tree(dir_));
    }
    void launch(const std::string& binary, Value::Map config) {
        plugin_.reset();
        auto plugin = PluginProcess::launch(
            {.binary = built_ + "/" + binary,
             // The second is drover's, and is here only to keep tests apart.
             .env = {{"PLUGIN_UNIX_SOCKET_DIR", dir_}, {"DROVER_CGROUP_PARENT", cgroup_}},
             .stderr_path = dir_ + "/stderr",
             .cookie = true});
        ASSERT_TRUE(plugin) << plugin.error().message();
        plugin_ = std::move(*plugin);
        ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(std::move(config)), std::nullopt));
    }
    void launch_script() { launch("drover-driver-script", {{"state_dir", dir_ + "/state"}}); }
    sdk::TaskConfig task(Value::Map config) {
        sdk::TaskConfig task;
        task.id = "alloc/web/" + short_id(new_uuid());
        task.name = "web";
        task.alloc_dir = dir_ + "/alloc";
        task.env = {{"GREETING", "hello"}, {"PATH", "/usr/bin:/bin"}};
        task.stdout_path = dir_ + "/out";
        task.stderr_path = dir_ + "/err";
        task.resources.linux_resources.memory_limit_bytes = 64 << 20;
        task.msgpack_driver_config = sdk::msgpack_encode(std::move(config));
        EXPECT_TRUE(write_file(task.stdout_path, "", 0600));
        EXPECT_TRUE(write_file(task.stderr_path, "", 0600));
        return task;
    }
    bool says(const std::string& text) const {
        return eventually([&] { return read_file(dir_ + "/out").value_or("").find(text) != std::string::npos; });
    }
    pid_t pid_of(const std::string& id) {
        auto status = plugin_->inspect_task(id);
        return status ? static_cast<pid_t>(parse_int(status->attributes["pid"]).value_or(0)) : 0;
    }

    std::string built_, dir_, cgroup_;
    std::unique_ptr<PluginProcess> plugin_;
};

TEST_F(ExamplePlugins, AScriptLivesThroughItsPlugin) {
    launch_script();
    EXPECT_EQ(plugin_->info()->name, "script");
    EXPECT_EQ(plugin_->fingerprint()->health, sdk::Health::Healthy);
    EXPECT_FALSE(path_exists(dir_ + "/state")) << "an instance that was only asked has touched the state directory";
    sdk::TaskConfig config = task({{"script", "trap 'exit $1' TERM; echo $GREETING up; while :; do sleep 0.02; done"},
                                   {"args", Value::List{"9"}}});
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    ASSERT_TRUE(says("hello up"));
    const pid_t pid = pid_of(config.id);
    ASSERT_TRUE(alive(pid));
    auto stats = plugin_->task_stats(config.id, 50 * kMillisecond, 2);
    ASSERT_OK(stats);
    EXPECT_GT(stats->back().total.memory.usage_bytes.value_or(0), 0u);
    auto session = plugin_->exec_task_streaming(config.id, {.command = {"sh", "-c", "echo $GREETING; exit 7"}});
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 7);
    EXPECT_EQ(session->out(), "hello\n");

    plugin_->kill();
    launch_script();
    sdk::TaskHandle stored = started->handle;
    stored.config.msgpack_driver_config.clear();  // as a Nomad agent gives it back
    ASSERT_OK(plugin_->recover_task(stored));
    EXPECT_EQ(pid_of(config.id), pid);
    ASSERT_OK(plugin_->stop_task(config.id, 20 * kSecond, "SIGTERM"));
    EXPECT_EQ(plugin_->wait_task(config.id, 20 * kSecond)->exit_code, 9);
    ASSERT_OK(plugin_->destroy_task(config.id, true));
    for (const std::string& entry : list_dir(dir_ + "/state").value_or(std::vector<std::string>{"no state directory"}))
        EXPECT_TRUE(starts_with(entry, ".")) << "left: " << entry;
}

TEST_F(ExamplePlugins, AScriptThatCannotBeStartedSaysWhy) {
    launch_script();
    EXPECT_EQ(plugin_->start_task(task({})).error().message(), "script: is required, but was not given");
    EXPECT_EQ(plugin_->start_task(task({{"script", "true"}, {"shell", "/bin/nosh"}})).error().message(),
              "shell: \"/bin/nosh\" is not among the shells of this node");
}

TEST_F(ExamplePlugins, SlotsAreGivenOut) {
    const Value::Map config{{"kind", Value::List{Value::Map{{"type", "null"},
                                                            {"paths", Value::List{"/dev/null", "/dev/none"}},
                                                            {"attributes", Value::Map{{"model", "n"}}}}}}};
    launch("drover-device-slots", config);
    auto groups = sdk::testing::DeviceFingerprint(plugin_->channel()).next();
    ASSERT_OK(groups);
    ASSERT_EQ(groups->size(), 1u);
    const sdk::DeviceGroup& group = groups->front();
    EXPECT_EQ(group.vendor + "/" + group.type, "slots/null");
    ASSERT_EQ(group.devices.size(), 2u);
    EXPECT_TRUE(group.devices[0].healthy);
    EXPECT_EQ(group.devices[1].health_description, "/dev/none is not there");
    auto reservation = sdk::testing::reserve(plugin_->channel(), {"null"});
    ASSERT_OK(reservation);
    EXPECT_EQ(reservation->env["SLOTS_PATHS"], "/dev/null");
    EXPECT_EQ(reservation->devices,
              (std::vector<sdk::DeviceNode>{
                  {.task_path = "/dev/null", .host_path = "/dev/null", .cgroup_permissions = "rw"}}));
    EXPECT_EQ(sdk::testing::reserve(plugin_->channel(), {"zero"}).error().message(), "there is no device \"zero\"");
    auto stats = sdk::testing::device_stats(plugin_->channel(), 20 * kMillisecond, 2);
    ASSERT_OK(stats);
    EXPECT_EQ(stats->back()[0].instances["null"].summary.value, decltype(sdk::StatValue::value)(true));
    Value::Map bad{{"kind", Value::List{Value::Map{{"type", "x"}, {"paths", Value::List{"/etc/passwd"}}}}}};
    EXPECT_EQ(plugin_->set_config(sdk::msgpack_encode(bad), std::nullopt).error().message(),
              "SetConfig failed: kind x: \"/etc/passwd\" is not below /dev");
}

}  // namespace
}  // namespace drover::conformance
