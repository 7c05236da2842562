// SPDX-License-Identifier: Apache-2.0
// The mock driver does what its script says, over the real protocol: what other tests rely on when they use it to
// misbehave, and the parts of the protocol that drivers of processes do not use (events, retries, overrides).
#include "tests/conformance/driver_fixture.h"

namespace drover::conformance {
namespace {

class MockTest : public DriverTest {};

TEST_P(MockTest, EndsAsScripted) {
    sdk::TaskConfig config = task({{"run_for", "20ms"},
                                   {"exit_code", 4},
                                   {"exit_signal", 2},
                                   {"oom_killed", true},
                                   {"exit_err_msg", "said so"},
                                   {"stdout_string", "x"},
                                   {"stdout_repeat", 2}});
    ASSERT_OK(plugin_->start_task(config));
    auto exit = plugin_->wait_task(config.id, 20 * kSecond);
    ASSERT_OK(exit);
    EXPECT_EQ(*exit, (sdk::ExitResult{.exit_code = 4, .signal = 2, .oom_killed = true, .error = "said so"}));
    EXPECT_EQ(out(), "xxx");
}

TEST_P(MockTest, StartErrorsCarryTheRetryBit) {
    for (bool recoverable : {true, false}) {
        sdk::TaskConfig config = task({{"start_error", "not today"}, {"start_error_recoverable", recoverable}});
        auto started = plugin_->start_task(config);
        ASSERT_FALSE(started);
        EXPECT_EQ(started.error().message(), "not today");
        EXPECT_EQ(started.error().retry(), recoverable ? Retry::Yes : Retry::No);
    }
}

TEST_P(MockTest, EventsAndOverridesReachTheHost) {
    sdk::TaskConfig config = task({{"run_for", "1h"}, {"driver_ip", "10.1.2.3"}});
    auto started = plugin_->start_task(config);  // the event waits for its listener
    ASSERT_OK(started);
    ASSERT_TRUE(started->network);
    EXPECT_EQ(started->network->address, "10.1.2.3");
    auto event = plugin_->task_event();
    ASSERT_OK(event);
    EXPECT_EQ(event->task_id, config.id);
    EXPECT_EQ(event->message, "mock task started");
    ASSERT_OK(plugin_->task_stats(config.id, 5 * kMillisecond, 3));
    ASSERT_OK(plugin_->stop_task(config.id, 20 * kSecond, ""));
    EXPECT_TRUE(plugin_->wait_task(config.id, 20 * kSecond)->successful());
}

TEST_P(MockTest, DiesWhereItIsTold) {
    for (const char* rpc : {"StartTask", "InspectTask", "StopTask", "WaitTask"}) {
        launch();
        sdk::TaskConfig config = task({{"run_for", "1h"}, {"crash_at", rpc}});
        auto started = plugin_->start_task(config);
        EXPECT_EQ(started.has_value(), std::string(rpc) != "StartTask");
        if (started) (void)plugin_->inspect_task(config.id);
        if (started) (void)plugin_->stop_task(config.id, 0, "");
        if (started) (void)plugin_->wait_task(config.id, 5 * kSecond);
        EXPECT_TRUE(eventually([&] { return !alive(plugin_->pid()); })) << rpc;
        ids_.clear();
        launch();
        if (!started) continue;
        // Its successor takes the clock over from the handle; without one there is nothing to find.
        started->handle.config.msgpack_driver_config.clear();
        ASSERT_OK(plugin_->recover_task(started->handle));
        sdk::TaskHandle bare;
        bare.config.id = config.id + "x";
        EXPECT_EQ(plugin_->recover_task(bare).error().code(), Code::NotFound);
        ASSERT_OK(plugin_->destroy_task(config.id, true));
    }
}

TEST_P(MockTest, HangsWhereItIsToldAndOtherCallsGoOn) {
    sdk::TaskConfig config = task({{"run_for", "1h"}, {"hang_at", "WaitTask"}});
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_EQ(plugin_->wait_task(config.id, 100 * kMillisecond).error().code(), Code::DeadlineExceeded);
    ASSERT_OK(plugin_->inspect_task(config.id));
    ASSERT_OK(plugin_->info());
    // Calls that never end do not keep the process.
    auto status = plugin_->shutdown(10 * kSecond);
    ASSERT_OK(status);
    EXPECT_EQ(*status, 0);
    plugin_.reset();
}

TEST_P(MockTest, ScriptsEachCall) {
    sdk::TaskConfig config = task({{"run_for", "1h"},
                                   {"driver_port_map", "web:8080"},
                                   {"rpc", Value::List{Value::Map{{"name", "InspectTask"},
                                                                  {"error", "not yet"},
                                                                  {"times", 2}},
                                                       Value::Map{{"name", "StopTask"}, {"error", "never"}}}}});
    auto started = plugin_->start_task(config);
    ASSERT_OK(started);
    EXPECT_EQ(started->network->port_map["web"], 8080);
    EXPECT_EQ(plugin_->inspect_task(config.id).error().message(), "not yet");
    EXPECT_EQ(plugin_->inspect_task(config.id).error().message(), "not yet");
    ASSERT_OK(plugin_->inspect_task(config.id));
    EXPECT_EQ(plugin_->stop_task(config.id, kSecond, "").error().message(), "never");
    ASSERT_OK(plugin_->destroy_task(config.id, true));

    auto refused = plugin_->start_task(task({{"crash_at", "StartTsk"}}));
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("crash_at: expected one of StartTask, "), std::string::npos);
    EXPECT_NE(refused.error().message().find("found \"StartTsk\""), std::string::npos);
    refused = plugin_->start_task(task({{"driver_port_map", "web"}}));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), "driver_port_map: expected label:number, found \"web\"");
}

