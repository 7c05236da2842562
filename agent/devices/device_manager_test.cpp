// SPDX-License-Identifier: Apache-2.0
// Several device plugins as one, with sources in memory.
#include "agent/devices/device_manager.h"

#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "base/clock.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

class FakeSource : public DeviceSource {
 public:
    explicit FakeSource(std::string name) : name_(std::move(name)) {}
    const std::string& name() const override { return name_; }
    std::vector<sdk::DeviceGroup> groups() const override {
        std::lock_guard lock(mutex_);
        return groups_;
    }
    std::vector<sdk::DeviceGroupStats> stats() const override {
        if (groups().empty()) return {};
        sdk::DeviceGroupStats group{"acme", "gpu", "x1", {}};
        for (const char* id : {"0", "1"}) {
            auto& stats = group.instances[id];
            stats.summary = {int64_t{256}, 1024.0, "MiB", "Memory used"};
            stats.stats.nested["ecc"].values["errors"].value = int64_t{0};
            stats.timestamp_unix_ns = 5;
        }
        return {group};
    }
    void reserve(std::vector<std::string> ids, Done<sdk::DeviceReservation> done) override {
        if (down-- > 0) return done(Error(Code::Unavailable, "not running", Retry::Yes));
        if (!error.empty()) return done(Error(Code::Internal, error));
        sdk::DeviceReservation out;
        out.env["IDS"] = ids.at(0);
        done(out);
    }
    void set(std::vector<sdk::DeviceGroup> groups) {
        std::lock_guard lock(mutex_);
        groups_ = std::move(groups);
    }
    std::atomic<int> down = 0;
    std::string error;

 private:
    std::string name_;
    mutable std::mutex mutex_;
    std::vector<sdk::DeviceGroup> groups_;
};

sdk::DeviceGroup acme() {
    sdk::DeviceGroup group;
    group.vendor = "acme";
    group.type = "gpu";
    group.name = "x1";
    group.devices = {{"0", true, "", "0000:03:00.0"}, {"1", false, "too hot", ""}};
    group.attributes["memory"] = {int64_t{1024}, "MiB"};
    group.attributes["clock"] = {1.5, "GHz"};
    group.attributes["ecc"] = {true, ""};
    group.attributes["model"] = {std::string("X1"), ""};
    return group;
}

model::AllocatedDeviceResource given(const std::string& name, const std::string& id) {
    model::AllocatedDeviceResource out;
    out.set_vendor("acme");
    out.set_type("gpu");
    out.set_name(name);
    out.add_device_ids(id);
    return out;
}

class DeviceManagerTest : public testing::Test {
 protected:
    std::shared_ptr<FakeSource> a_ = std::make_shared<FakeSource>("a"), b_ = std::make_shared<FakeSource>("b");
    DeviceManager manager_{[this] { return std::vector<std::shared_ptr<DeviceSource>>{a_, b_}; }, 200 * kMillisecond};
};

TEST_F(DeviceManagerTest, ANodeShowsEveryGroupOnce) {
    auto other = acme();
    other.vendor = "aaa";
    a_->set({acme()});
    b_->set({acme(), other});
    model::Node node;
    node.mutable_node_resources()->add_devices()->set_vendor("of before");
    manager_.apply(node);
    const auto& devices = node.node_resources().devices();
    ASSERT_EQ(devices.size(), 2);
    EXPECT_EQ(devices[0].vendor(), "aaa");
    const auto& group = devices[1];
    ASSERT_EQ(group.instances_size(), 2);
    EXPECT_TRUE(group.instances(0).healthy());
    EXPECT_EQ(group.instances(0).locality().pci_bus_id(), "0000:03:00.0");
    EXPECT_FALSE(group.instances(1).healthy());
    EXPECT_FALSE(group.instances(1).has_locality());
    EXPECT_EQ(group.instances(1).health_description(), "too hot");
    EXPECT_EQ(group.attributes().at("memory").int_(), 1024);
    EXPECT_EQ(group.attributes().at("memory").unit(), "MiB");
    EXPECT_EQ(group.attributes().at("clock").float_(), 1.5);
    EXPECT_TRUE(group.attributes().at("ecc").bool_());
    EXPECT_EQ(group.attributes().at("model").string(), "X1");
}

TEST_F(DeviceManagerTest, AReservationGoesToThePluginThatHasTheGroup) {
    b_->set({acme()});
    auto reserved = manager_.reserve(given("x1", "0"));
    ASSERT_TRUE(reserved) << reserved.error().message();
    EXPECT_EQ(reserved->env.at("IDS"), "0");
    b_->error = "bad id";
    auto failed = manager_.reserve(given("x1", "0"));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message(), "bad id");
}

TEST_F(DeviceManagerTest, APluginThatIsJustStartingIsWaitedFor) {
    b_->set({acme()});
    b_->down = 2;
    EXPECT_TRUE(manager_.reserve(given("x1", "0")));
    b_->down = 1'000'000;
    auto away = manager_.reserve(given("x1", "0"));
    ASSERT_FALSE(away);
    EXPECT_EQ(away.error().code(), Code::Unavailable);
    EXPECT_EQ(away.error().retry(), Retry::Yes);
    auto unknown = manager_.reserve(given("x2", "0"));
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code(), Code::NotFound);
}

TEST_F(DeviceManagerTest, ATaskSeesTheFiguresOfItsOwnDevices) {
    b_->set({acme()});
    const auto one = given("x1", "1"), other = given("x2", "1");
    const auto stats = manager_.stats({&one, &other});
    ASSERT_EQ(stats.size(), 1u);
    ASSERT_EQ(stats[0].instance_stats_size(), 1);
    const auto& figures = stats[0].instance_stats().at("1");
    EXPECT_EQ(figures.summary().int_numerator_val(), 256);
    EXPECT_EQ(figures.summary().int_denominator_val(), 1024);
    EXPECT_EQ(figures.summary().unit(), "MiB");
    EXPECT_EQ(figures.stats().nested().at("ecc").attributes().at("errors").int_numerator_val(), 0);
    EXPECT_EQ(figures.timestamp(), 5);
    EXPECT_TRUE(manager_.stats({}).empty());
}

}  // namespace
}  // namespace drover::agent
