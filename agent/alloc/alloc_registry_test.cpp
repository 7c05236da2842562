// SPDX-License-Identifier: Apache-2.0
// Goal: allocations live as the servers want, through the death of the agent and of the plugin at any moment,
// with no second start, no lost exit and nothing left behind. Method: the real registry, runners, store and
// directories over a driver in memory; "the agent dies" is dropping all of them without a word and loading
// the store again.
#include "agent/alloc/alloc_registry.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <future>

#include "agent/alloc/test_agent.h"
#include "agent/logs/logd_client.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/uuid.h"

namespace drover::agent {
namespace {

class AllocRegistryTest : public testing::Test {
 protected:
    void SetUp() override {
        log::set_level(log::Level::Off);
        dir_ = fmt::format("/tmp/drover-registry-{}", new_uuid());
        ASSERT_TRUE(make_dirs(dir_ + "/alloc", 0711));
        ASSERT_TRUE(make_dirs(dir_ + "/tasks", 0700));
        driver_ = std::make_shared<FakeDriver>();
        boot();
    }
    void TearDown() override {
        agent_.reset();
        driver_.reset();
        if (logd_) {
            EXPECT_TRUE(logd_->shutdown());
        }
        logd_.reset();
        ASSERT_TRUE(remove_tree(dir_));
    }

    void boot() {
        agent_.reset();
        agent_ = std::make_unique<TestAgent>(dir_, driver_, rules_, logd_.get());
    }
    // A new agent that has heard of the servers again.
    void boot_and_contact() {
        boot();
        agent_->registry->apply(list_, {});
    }

    void give(const model::Allocation& alloc) {
        list_[alloc.id()] = alloc.alloc_modify_index();
        agent_->registry->apply(list_, {alloc});
    }
    void want_stopped(model::Allocation alloc) {
        alloc.set_desired_status("stop");
        alloc.set_alloc_modify_index(alloc.alloc_modify_index() + 1);
        give(alloc);
    }
    void forget(const std::string& id) {
        list_.erase(id);
        agent_->registry->apply(list_, {});
    }
    bool gone(const std::string& id) {
        const int64_t until = mono_now() + 10 * kSecond;
        while (mono_now() < until) {
            if (!agent_->registry->find(id) && !path_exists(dir_ + "/alloc/" + id)) return true;
            std::this_thread::yield();
        }
        return false;
    }
    std::string only_instance() {
        std::lock_guard lock(driver_->mutex);
        EXPECT_EQ(driver_->started.size(), 1u);
        return driver_->started.empty() ? "" : driver_->started[0];
    }
    std::vector<std::string> events(const std::string& id, const std::string& task = "server") {
        std::vector<std::string> out;
        const auto update = agent_->last(id);
        for (const auto& event : update.task_states().at(task).events()) out.push_back(event.type());
        return out;
    }

