// SPDX-License-Identifier: Apache-2.0
// The plugin host with the mock driver's process (its config scripts crashes and hangs): calls, loss, hang,
// reattach.
#include "agent/host/host_fixture.h"

namespace drover::agent {
namespace {

TEST_F(HostTest, LaunchesConfiguresAndRunsATask) {
    install_mock();
    start_mock();
    EXPECT_TRUE(eventually([&] { return driver_->status().healthy; }));
    const auto status = only();
    EXPECT_EQ(status.state, PluginState::Healthy);
    EXPECT_EQ(status.name, "mock_driver");
    EXPECT_EQ(status.type, "driver");
    EXPECT_EQ(status.launches, 1u);
    Answer<sdk::Capabilities> capabilities;
    driver_->capabilities(capabilities.done());
    EXPECT_TRUE(capabilities.get()->send_signals);

    auto started = start_task(task("t1", {{"run_for", "50ms"}}, {{"exit_code", 7}}));
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_EQ(started->handle.config.id, "t1");
    Answer<sdk::ExitResult> exit;
    auto wait = driver_->wait_task("t1", exit.done());
    auto result = exit.get();
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->exit_code, 7);
    Answer<sdk::TaskStatus> inspected;
    driver_->inspect_task("t1", inspected.done());
    EXPECT_EQ(inspected.get()->state, sdk::TaskState::Exited);
    EXPECT_TRUE(destroy("t1"));
    Answer<sdk::TaskStatus> gone;
    driver_->inspect_task("t1", gone.done());
    EXPECT_TRUE(plugin_down(gone.get().error()));

    model::Node node;
    PluginHost::apply(driver_->status(), node);
    EXPECT_EQ(node.attributes().at("driver.mock_driver"), "1");
    EXPECT_EQ(node.drivers().at("mock_driver").attributes().at("driver.mock_driver"), "true");
    EXPECT_TRUE(node.drivers().at("mock_driver").healthy());
}

TEST_F(HostTest, ErrorsOfTheDriverComeThroughWithTheirRetryBit) {
    install_mock();
    start_mock();
    auto failed = start_task(task("t1", {{"start_error", "no image"}}));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message(), "no image");
    EXPECT_EQ(failed.error().retry(), Retry::No);
    auto config = task("t2", {{"start_error", "try again"}});
    auto again = std::make_shared<model::MapValue>(*map_of({{"start_error", "try again"}}));
    (*again->mutable_fields())["start_error_recoverable"].set_bool_value(true);
    Answer<std::string> bytes;
    driver_->decode_config(again, {}, bytes.done());
    config.msgpack_driver_config = *bytes.get();
    auto recoverable = start_task(config);
    ASSERT_FALSE(recoverable);
    EXPECT_EQ(recoverable.error().retry(), Retry::Yes);
    EXPECT_FALSE(plugin_lost(recoverable.error()));
    Answer<std::string> wrong;
    driver_->decode_config(map_of({{"exit_cod", "1"}}), {}, wrong.done());
    auto refused = wrong.get();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::InvalidArgument);
    EXPECT_NE(refused.error().message().find("exit_code"), std::string::npos) << refused.error().message();
}

