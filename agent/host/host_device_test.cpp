// SPDX-License-Identifier: Apache-2.0
// Device plugins under the host, with the mock device plugin's process: what they say of their devices, through their
// death, hang, upgrade and refusal. A task holds nothing of such a plugin.
#include <filesystem>

#include "agent/host/host_fixture.h"

namespace drover::agent {
namespace {

using Map = google::protobuf::Map<std::string, model::Value>;

class DeviceTest : public HostTest {
 protected:
    void SetUp() override {
        HostTest::SetUp();
        file_ = dir_ + "/plugins/drover-device-mock";
        put_mock();
    }
    void put_mock() {
        const std::string from = std::string(std::getenv("DROVER_BUILD_DIR")) +
                                 "/lib/drover/test-plugins/drover-device-mock";
        std::filesystem::copy_file(from, file_ + ".new", std::filesystem::copy_options::overwrite_existing);
        ASSERT_EQ(::rename((file_ + ".new").c_str(), file_.c_str()), 0);
    }
    // One group mock/gpu/a of d0 and d1, and whatever else `texts` say.
    void start_devices(const std::map<std::string, std::string>& texts = {}, HostLimits limits = quick(),
                       bool none = false) {
        auto config = std::make_shared<model::MapValue>(*map_of(texts));
        if (none) (*config->mutable_fields())["none"].set_bool_value(true);
        auto& group =
            *(*config->mutable_fields())["group"].mutable_list_value()->add_values()->mutable_map_value();
        Map& fields = *group.mutable_fields();
        fields["name"].set_string_value("a");
        for (const char* id : {"d0", "d1"})
            fields["ids"].mutable_list_value()->add_values()->set_string_value(id);
        fields["pci_bus_ids"].mutable_list_value()->add_values()->set_string_value("0000:03:00.0");
        (*fields["megabytes"].mutable_map_value()->mutable_fields())["memory"].set_int_value(1024);
        config_ = config;
        start({{"mock", {}, config}}, limits);
    }
    std::vector<sdk::DeviceGroup> groups() {
        const auto sources = host_->devices();
        return sources.empty() ? std::vector<sdk::DeviceGroup>() : sources[0]->groups();
    }
    int healthy() {
        int count = 0;
        for (const auto& group : groups()) {
            for (const auto& device : group.devices) count += device.healthy;
        }
        return count;
    }
    Result<sdk::DeviceReservation> reserve(std::vector<std::string> ids) {
        Answer<sdk::DeviceReservation> answer;
        host_->devices().at(0)->reserve(std::move(ids), answer.done());
        return answer.get();
    }

    std::string file_;
    std::shared_ptr<const model::MapValue> config_;
};

TEST_F(DeviceTest, TheyAreFingerprintedReservedAndMeasured) {
    start_devices();
    Answer<void> settled;
    host_->when_settled(kMinute, [done = settled.done()] { done(Status()); });
    ASSERT_TRUE(settled.get());
    ASSERT_EQ(healthy(), 2) << host_->plugin_status_json();  // registration waits for them
    const auto group = groups().at(0);
    EXPECT_EQ(group.vendor + "/" + group.type + "/" + group.name, "mock/gpu/a");
    EXPECT_EQ(group.devices[0].pci_bus_id, "0000:03:00.0");
    EXPECT_EQ(group.attributes.at("memory").text(), "1024MiB");
    EXPECT_EQ(only().type, "device");
    EXPECT_EQ(only().name, "mock_device");

    auto reserved = reserve({"d1", "d0"});
    ASSERT_TRUE(reserved) << reserved.error().message();
    EXPECT_EQ(reserved->env.at("MOCK_DEVICES"), "d1,d0");
    auto unknown = reserve({"d7"});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code(), Code::NotFound);
    EXPECT_NE(unknown.error().message().find("d7"), std::string::npos);
    ASSERT_TRUE(eventually([&] { return host_->devices()[0]->stats().size() == 1; }));
    EXPECT_EQ(host_->devices()[0]->stats()[0].instances.count("d0"), 1u);
    auto none = host_->driver("mock_device");  // it is no driver
    ASSERT_FALSE(none);
}

TEST_F(DeviceTest, HealthAndPresenceAreFollowed) {
    std::atomic<int> changes = 0;
    start_devices({{"state_file", dir_ + "/state"}});
    auto subscription = host_->on_device_change([&] { ++changes; });
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    ASSERT_TRUE(write_file(dir_ + "/state", "d0 too hot\n", 0644));
    ASSERT_TRUE(eventually([&] { return healthy() == 1; }));
    EXPECT_EQ(groups()[0].devices[0].health_description, "too hot");
    ASSERT_TRUE(write_file(dir_ + "/state", "-d0\n", 0644));
    ASSERT_TRUE(eventually([&] { return groups()[0].devices.size() == 1; }));
    EXPECT_TRUE(eventually([&] { return changes >= 4; }));
}

TEST_F(DeviceTest, WhileItIsAwayItsDevicesAreUnhealthy) {
    start_devices();
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    const int first = only().pid;
    ASSERT_EQ(::kill(first, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return only().pid != 0 && only().pid != first && healthy() == 2; }));
    // Longer than a moment: a file that does not start.
    ASSERT_TRUE(write_file(file_ + ".new", "#!/bin/sh\nexit 3\n", 0755));
    ASSERT_EQ(::rename((file_ + ".new").c_str(), file_.c_str()), 0);
    ASSERT_EQ(::kill(only().pid, SIGKILL), 0);
    ASSERT_TRUE(eventually([&] { return healthy() == 0; }));
    EXPECT_EQ(groups().at(0).devices.size(), 2u);  // known all the same
    EXPECT_NE(groups()[0].devices[0].health_description.find("plugin "), std::string::npos);
    auto refused = reserve({"d0"});
    ASSERT_FALSE(refused);
    EXPECT_TRUE(plugin_down(refused.error()));
    EXPECT_EQ(refused.error().retry(), Retry::Yes);
    put_mock();
    Answer<void> restarted;
    host_->restart("mock_device", restarted.done());
    auto status = restarted.get();
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_TRUE(eventually([&] { return healthy() == 2; }));
}