    std::string dir_;
    CollectRules rules_{50, 101, 101};
    std::map<std::string, uint64_t> list_;
    std::shared_ptr<FakeDriver> driver_;
    std::unique_ptr<LogdClient> logd_;
    std::unique_ptr<TestAgent> agent_;
};

TEST_F(AllocRegistryTest, RunsStopsAndLeavesNothing) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    EXPECT_TRUE(path_exists(dir_ + "/alloc/" + alloc.id() + "/server/local"));
    want_stopped(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
    EXPECT_EQ(events(alloc.id()), (std::vector<std::string>{"Received", "Task Setup", "Started", "Killing",
                                                            "Terminated", "Killed"}));
    forget(alloc.id());
    ASSERT_TRUE(gone(alloc.id()));
    EXPECT_TRUE(driver_->tasks.empty());
    boot();
    EXPECT_TRUE(agent_->registry->all().empty());
}

TEST_F(AllocRegistryTest, TheTaskGetsItsConfig) {
    auto alloc = make_alloc();
    auto& port = *alloc.mutable_allocated_resources()->mutable_shared()->add_ports();
    port.set_label("http");
    port.set_value(20001);
    port.set_host_ip("127.0.0.1");
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const auto id = only_instance();
    std::lock_guard lock(driver_->mutex);
    const auto& config = driver_->tasks.at(id).config;
    EXPECT_EQ(config.env.at("NOMAD_PORT_http"), "20001");
    EXPECT_EQ(config.env.at("NOMAD_ALLOC_DIR"), dir_ + "/alloc/" + alloc.id() + "/alloc");
    EXPECT_EQ(config.resources.linux_resources.cpu_shares, 100);
    EXPECT_EQ(config.resources.ports.size(), 1u);
    EXPECT_EQ(config.msgpack_driver_config, "cfg");
    EXPECT_EQ(config.task_group_name, "app");
}

TEST_F(AllocRegistryTest, ANewAgentTakesOverRunningTasksWithoutAWord) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const auto before = events(alloc.id());
    for (int i = 0; i < 3; ++i) {
        boot();
        ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
        EXPECT_EQ(events(alloc.id()), before);
    }
    EXPECT_EQ(only_instance().substr(0, alloc.id().size()), alloc.id());
    boot_and_contact();
    want_stopped(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
}

TEST_F(AllocRegistryTest, AnExitWhileTheAgentWasAwayIsReported) {
    const auto alloc = make_alloc("batch");
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const auto id = only_instance();
    agent_.reset();
    driver_->exit(id, 0);
    boot();
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
    EXPECT_EQ(events(alloc.id()).back(), "Terminated");
}

TEST_F(AllocRegistryTest, TheAgentDiesWhileManyStart) {
    std::vector<std::string> ids;
    for (int i = 0; i < 40; ++i) {
        const auto alloc = make_alloc();
        ids.push_back(alloc.id());
        give(alloc);
    }
    // Dies again and again with starts at every stage.
    for (int i = 0; i < 6; ++i) boot_and_contact();
    // What had not been stored yet comes again with the list, as from a server.
    for (const auto& id : agent_->registry->wanted(list_)) {
        auto alloc = make_alloc();
        alloc.set_id(id);
        give(alloc);
    }
    for (const auto& id : ids) ASSERT_TRUE(agent_->wait_status(id, "running")) << id;
    std::lock_guard lock(driver_->mutex);
    std::map<std::string, int> running_of;
    for (const auto& id : driver_->running()) ++running_of[id.substr(0, 36)];
    EXPECT_EQ(running_of.size(), ids.size());
    for (const auto& [id, count] : running_of) EXPECT_EQ(count, 1) << id;
}

TEST_F(AllocRegistryTest, LossOfThePluginIsInvisible) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const auto id = only_instance();
    const auto before = events(alloc.id());
    for (int i = 0; i < 3; ++i) {
        driver_->die();
        driver_->come_back();
        ASSERT_TRUE(
            driver_->wait_until([&] { return driver_->recovered.size() == static_cast<size_t>(i + 1); }));
    }
    driver_->exit(id, 0);
    ASSERT_TRUE(agent_->wait(
        alloc.id(), [](const auto& update) { return update.task_states().at("server").restarts() == 1; }));
    EXPECT_EQ(before.size(), 3u);
    EXPECT_EQ(events(alloc.id())[3], "Terminated");
}

TEST_F(AllocRegistryTest, APluginThatDiesInTheStartStartsNothingTwice) {
    for (const auto how : {FakeDriver::OnStart::DieBefore, FakeDriver::OnStart::DieAfter}) {
        {
            std::lock_guard lock(driver_->mutex);
            driver_->on_start = how;
            driver_->started.clear();
        }
        const auto alloc = make_alloc();
        give(alloc);
        ASSERT_TRUE(driver_->wait_until([&] { return !driver_->up; }));
        driver_->come_back();
        ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
        EXPECT_EQ(only_instance().substr(0, 36), alloc.id());
        EXPECT_EQ(events(alloc.id()), (std::vector<std::string>{"Received", "Task Setup", "Started"}));
    }
}

TEST_F(AllocRegistryTest, ARebootWaitsForAServerAndFollowsThePolicy) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    agent_.reset();
    driver_->forget();
    boot();
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "pending"));
    ASSERT_TRUE(driver_->wait_until([&] { return !driver_->destroyed.empty(); }));
    EXPECT_EQ(driver_->started.size(), 1u);
    agent_->registry->apply(list_, {});
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    EXPECT_EQ(driver_->started.size(), 2u);
    EXPECT_EQ(events(alloc.id()),
              (std::vector<std::string>{"Received", "Task Setup", "Started", "Failed Restoring Task",
                                        "Restarting", "Started"}));
}