TEST_P(MockTest, RunsScriptedCommands) {
    sdk::TaskConfig config = task({{"run_for", "1h"}});
    ASSERT_OK(plugin_->start_task(config));
    EXPECT_FALSE(plugin_->exec_task(config.id, {"/bin/true"}, 0));
    config = task({{"run_for", "1h"},
                   {"exec_command", Value::Map{{"run_for", "20ms"},
                                               {"exit_code", 5},
                                               {"stdout_string", "x"},
                                               {"stdout_repeat", 2}}}});
    ASSERT_OK(plugin_->start_task(config));
    auto output = plugin_->exec_task(config.id, {"anything"}, 10 * kSecond);
    ASSERT_OK(output);
    EXPECT_EQ(output->stdout_bytes, "xxx");
    EXPECT_EQ(output->exit.exit_code, 5);
    EXPECT_EQ(plugin_->exec_task(config.id, {"anything"}, kMillisecond).error().code(), Code::DeadlineExceeded);
    auto session = plugin_->exec_task_streaming(config.id, {.command = {"anything"}});
    auto exit = session->finish();
    ASSERT_OK(exit);
    EXPECT_EQ(exit->exit_code, 5);
    EXPECT_EQ(session->out(), "xxx");
}

// A script of health over time: each change reaches the open stream.
TEST_P(MockTest, ChangesItsHealth) {
    launch({{"fingerprint_period", "10ms"},
            {"health", Value::List{Value::Map{{"after", "50ms"}, {"state", "unhealthy"}, {"description", "broken"}}}}});
    ASSERT_TRUE(eventually([&] { return plugin_->fingerprint()->description == "broken"; }));
    EXPECT_EQ(plugin_->fingerprint()->health, sdk::Health::Unhealthy);
    Status set = plugin_->set_config(
        sdk::msgpack_encode(Value::Map{{"health", Value::List{Value::Map{{"after", "0s"}, {"state", "ill"}}}}}),
        std::nullopt);
    ASSERT_FALSE(set);
    EXPECT_NE(set.error().message().find("health[0].state"), std::string::npos) << set.error().message();
}

INSTANTIATE_TEST_SUITE_P(Drivers, MockTest, ::testing::Values(kMock), [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace drover::conformance
