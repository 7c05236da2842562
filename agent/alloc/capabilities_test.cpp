// SPDX-License-Identifier: Apache-2.0
// What a driver says of itself, and the devices that a task was given: acted on, or refused before anything
// starts.
#include <gtest/gtest.h>

#include "agent/alloc/test_agent.h"
#include "base/files.h"
#include "base/log.h"

namespace drover::agent {
namespace {

class CapabilitiesTest : public testing::Test {
 protected:
    void SetUp() override {
        log::set_level(log::Level::Off);
        dir_ = fmt::format("/tmp/drover-capabilities-{}", new_uuid());
        ASSERT_TRUE(make_dirs(dir_ + "/alloc", 0711));
        ASSERT_TRUE(make_dirs(dir_ + "/tasks", 0700));
    }
    void TearDown() override {
        agent_.reset();
        ASSERT_TRUE(remove_tree(dir_));
    }
    void run() {
        agent_ = std::make_unique<TestAgent>(dir_, driver_, CollectRules{50, 101, 101}, nullptr);
        agent_->registry->apply({{alloc_.id(), alloc_.alloc_modify_index()}}, {alloc_});
    }
    void expect_refused(const std::string& text) {
        run();
        ASSERT_TRUE(agent_->wait_status(alloc_.id(), "failed")) << text;
        std::string all;
        const auto update = agent_->last(alloc_.id());
        for (const auto& event : update.task_states().at("server").events())
            all += event.display_message() + "\n";
        EXPECT_NE(all.find(text), std::string::npos) << all;
        EXPECT_TRUE(driver_->started.empty());
    }
    sdk::TaskConfig started() {
        run();
        EXPECT_TRUE(agent_->wait_status(alloc_.id(), "running"));
        std::lock_guard lock(driver_->mutex);
        return driver_->tasks.begin()->second.config;
    }
    void give_devices() {
        auto& device = *(*alloc_.mutable_allocated_resources()->mutable_tasks())["server"].add_devices();
        device.set_vendor("acme");
        device.set_type("gpu");
        device.set_name("x1");
        device.add_device_ids("0");
        device.add_device_ids("1");
    }

    static sdk::Mount mount() {
        sdk::Mount mount;
        mount.task_path = "/usr/gpu";
        mount.host_path = "/opt/gpu";
        return mount;
    }

    std::string dir_;
    model::Allocation alloc_ = make_alloc();
    std::shared_ptr<FakeDriver> driver_ = std::make_shared<FakeDriver>();
    std::unique_ptr<TestAgent> agent_;
};

TEST_F(CapabilitiesTest, AChrootIsRefused) {
    driver_->abilities.fs_isolation = sdk::FsIsolation::Chroot;
    expect_refused("wants its tasks' directories as a chroot, which this agent does not make");
}
TEST_F(CapabilitiesTest, UnveiledPathsAreRefused) {
    driver_->abilities.fs_isolation = sdk::FsIsolation::Unveil;
    expect_refused("wants its tasks' directories as unveiled paths");
}
TEST_F(CapabilitiesTest, AUserIsNotMade) {
    driver_->abilities.dynamic_workload_users = true;
    expect_refused("wants a user made for the task, which this agent does not do: set user");
}
TEST_F(CapabilitiesTest, AUserOfTheJobsOwnIsFine) {
    driver_->abilities.dynamic_workload_users = true;
    alloc_.mutable_job()->mutable_task_groups(0)->mutable_tasks(0)->set_user("nobody");
    EXPECT_EQ(started().user, "nobody");
}
TEST_F(CapabilitiesTest, AnImageHasPathsOfItsOwn) {
    driver_->abilities.fs_isolation = sdk::FsIsolation::Image;
    const auto env = started().env;
    EXPECT_EQ(env.at("NOMAD_ALLOC_DIR"), "/alloc");
    EXPECT_EQ(env.at("NOMAD_TASK_DIR"), "/local");
    EXPECT_EQ(env.count("PATH"), 0u);
}
TEST_F(CapabilitiesTest, DevicesGoIntoTheConfig) {
    give_devices();
    std::vector<std::string> asked;
    driver_->reserve = [&](const model::AllocatedDeviceResource& given) -> Result<sdk::DeviceReservation> {
        asked.assign(given.device_ids().begin(), given.device_ids().end());
        sdk::DeviceReservation out;
        out.env["GPUS"] = "0,1";
        out.mounts.push_back(mount());
        out.devices.push_back({"/dev/gpu0", "/dev/gpu0", "rw"});
        return out;
    };
    const auto config = started();
    EXPECT_EQ(asked, (std::vector<std::string>{"0", "1"}));
    EXPECT_EQ(config.env.at("GPUS"), "0,1");
    EXPECT_EQ(config.device_env.at("GPUS"), "0,1");
    ASSERT_EQ(config.mounts.size(), 1u);
    EXPECT_EQ(config.mounts[0].host_path, "/opt/gpu");
    ASSERT_EQ(config.devices.size(), 1u);
    EXPECT_EQ(config.devices[0].task_path, "/dev/gpu0");
}
TEST_F(CapabilitiesTest, ADevicePluginsRefusalIsTheTasks) {
    give_devices();
    driver_->reserve = [](const auto&) -> Result<sdk::DeviceReservation> {
        return make_error(Code::Internal, "busy");
    };
    expect_refused("failed to reserve device acme/gpu/x1 [0, 1]: busy");
}
TEST_F(CapabilitiesTest, MountsAreForDriversThatHaveThem) {
    give_devices();
    driver_->abilities.accepts_mounts = false;
    driver_->reserve = [](const auto&) -> Result<sdk::DeviceReservation> {
        sdk::DeviceReservation out;
        out.mounts.push_back(mount());
        return out;
    };
    expect_refused("it needs mounts, which driver \"fake\" does not support");
}

}  // namespace
}  // namespace drover::agent
