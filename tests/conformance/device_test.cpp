// SPDX-License-Identifier: Apache-2.0
// Device plugins against the protocol, as a host sees it, with the mock: what comes at once and what when it changes,
// reservations, stats, errors, and a plugin that is killed.
#include "tests/conformance/driver_fixture.h"

#include "plugin-sdk/testing/device_calls.h"

namespace drover::conformance {
namespace {

using sdk::testing::DeviceFingerprint;

class DeviceTest : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-dev-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        binary_ = binary_path({"mock_device", "test-plugins/drover-device-mock", {}, false});
    }
    void TearDown() override {
        plugin_.reset();
        EXPECT_EQ(list_dir(dir_ + "/sockets").value_or(std::vector<std::string>()), std::vector<std::string>());
        if (HasFailure()) fmt::print(stderr, "plugin's log:\n{}", read_file(dir_ + "/stderr").value_or(""));
        EXPECT_TRUE(remove_tree(dir_));
    }
    void launch(Value::Map config) {
        plugin_.reset();
        ASSERT_OK(make_dirs(dir_ + "/sockets", 0700));
        auto plugin = PluginProcess::launch({.binary = binary_,
                                             .env = {{"PLUGIN_UNIX_SOCKET_DIR", dir_ + "/sockets"}},
                                             .stderr_path = dir_ + "/stderr",
                                             .cookie = true});
        ASSERT_TRUE(plugin) << plugin.error().message();
        plugin_ = std::move(*plugin);
        ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(std::move(config)), std::nullopt));
    }
    Value::Map two_gpus() const {
        return {{"group", Value::List{Value::Map{{"ids", Value::List{"a", "b"}},
                                                 {"pci_bus_ids", Value::List{"0000:03:00.0"}},
                                                 {"megabytes", Value::Map{{"memory", 81559}}},
                                                 {"env", Value::Map{{"EXTRA", "1"}}},
                                                 {"mounts", Value::Map{{"/lib/mock", "/etc"}}},
                                                 {"dev_nodes", Value::Map{{"/dev/mock", "/dev/null"}}}}}},
                {"state_file", state_file()}};
    }
    std::string state_file() const { return dir_ + "/state"; }

    std::string dir_, binary_;
    std::unique_ptr<PluginProcess> plugin_;
};

TEST_F(DeviceTest, IntroducesItself) {
    launch({});
    auto info = plugin_->info();
    ASSERT_OK(info);
    EXPECT_EQ(info->type, sdk::PluginType::Device);
    EXPECT_EQ(info->name, "mock_device");
    EXPECT_TRUE(plugin_->healthy().value_or(false));
    auto schema = plugin_->config_schema();
    ASSERT_OK(schema);
    EXPECT_TRUE(schema->has_value());
    // Not a driver: whoever asks for one is told so by the protocol itself.
    EXPECT_EQ(plugin_->capabilities().error().code(), Code::Unimplemented);
    auto status = plugin_->shutdown(10 * kSecond);
    ASSERT_OK(status);
    EXPECT_EQ(*status, 0);
    std::string output;
    status = PluginProcess::run_to_end({.binary = binary_, .env = {}, .stderr_path = dir_ + "/shell", .cookie = false},
                                       &output);
    ASSERT_OK(status);
    EXPECT_EQ(*status, 1);
    EXPECT_NE(read_file(dir_ + "/shell").value().find("device plugin \"mock_device\""), std::string::npos);
}

TEST_F(DeviceTest, SendsTheSetAtOnceAndWhatChanges) {
    launch(two_gpus());
    DeviceFingerprint stream(plugin_->channel());
    auto groups = stream.next();
    ASSERT_OK(groups);
    ASSERT_EQ(groups->size(), 1u);
    EXPECT_EQ((*groups)[0].attributes["memory"], (sdk::Attribute{int64_t{81559}, "MiB"}));
    EXPECT_EQ((*groups)[0].devices[0].pci_bus_id, "0000:03:00.0");
    EXPECT_TRUE((*groups)[0].devices[0].healthy && (*groups)[0].devices[1].healthy);
    ASSERT_OK(write_file_durable(state_file(), "a too hot\n", 0600));
    groups = stream.next();
    ASSERT_OK(groups);
    EXPECT_FALSE((*groups)[0].devices[0].healthy);
    EXPECT_EQ((*groups)[0].devices[0].health_description, "too hot");
    ASSERT_OK(write_file_durable(state_file(), "-a\n", 0600));
    groups = stream.next();
    ASSERT_OK(groups);
    ASSERT_EQ((*groups)[0].devices.size(), 1u);
    EXPECT_EQ((*groups)[0].devices[0].id, "b");
}