TEST_F(DeviceTest, OneWithoutDevicesIsShutDownUntilAskedAgain) {
    start_devices({}, quick(), true);
    ASSERT_TRUE(reaches(PluginState::Stopped)) << host_->plugin_status_json();
    EXPECT_NE(only().reason.find("there are no mock devices on this machine"), std::string::npos) << only().reason;
    EXPECT_EQ(only().pid, 0);
    EXPECT_EQ(only().launches, 1u);
    EXPECT_TRUE(groups().empty());
    host_->reload("", {{"mock", {}, map_of({})}});
    ASSERT_TRUE(reaches(PluginState::Healthy));
}

TEST_F(DeviceTest, AFingerprintThatFailsIsTriedAgain) {
    HostLimits limits = quick();
    limits.fingerprint_retry_min_ns = 20 * kMillisecond;
    start_devices({{"fingerprint_error", "bus error"}}, limits);
    Answer<void> settled;  // nobody waits for it
    host_->when_settled(kMinute, [done = settled.done()] { done(Status()); });
    ASSERT_TRUE(settled.get());
    EXPECT_EQ(only().state, PluginState::Healthy);
    EXPECT_TRUE(groups().empty());
}

TEST_F(DeviceTest, DeathAndSilenceAtEachCallHurtNobody) {
    HostLimits limits = quick();
    limits.call_ns = 300 * kMillisecond;
    start_devices({{"crash_at", "Reserve"}}, limits);
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    const int first = only().pid;
    auto crashed = reserve({"d0"});
    ASSERT_FALSE(crashed);
    EXPECT_TRUE(plugin_lost(crashed.error())) << crashed.error().message();
    ASSERT_TRUE(eventually([&] { return only().pid != 0 && only().pid != first && healthy() == 2; }));
    host_->stop(StopKind::Dev);

    start_devices({{"hang_at", "Reserve"}}, limits);
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    auto hung = reserve({"d0"});
    ASSERT_FALSE(hung);
    EXPECT_NE(hung.error().message().find("did not answer"), std::string::npos) << hung.error().message();
    EXPECT_EQ(only().state, PluginState::Healthy);
    host_->stop(StopKind::Dev);

    for (const char* rpc : {"SetConfig", "Fingerprint", "Stats"}) {
        start_devices({{"crash_at", rpc}}, limits);
        EXPECT_TRUE(eventually([&] { return only().launches >= 3; })) << rpc << host_->plugin_status_json();
        const auto reason = only().reason;  // whichever of the two is heard of first
        EXPECT_TRUE(reason.find("killed by signal 9") != std::string::npos ||
                    reason.find("plugin was lost during") != std::string::npos)
            << rpc << ": " << reason;
        host_->stop(StopKind::Dev);
    }
}

TEST_F(DeviceTest, ANewHostReattaches) {
    start_devices();
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    const int pid = only().pid;
    host_->stop(StopKind::Orderly);
    host_.reset();
    start({{"mock", {}, config_}});
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    EXPECT_EQ(only().pid, pid);
    EXPECT_TRUE(only().reattached);
    EXPECT_TRUE(reserve({"d0"}));
}

TEST_F(DeviceTest, OneThatIsRemovedHasNoDevicesAnyMore) {
    start_devices();
    ASSERT_TRUE(eventually([&] { return healthy() == 2; }));
    ASSERT_EQ(::unlink(file_.c_str()), 0);
    host_->reload("", {});
    EXPECT_TRUE(eventually([&] { return groups().empty(); }));
}

}  // namespace
}  // namespace drover::agent
