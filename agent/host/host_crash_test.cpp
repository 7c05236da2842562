// SPDX-License-Identifier: Apache-2.0
// Plugins that die at, or never answer, each RPC there is. Whatever the call was: its caller hears that the
// outcome is not known, the plugin is launched again or goes on, and the next task runs. Task calls are
// scripted by the mock driver's job config; those of a launch by a plugin in this test, whose process is a
// script.
#include "agent/host/foreign_fixture.h"
#include "agent/host/host_fixture.h"

namespace drover::agent {
namespace {

struct Call {
    const char* rpc;
    // Makes the call about the task and gives how it ended.
    std::function<Status(Driver&, const std::string& id)> make;
};

template <class T>
Status status_of(Result<T> result) {
    if (!result) return std::move(result).error();
    return {};
}

const std::vector<Call>& task_calls() {
    static const std::vector<Call> calls = {
        {"WaitTask",
         [](Driver& driver, const std::string& id) {
             Answer<sdk::ExitResult> answer;
             auto open = driver.wait_task(id, answer.done());
             return status_of(answer.get());
         }},
        {"StopTask",
         [](Driver& driver, const std::string& id) {
             Answer<void> answer;
             driver.stop_task(id, 100 * kMillisecond, "", answer.done());
             return answer.get();
         }},
        {"DestroyTask",
         [](Driver& driver, const std::string& id) {
             Answer<void> answer;
             driver.destroy_task(id, Driver::Destroy::Force, answer.done());
             return answer.get();
         }},
        {"SignalTask",
         [](Driver& driver, const std::string& id) {
             Answer<void> answer;
             driver.signal_task(id, "SIGHUP", answer.done());
             return answer.get();
         }},
        {"InspectTask",
         [](Driver& driver, const std::string& id) {
             Answer<sdk::TaskStatus> answer;
             driver.inspect_task(id, answer.done());
             return status_of(answer.get());
         }},
        {"TaskStats",
         [](Driver& driver, const std::string& id) {
             Answer<void> answer;
             auto open = driver.stream_stats(
                 id, kSecond, [](const sdk::TaskStats&) {}, answer.done());
             return answer.get();
         }},
    };
    return calls;
}

class TaskCallTest : public HostTest {
 protected:
    Result<sdk::StartedTask> start_with(const std::string& key, const std::string& rpc) {
        return start_task(task(rpc, {{"run_for", "1h"}, {key, rpc}}));
    }
    void expect_next_task_runs(const std::string& rpc) {
        auto next = start_task(task("next", {{"run_for", "1ms"}}));
        EXPECT_TRUE(next) << rpc << ": " << next.error().message();
        Answer<sdk::ExitResult> exit;
        auto open = driver_->wait_task("next", exit.done());
        EXPECT_TRUE(exit.get()) << rpc;
        EXPECT_TRUE(destroy("next")) << rpc;
    }
};

TEST_F(TaskCallTest, APluginThatDiesAtAnyCallIsReplaced) {
    install_mock();
    start_mock();
    uint64_t generation = 1;
    for (const auto& call : task_calls()) {
        auto started = start_with("crash_at", call.rpc);
        ASSERT_TRUE(started) << call.rpc << ": " << started.error().message();
        auto ended = call.make(*driver_, call.rpc);
        ASSERT_FALSE(ended) << call.rpc;
        EXPECT_TRUE(outcome_unknown(ended.error())) << call.rpc << ": " << ended.error().message();
        ASSERT_TRUE(replaced(generation)) << call.rpc << ": " << host_->plugin_status_json();
        generation = driver_->status().generation;
        expect_next_task_runs(call.rpc);
    }
    EXPECT_EQ(only().launches, task_calls().size() + 1);
}

TEST_F(TaskCallTest, APluginThatDiesInTheStartOrTheRecoveryIsReplaced) {
    install_mock();
    start_mock();
    auto started = start_with("crash_at", "StartTask");
    ASSERT_FALSE(started);
    EXPECT_TRUE(outcome_unknown(started.error())) << started.error().message();
    ASSERT_TRUE(replaced(1));
    auto good = start_with("crash_at", "RecoverTask");
    ASSERT_TRUE(good) << good.error().message();
    ASSERT_EQ(::kill(only().pid, SIGKILL), 0);
    ASSERT_TRUE(replaced(2));
    auto recovered = recover(good->handle);
    ASSERT_FALSE(recovered);
    EXPECT_TRUE(outcome_unknown(recovered.error())) << recovered.error().message();
    ASSERT_TRUE(replaced(3));
    expect_next_task_runs("RecoverTask");
}

// One call that hangs is not the plugin's death: its caller is told, everything else goes on in the same
// process.
TEST_F(TaskCallTest, ACallThatNeverAnswersEndsByItsDeadline) {
    install_mock();
    HostLimits limits = quick();
    limits.call_ns = 300 * kMillisecond;
    limits.stop_slack_ns = 300 * kMillisecond;
    start_mock({}, limits);
    const int pid = only().pid;
    for (const auto& call : task_calls()) {
        const std::string rpc = call.rpc;
        if (rpc == "WaitTask" || rpc == "TaskStats") continue;  // these have no end of their own
        auto started = start_with("hang_at", rpc);
        ASSERT_TRUE(started) << rpc << ": " << started.error().message();
        auto ended = call.make(*driver_, call.rpc);
        ASSERT_FALSE(ended) << rpc;
        EXPECT_TRUE(outcome_unknown(ended.error())) << rpc << ": " << ended.error().message();
        EXPECT_NE(ended.error().message().find("did not answer"), std::string::npos)
            << ended.error().message();
        expect_next_task_runs(rpc);
    }
    EXPECT_EQ(only().pid, pid);
}

class LaunchCallTest : public ForeignPlugin, public testing::WithParamInterface<const char*> {
 protected:
    bool comes_up() {
        return eventually([&] { return only().state == PluginState::Healthy; });
    }
};

TEST_P(LaunchCallTest, APluginThatDiesThereIsLaunchedAgain) {
    manners_.script(Misbehaviour::Kind::Kill, GetParam(), 2);
    start();
    EXPECT_TRUE(eventually([&] { return only().launches >= 3 && only().state == PluginState::Healthy; }))
        << host_->plugin_status_json();
    auto driver = host_->driver("foreign");
    ASSERT_TRUE(driver) << driver.error().message();
    EXPECT_TRUE(eventually([&] { return (*driver)->status().healthy; })) << host_->plugin_status_json();
}

class LaunchHangTest : public LaunchCallTest {};

TEST_P(LaunchHangTest, ACallThatNeverAnswersEndsByItsDeadline) {
    HostLimits limits;
    limits.call_ns = 200 * kMillisecond;
    manners_.script(Misbehaviour::Kind::Hang, GetParam(), 1);
    start({}, limits);
    EXPECT_TRUE(eventually([&] {
        return only().reason.find(fmt::format("plugin did not answer during {}", GetParam())) !=
               std::string::npos;
    })) << host_->plugin_status_json();
    EXPECT_TRUE(comes_up()) << host_->plugin_status_json();
}

INSTANTIATE_TEST_SUITE_P(EachCall, LaunchCallTest,
                         testing::Values("PluginInfo", "ConfigSchema", "SetConfig", "TaskConfigSchema",
                                         "Capabilities", "Fingerprint"),
                         [](const auto& info) { return std::string(info.param); });
// A stream may be silent for as long as it likes.
INSTANTIATE_TEST_SUITE_P(EachCall, LaunchHangTest,
                         testing::Values("PluginInfo", "ConfigSchema", "SetConfig", "TaskConfigSchema",
                                         "Capabilities"),
                         [](const auto& info) { return std::string(info.param); });

TEST_F(ForeignPlugin, AHundredMegabytesAreJustALargeMessage) {
    driver_service_.driver_state_bytes = 100 << 20;
    start();
    auto driver = host_->driver("foreign");
    ASSERT_TRUE(driver);
    ASSERT_TRUE(eventually([&] { return (*driver)->status().healthy; }));
    Answer<sdk::StartedTask> answer;
    sdk::TaskConfig task;
    task.id = "t1";
    task.msgpack_driver_config = std::string(100 << 20, 'y');
    (*driver)->start_task(task, answer.done());
    auto started = answer.get();
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_EQ(started->handle.driver_state.size(), size_t{100} << 20);
    EXPECT_EQ(only().state, PluginState::Healthy);
}

TEST_F(ForeignPlugin, TheHigherVersionOfOneNameWins) {
    Misbehaviour manners;
    ForeignBase newer(manners);
    newer.plugin_version = "1.10.0";
    ForeignDriver driver_service(manners);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&newer);
    builder.RegisterService(&driver_service);
    auto server = builder.BuildAndStart();
    ASSERT_TRUE(write_file(
        dir_ + "/plugins/newer",
        fmt::format("#!/bin/sh\necho '1|2|tcp|127.0.0.1:{}|grpc|'\nexec sleep 1000\n", port), 0755));
    start();
    const auto by_file = [&](const std::string& name) {
        for (auto& status : host_->plugins()) {
            if (ends_with(status.file, "/" + name)) return status;
        }
        return PluginStatus();
    };
    EXPECT_TRUE(eventually([&] {
        return by_file("newer").state == PluginState::Healthy &&
               by_file("foreign").state == PluginState::Failed;
    })) << host_->plugin_status_json();
    EXPECT_NE(by_file("foreign").reason.find("provided by " + dir_ + "/plugins/newer (1.10.0)"),
              std::string::npos)
        << by_file("foreign").reason;
    EXPECT_EQ(by_file("foreign").pid, 0);
    host_->stop(StopKind::Dev);
    server->Shutdown();
}

}  // namespace
}  // namespace drover::agent