TEST_F(AllocRegistryTest, ALostStateFileAdoptsWhatRunsInsteadOfStartingItAgain) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const auto id = only_instance();
    agent_.reset();
    ASSERT_TRUE(write_file(dir_ + "/state.db", std::string(8192, 'x')));
    ASSERT_TRUE(make_dirs(dir_ + "/tasks/" + alloc.id() + "%2Fserver%2F" + id.substr(id.size() - 8)));
    list_.clear();
    boot();
    EXPECT_TRUE(agent_->registry->all().empty());
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    EXPECT_EQ(only_instance(), id);
    EXPECT_EQ(driver_->recovered, std::vector<std::string>{id});
}

TEST_F(AllocRegistryTest, AReplacementWaitsForWhatItReplaces) {
    const auto old_alloc = make_alloc();
    give(old_alloc);
    ASSERT_TRUE(agent_->wait_status(old_alloc.id(), "running"));
    auto new_alloc = make_alloc();
    new_alloc.set_previous_allocation(old_alloc.id());
    {
        std::lock_guard lock(driver_->mutex);
        driver_->stop_ends = false;
    }
    want_stopped(old_alloc);
    give(new_alloc);
    ASSERT_TRUE(driver_->wait_until([&] { return driver_->stopped.size() == 1; }));
    EXPECT_EQ(driver_->started.size(), 1u);
    driver_->exit(only_instance(), 0);
    ASSERT_TRUE(agent_->wait_status(new_alloc.id(), "running"));
    EXPECT_EQ(driver_->started.size(), 2u);
}

TEST_F(AllocRegistryTest, TheOldestEndedAllocationsAreCollectedAndNotRunAgain) {
    rules_.allocs_max = 2;
    boot();
    std::vector<std::string> ids;
    for (int i = 0; i < 4; ++i) {
        const auto alloc = make_alloc("batch");
        ids.push_back(alloc.id());
        give(alloc);
        ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
        std::string instance;
        {
            std::lock_guard lock(driver_->mutex);
            instance = driver_->started.back();
        }
        driver_->exit(instance, 0);
        ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
    }
    EXPECT_TRUE(gone(ids[0]));
    EXPECT_TRUE(gone(ids[1]));
    EXPECT_TRUE(agent_->registry->find(ids[3]));
    EXPECT_TRUE(agent_->registry->wanted(list_).empty());
    EXPECT_EQ(agent_->registry->collect(ids[0]).error().code(), Code::NotFound);
    EXPECT_TRUE(agent_->registry->collect(ids[3]));
    EXPECT_TRUE(gone(ids[3]));
}

TEST_F(AllocRegistryTest, AFailedTaskFailsTheAllocationAndItsSiblings) {
    auto alloc = make_alloc("batch");
    add_task(alloc, "other");
    auto& policy = *alloc.mutable_job()->mutable_task_groups(0)->mutable_restart_policy();
    policy.set_attempts(0);
    give(alloc);
    ASSERT_TRUE(driver_->wait_until([&] { return driver_->started.size() == 2; }));
    ASSERT_TRUE(agent_->wait(alloc.id(), [](const auto& u) {
        return u.task_states().contains("other") && u.task_states().at("other").state() == "running";
    }));
    std::string server;
    {
        std::lock_guard lock(driver_->mutex);
        for (const auto& id : driver_->started) {
            if (id.find("/server/") != std::string::npos) server = id;
        }
    }
    driver_->exit(server, 2);
    ASSERT_TRUE(agent_->wait(alloc.id(), [](const auto& u) {
        return u.client_status() == "failed" && u.task_states().at("other").state() == "dead";
    }));
    EXPECT_EQ(events(alloc.id()).back(), "Not Restarting");
    const auto other = events(alloc.id(), "other");
    EXPECT_NE(std::find(other.begin(), other.end(), "Sibling Task Failed"), other.end());
    EXPECT_FALSE(agent_->last(alloc.id()).task_states().at("other").failed());
}