TEST_F(HostTest, AKilledPluginIsRelaunchedAndItsTasksRecovered) {
    install_mock();
    start_mock();
    std::mutex mutex;
    std::vector<uint64_t> generations;
    auto connected = driver_->on_connected([&](uint64_t generation) {
        std::lock_guard lock(mutex);
        generations.push_back(generation);
    });
    auto started = start_task(task("t1", {{"run_for", "1h"}}));
    ASSERT_TRUE(started);
    Answer<sdk::ExitResult> exit;
    auto wait = driver_->wait_task("t1", exit.done());
    const int first = only().pid;
    ASSERT_GT(first, 0);
    ASSERT_EQ(::kill(first, SIGKILL), 0);

    auto lost = exit.get();
    ASSERT_FALSE(lost);
    EXPECT_TRUE(outcome_unknown(lost.error())) << lost.error().message();
    ASSERT_TRUE(replaced(1)) << host_->plugin_status_json();
    EXPECT_NE(only().pid, first);
    EXPECT_FALSE(alive(first));  // reaped, too
    // Of the dead one's socket nothing is left: record, two FIFOs, and the new one's.
    EXPECT_EQ(list_dir(dir_ + "/data/client/plugins/drover-driver-mock")->size(), 4u);
    // Before it is recovered the new instance must not be asked about it: it would say that the task is gone.
    Answer<void> stopped;
    driver_->stop_task("t1", kSecond, "", stopped.done());
    EXPECT_TRUE(plugin_down(stopped.get().error()));
    ASSERT_TRUE(recover(started->handle));
    Answer<void> stopped_now;
    driver_->stop_task("t1", kSecond, "", stopped_now.done());
    EXPECT_TRUE(stopped_now.get());
    EXPECT_TRUE(eventually([&] {
        std::lock_guard lock(mutex);
        return generations == std::vector<uint64_t>{1, 2};
    }));
}

TEST_F(HostTest, AHangingPluginIsReplaced) {
    install_mock();
    start_mock();
    const int first = only().pid;
    ASSERT_EQ(::kill(first, SIGSTOP), 0);
    ASSERT_TRUE(replaced(1)) << host_->plugin_status_json();
    EXPECT_NE(only().pid, first);
    EXPECT_TRUE(eventually([&] { return !alive(first); }));
}

TEST_F(HostTest, AStartInFlightEndsWithAnUnknownOutcome) {
    install_mock();
    HostLimits limits = quick();
    limits.start_task_ns = 300 * kMillisecond;
    start_mock({}, limits);
    auto crashed = start_task(task("t1", {{"crash_at", "StartTask"}}));
    ASSERT_FALSE(crashed);
    EXPECT_TRUE(outcome_unknown(crashed.error())) << crashed.error().message();
    ASSERT_TRUE(replaced(1));
    // Asked by the id alone: the mock keeps nothing, so this one does not run.
    sdk::TaskHandle only_id;
    only_id.config.id = "t1";
    auto found = recover(only_id);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().code(), Code::NotFound);
    EXPECT_TRUE(destroy("t1"));
    auto hung = start_task(task("t2", {{"hang_at", "StartTask"}}));
    ASSERT_FALSE(hung);
    EXPECT_TRUE(outcome_unknown(hung.error())) << hung.error().message();
}

TEST_F(HostTest, ANewHostReattachesToTheSameProcess) {
    install_mock();
    start_mock();
    auto started = start_task(task("t1", {{"run_for", "1h"}}));
    ASSERT_TRUE(started);
    const int first = only().pid;
    host_->stop(StopKind::Orderly);
    EXPECT_TRUE(alive(first));
    Answer<void> late;
    driver_->recover_task(started->handle, late.done());
    EXPECT_TRUE(plugin_down(late.get().error()));
    host_.reset();
    driver_.reset();

    start_mock();
    EXPECT_EQ(only().pid, first);
    EXPECT_EQ(only().launches, 0u);
    EXPECT_TRUE(only().reattached);
    ASSERT_TRUE(recover(started->handle));
    Answer<sdk::TaskStatus> inspected;
    driver_->inspect_task("t1", inspected.done());
    EXPECT_EQ(inspected.get()->state, sdk::TaskState::Running);
    // And its death is noticed, though it is another host's child.
    ASSERT_EQ(::kill(first, SIGKILL), 0);
    ASSERT_TRUE(replaced(1));
    EXPECT_NE(only().pid, first);
}

TEST_F(HostTest, AChangedConfigurationReplacesTheProcess) {
    install_mock();
    start_mock();
    const int first = only().pid;
    host_->stop(StopKind::Orderly);
    host_.reset();
    start_mock({{"mock", {"-x"}, nullptr}});
    EXPECT_NE(only().pid, first);
    EXPECT_FALSE(alive(first));
}