TEST_F(DeviceTest, EndsOfTheStreamSayWhy) {
    Value::Map config = two_gpus();
    config["none"] = true;
    launch(config);
    EXPECT_EQ(DeviceFingerprint(plugin_->channel()).next().error().code(), Code::NotFound);
    config["none"] = false;
    config["fingerprint_error"] = "the library hangs";
    ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(config), std::nullopt));
    EXPECT_EQ(DeviceFingerprint(plugin_->channel()).next().error().message(), "the library hangs");
    config = {{"group", Value::List{Value::Map{{"ids", Value::List{"a", "a"}}}}}};
    ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(config), std::nullopt));
    EXPECT_EQ(DeviceFingerprint(plugin_->channel()).next().error().message(),
              "device group mock/gpu/mock: there are two devices \"a\"");
}

TEST_F(DeviceTest, ReservesExactlyWhatIsAsked) {
    launch(two_gpus());
    for (int life = 0; life < 2; ++life) {
        auto reservation = sdk::testing::reserve(plugin_->channel(), {"b", "a"});
        ASSERT_OK(reservation);
        EXPECT_EQ(reservation->env, (sdk::StringMap{{"EXTRA", "1"}, {"MOCK_DEVICES", "b,a"}}));
        ASSERT_EQ(reservation->mounts.size(), 1u);
        EXPECT_EQ(reservation->mounts[0].host_path, "/etc");
        EXPECT_TRUE(reservation->mounts[0].read_only);
        ASSERT_EQ(reservation->devices.size(), 1u);
        EXPECT_EQ(reservation->devices[0].cgroup_permissions, "rw");
        plugin_->kill();  // nothing of it was in the process
        launch(two_gpus());
    }
    EXPECT_EQ(sdk::testing::reserve(plugin_->channel(), {"c"}).error().message(), "there is no device \"c\"");
    EXPECT_EQ(sdk::testing::reserve(plugin_->channel(), {}).error().code(), Code::InvalidArgument);
    Value::Map config = two_gpus();
    config["reserve_error"] = "busy";
    ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(config), std::nullopt));
    EXPECT_EQ(sdk::testing::reserve(plugin_->channel(), {"a"}).error().message(), "busy");
}

TEST_F(DeviceTest, SamplesStats) {
    launch(two_gpus());
    auto samples = sdk::testing::device_stats(plugin_->channel(), 20 * kMillisecond, 3);
    ASSERT_OK(samples);
    for (auto& groups : *samples) {
        sdk::DeviceStats& stats = groups.at(0).instances.at("a");
        EXPECT_GT(stats.timestamp_unix_ns, 0);
        EXPECT_EQ(stats.summary.value, (decltype(stats.summary.value)(int64_t{256})));
        EXPECT_EQ(stats.summary.denominator, 1024.0);
        EXPECT_EQ(stats.stats.nested["ecc"].values.count("errors"), 1u);
    }
    Value::Map config = two_gpus();
    config["stats_error"] = "lost contact";
    ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(config), std::nullopt));
    EXPECT_EQ(sdk::testing::device_stats(plugin_->channel(), 0, 1).error().message(), "lost contact");
}

TEST_F(DeviceTest, DiesWhereItIsTold) {
    Value::Map config = two_gpus();
    config["crash_at"] = "Reserve";
    launch(config);
    ASSERT_OK(DeviceFingerprint(plugin_->channel()).next());
    EXPECT_EQ(sdk::testing::reserve(plugin_->channel(), {"a"}).error().code(), Code::Unavailable);
}

}  // namespace
}  // namespace drover::conformance