// With the real drover-logd: the last line is in the file when the end is reported, a dead task has no FIFO
// any more, and a restart of the dead task makes it again.
TEST_F(AllocRegistryTest, LogsAreWholeAtTheEndAndTheirFifosGo) {
    const char* build = ::getenv("DROVER_BUILD_DIR");
    if (build == nullptr) GTEST_SKIP() << "DROVER_BUILD_DIR is not set";
    auto logd = LogdClient::open({.state_dir = dir_ + "/logd",
                                  .binary = fmt::format("{}/libexec/drover/drover-logd", build),
                                  .cgroup = ""});
    ASSERT_TRUE(logd) << logd.error().message();
    logd_ = std::move(*logd);
    boot();
    auto alloc = make_alloc("batch");
    add_task(alloc, "other");  // keeps the allocation alive
    give(alloc);
    const std::string fifo = dir_ + "/fifos/" + alloc.id() + "/server.stdout";
    const std::string file = dir_ + "/alloc/" + alloc.id() + "/alloc/logs/server.stdout.0";
    std::string expected;
    for (int round = 0; round < 3; ++round) {
        ASSERT_TRUE(agent_->wait(alloc.id(), [](const auto& u) {
            return u.task_states().contains("server") && u.task_states().at("server").state() == "running" &&
                   u.task_states().at("other").state() == "running";
        }));
        std::string instance;
        {
            std::lock_guard lock(driver_->mutex);
            for (const auto& [id, task] : driver_->tasks) {
                if (id.find("/server/") != std::string::npos) instance = id;
            }
            EXPECT_EQ(driver_->tasks.at(instance).config.stdout_path, fifo);
        }
        UniqueFd writer(::open(fifo.c_str(), O_WRONLY | O_CLOEXEC));
        ASSERT_TRUE(writer);
        for (int i = 0; i < 2000; ++i) {
            const auto line = fmt::format("round {} line {}\n", round, i);
            ASSERT_TRUE(write_all(writer.get(), line));
            expected += line;
        }
        writer.reset();
        driver_->exit(instance, 0);
        ASSERT_TRUE(agent_->wait(
            alloc.id(), [](const auto& u) { return u.task_states().at("server").state() == "dead"; }));
        EXPECT_EQ(*read_file(file), expected);
        const int64_t until = mono_now() + 10 * kSecond;
        while (path_exists(fifo) && mono_now() < until) std::this_thread::yield();
        EXPECT_FALSE(path_exists(fifo));
        auto runner = agent_->registry->find(alloc.id());
        boost::asio::post(runner->strand(), [runner] { EXPECT_TRUE(runner->restart("", true)); });
    }
    forget(alloc.id());
    ASSERT_TRUE(gone(alloc.id()));
    EXPECT_TRUE(logd_->streams().empty());
    EXPECT_TRUE(list_dir(dir_ + "/fifos")->empty());
}

TEST_F(AllocRegistryTest, MaxRunDurationEndsItAsComplete) {
    auto alloc = make_alloc("batch");
    alloc.mutable_job()->mutable_task_groups(0)->set_max_run_duration(200 * kMillisecond);
    const int64_t begin = mono_now();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
    EXPECT_GE(mono_now() - begin, 200 * kMillisecond);
}

TEST_F(AllocRegistryTest, AStopWaitsForTheGroupsShutdownDelay) {
    auto alloc = make_alloc();
    alloc.mutable_job()->mutable_task_groups(0)->set_shutdown_delay(200 * kMillisecond);
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    const int64_t begin = mono_now();
    want_stopped(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "complete"));
    EXPECT_GE(mono_now() - begin, 200 * kMillisecond);
}