TEST_F(HostTest, APluginNoLongerInstalledIsEnded) {
    install_mock();
    start_mock();
    const int first = only().pid;
    host_->stop(StopKind::Orderly);
    host_.reset();
    ASSERT_EQ(::unlink((dir_ + "/plugins/drover-driver-mock").c_str()), 0);
    start();
    EXPECT_TRUE(eventually([&] { return !alive(first); }));
    EXPECT_TRUE(eventually([&] { return !path_exists(dir_ + "/data/client/plugins/drover-driver-mock"); }));
    EXPECT_TRUE(host_->plugins().empty());
}

TEST_F(HostTest, AForeignProcessUnderTheRecordedPidIsLeftAlone) {
    install_mock();
    start_mock();
    const int first = only().pid;
    ASSERT_GT(first, 0);
    host_->stop(StopKind::Orderly);
    host_.reset();
    const std::string path = dir_ + "/data/client/plugins/drover-driver-mock/record.json";
    auto record = read_record(path);
    ASSERT_TRUE(record);
    // As if the plugin had died, and its pid had been given to somebody else.
    const pid_t bystander = ::fork();
    if (bystander == 0) {
        ::pause();
        ::_exit(0);
    }
    ::kill(first, SIGKILL);
    record->pid = bystander;
    ASSERT_TRUE(write_record(path, *record));
    start_mock();
    EXPECT_TRUE(alive(bystander));
    EXPECT_EQ(only().launches, 1u);
    // The same number and start time, but another process on the socket.
    const int second = only().pid;
    ASSERT_GT(second, 0);
    host_->stop(StopKind::Orderly);
    host_.reset();
    record = read_record(path);
    ASSERT_TRUE(record);
    record->pid = bystander;
    record->start_time = *process_start_time(bystander);
    record->peer_pid = bystander;
    ASSERT_TRUE(write_record(path, *record));
    start_mock();
    EXPECT_TRUE(alive(bystander));
    EXPECT_TRUE(alive(second));  // not recorded any more, so not ours to kill
    ::kill(bystander, SIGKILL);
    ::waitpid(bystander, nullptr, 0);
    ::kill(second, SIGKILL);
}

TEST_F(HostTest, AnInterruptedLaunchIsEnded) {
    install_mock();
    ASSERT_TRUE(make_dirs(dir_ + "/data/client/plugins/drover-driver-mock"));
    const pid_t half = ::fork();
    if (half == 0) {
        ::pause();
        ::_exit(0);
    }
    PluginRecord record;
    record.boot_id = *current_boot_id();
    record.pid = half;
    record.start_time = *process_start_time(half);
    ASSERT_TRUE(write_record(dir_ + "/data/client/plugins/drover-driver-mock/record.json", record));
    start_mock();
    EXPECT_TRUE(eventually([&] { return !alive(half); }));
    ::waitpid(half, nullptr, 0);
}

TEST_F(HostTest, DevStopLeavesNothing) {
    install_mock();
    start_mock();
    const int pid = only().pid;
    const std::string cgroup = "/drover-test-" + std::to_string(::getpid()) + "/plugins/drover-driver-mock";
    auto groups = read_file(fmt::format("/proc/{}/cgroup", pid));
    ASSERT_TRUE(groups);
    EXPECT_NE(groups->find(cgroup), std::string::npos) << *groups;
    host_->stop(StopKind::Dev);
    EXPECT_FALSE(alive(pid));
    EXPECT_FALSE(path_exists(dir_ + "/data/client/plugins"));
    EXPECT_EQ(only().state, PluginState::Stopped);
    EXPECT_FALSE(path_exists("/sys/fs/cgroup/freezer" + cgroup));
}

}  // namespace
}  // namespace drover::agent
