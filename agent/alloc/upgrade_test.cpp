// SPDX-License-Identifier: Apache-2.0
// A driver whose executable was replaced while tasks ran: they are taken over, or, when the new one cannot,
// left alone with the reason shown until one that can is there. Method: as in alloc_registry_test.cpp.
#include <gtest/gtest.h>

#include "agent/alloc/test_agent.h"
#include "base/files.h"
#include "base/log.h"

namespace drover::agent {
namespace {

class UpgradeTest : public testing::Test {
 protected:
    void SetUp() override {
        log::set_level(log::Level::Off);
        dir_ = fmt::format("/tmp/drover-upgrade-{}", new_uuid());
        ASSERT_TRUE(make_dirs(dir_ + "/alloc", 0711));
        ASSERT_TRUE(make_dirs(dir_ + "/tasks", 0700));
        driver_ = std::make_shared<FakeDriver>();
        boot();
        agent_->registry->apply({{alloc_.id(), alloc_.alloc_modify_index()}}, {alloc_});
        ASSERT_TRUE(agent_->wait_status(alloc_.id(), "running"));
    }
    void TearDown() override {
        agent_.reset();
        ASSERT_TRUE(remove_tree(dir_));
    }
    void boot() {
        agent_.reset();
        agent_ = std::make_unique<TestAgent>(dir_, driver_, CollectRules{50, 101, 101}, nullptr);
    }
    void replace(const std::string& build, std::optional<Error> recover_error) {
        driver_->die();
        {
            std::lock_guard lock(driver_->mutex);
            driver_->build = build;
            driver_->recover_error = std::move(recover_error);
        }
        driver_->come_back();
    }
    bool shows(const std::string& text) {
        return agent_->wait(alloc_.id(), [&](const model::Allocation& update) {
            const auto task = update.task_states().find("server");
            if (task == update.task_states().end()) return false;
            return std::any_of(
                task->second.events().begin(), task->second.events().end(),
                [&](const auto& e) { return e.display_message().find(text) != std::string::npos; });
        });
    }
    bool recovered(size_t times) {
        return driver_->wait_until([&] { return driver_->recovered.size() == times; });
    }
    // Still the one instance, and nobody has tried to end it.
    void expect_untouched() {
        std::lock_guard lock(driver_->mutex);
        EXPECT_EQ(driver_->started.size(), 1u);
        EXPECT_TRUE(driver_->destroyed.empty());
        EXPECT_EQ(driver_->running().size(), 1u);
    }

    std::string dir_;
    model::Allocation alloc_ = make_alloc();
    std::shared_ptr<FakeDriver> driver_;
    std::unique_ptr<TestAgent> agent_;
};

const Error kTooNew(Code::InvalidArgument, "handle version: expected 2, found 1");

TEST_F(UpgradeTest, ANewExecutableTakesOver) {
    replace("b2", std::nullopt);
    ASSERT_TRUE(recovered(1));
    EXPECT_EQ(agent_->last(alloc_.id()).client_status(), "running");
    // From now on it is the one that has the task: what it cannot recover again is lost, not left alone.
    boot();
    ASSERT_TRUE(recovered(2));
    agent_->registry->apply({{alloc_.id(), alloc_.alloc_modify_index()}}, {});
    replace("b2", kTooNew);
    EXPECT_TRUE(driver_->wait_until([&] { return driver_->started.size() == 2; }));
}

TEST_F(UpgradeTest, OneThatCannotTakeOverLeavesTheTaskAloneUntilAnotherCan) {
    replace("b2", kTooNew);
    ASSERT_TRUE(shows("left as it is: handle version: expected 2, found 1"));
    EXPECT_EQ(agent_->last(alloc_.id()).client_status(), "running");
    expect_untouched();
    boot();  // nor does a new agent touch it
    ASSERT_TRUE(shows("left as it is"));
    expect_untouched();
    replace("b3", kTooNew);
    replace("b1", std::nullopt);  // the old one is put back
    ASSERT_TRUE(recovered(1));
    expect_untouched();
    alloc_.set_desired_status("stop");
    alloc_.set_alloc_modify_index(11);
    agent_->registry->apply({{alloc_.id(), 11}}, {alloc_});
    EXPECT_TRUE(agent_->wait_status(alloc_.id(), "complete"));
}

TEST_F(UpgradeTest, WhatIsLeftAloneIsEndedByForceWhenItIsToStop) {
    replace("b2", kTooNew);
    ASSERT_TRUE(shows("left as it is"));
    alloc_.set_desired_status("stop");
    alloc_.set_alloc_modify_index(11);
    agent_->registry->apply({{alloc_.id(), 11}}, {alloc_});
    EXPECT_TRUE(agent_->wait_status(alloc_.id(), "complete"));
    std::lock_guard lock(driver_->mutex);
    EXPECT_EQ(driver_->destroyed.size(), 1u);
}

TEST_F(UpgradeTest, WhatTheNewOneDoesNotKnowIsGone) {
    driver_->forget();
    agent_->registry->apply({{alloc_.id(), alloc_.alloc_modify_index()}}, {});
    replace("b2", std::nullopt);
    EXPECT_TRUE(driver_->wait_until([&] { return driver_->started.size() == 2; }));
}

}  // namespace
}  // namespace drover::agent