TEST_F(AllocRegistryTest, WhatTheAgentCannotDoFailsClearly) {
    auto alloc = make_alloc();
    alloc.mutable_job()->mutable_task_groups(0)->mutable_tasks(0)->add_templates();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "failed"));
    EXPECT_EQ(events(alloc.id()),
              (std::vector<std::string>{"Received", "Task Setup", "Failed Validation", "Not Restarting"}));
    auto unknown = make_alloc();
    unknown.mutable_job()->mutable_task_groups(0)->mutable_tasks(0)->set_driver("nope");
    give(unknown);
    ASSERT_TRUE(agent_->wait_status(unknown.id(), "failed"));
    EXPECT_EQ(events(unknown.id())[2], "Driver Failure");
    auto no_group = make_alloc();
    no_group.set_task_group("missing");
    give(no_group);
    ASSERT_TRUE(agent_->wait_status(no_group.id(), "failed"));
    forget(no_group.id());
    EXPECT_TRUE(gone(no_group.id()));
}

TEST_F(AllocRegistryTest, ADirectoryThatCannotBeMadeFailsTheAllocation) {
    const auto alloc = make_alloc();
    ASSERT_TRUE(write_file(dir_ + "/alloc/" + alloc.id(), "in the way"));
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "failed"));
    const auto update = agent_->last(alloc.id());
    const auto& event = update.task_states().at("server").events(1);
    EXPECT_EQ(event.type(), "Setup Failure");
    EXPECT_NE(event.display_message().find(dir_ + "/alloc/" + alloc.id()), std::string::npos)
        << event.display_message();
}

TEST_F(AllocRegistryTest, WhatEndedBeforeItCameIsNotRun) {
    auto done = make_alloc();
    done.set_client_status("complete");
    give(done);
    auto stopped = make_alloc();
    stopped.set_desired_status("stop");
    give(stopped);
    ASSERT_TRUE(agent_->wait_status(stopped.id(), "complete"));
    EXPECT_FALSE(agent_->registry->find(done.id()));
    EXPECT_TRUE(agent_->registry->wanted(list_).empty());
    EXPECT_TRUE(driver_->started.empty());
}

TEST_F(AllocRegistryTest, DestroyAllEndsEverything) {
    for (int i = 0; i < 5; ++i) {
        const auto alloc = make_alloc();
        give(alloc);
        ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    }
    EXPECT_TRUE(agent_->registry->destroy_all(10 * kSecond));
    EXPECT_TRUE(driver_->tasks.empty());
    EXPECT_TRUE(list_dir(dir_ + "/alloc")->empty());
}

TEST_F(AllocRegistryTest, AnOperatorRestartsSignalsAndAsksForStatistics) {
    const auto alloc = make_alloc();
    give(alloc);
    ASSERT_TRUE(agent_->wait_status(alloc.id(), "running"));
    auto runner = agent_->registry->find(alloc.id());
    std::promise<Status> signalled;
    boost::asio::post(runner->strand(), [&] {
        runner->signal("", "SIGHUP", [&](Status status) { signalled.set_value(std::move(status)); });
    });
    EXPECT_TRUE(signalled.get_future().get());
    EXPECT_EQ(driver_->signals, std::vector<std::string>{"SIGHUP"});
    std::promise<Result<AllocRunner::Samples>> sampled;
    boost::asio::post(runner->strand(), [&] {
        runner->stats("", [&](auto samples) { sampled.set_value(std::move(samples)); });
    });
    const auto samples = sampled.get_future().get();
    ASSERT_TRUE(samples);
    EXPECT_EQ(samples->at("server").total.memory.rss_bytes, std::optional<uint64_t>(4096));
    boost::asio::post(runner->strand(), [runner] { EXPECT_TRUE(runner->restart("", false)); });
    ASSERT_TRUE(driver_->wait_until([&] { return driver_->started.size() == 2; }));
    ASSERT_TRUE(agent_->wait(alloc.id(), [](const auto& u) {
        return u.task_states().at("server").events_size() >= 8;
    }) || agent_->wait_status(alloc.id(), "running"));
    EXPECT_EQ(agent_->last(alloc.id()).task_states().at("server").restarts(), 1u);
}

}  // namespace
}  // namespace drover::agent
