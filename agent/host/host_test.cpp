// SPDX-License-Identifier: Apache-2.0
// The plugin host with real processes: the mock driver (its config scripts crashes and hangs) and shell scripts that do
// everything but a proper handshake. Every wait is for a condition, with a deadline.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <condition_variable>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "agent/host/plugin_host.h"
#include "agent/host/record.h"
#include "base/files.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr auto kPatience = std::chrono::seconds(20);

bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the poll of a condition, not a guess
    }
    return true;
}

// An answer that comes by callback.
template <class T>
class Answer {
 public:
    Done<T> done() {
        return [state = state_](Result<T> result) {
            std::lock_guard lock(state->mutex);
            state->result = std::move(result);
            state->changed.notify_all();
        };
    }
    Result<T> get() {
        std::unique_lock lock(state_->mutex);
        if (!state_->changed.wait_for(lock, kPatience, [&] { return state_->result.has_value(); })) {
            return make_error(Code::DeadlineExceeded, "the test got no answer");
        }
        return *state_->result;
    }
    bool came() {
        std::lock_guard lock(state_->mutex);
        return state_->result.has_value();
    }

 private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<Result<T>> result;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

std::shared_ptr<const model::MapValue> map_of(const std::map<std::string, std::string>& texts,
                                              const std::map<std::string, int64_t>& numbers = {}) {
    auto out = std::make_shared<model::MapValue>();
    for (const auto& [key, text] : texts) (*out->mutable_fields())[key].set_string_value(text);
    for (const auto& [key, number] : numbers) (*out->mutable_fields())[key].set_int_value(number);
    return out;
}

bool alive(pid_t pid) { return process_start_time(pid).has_value(); }

class HostTest : public ::testing::Test {
 protected:
    void SetUp() override {
        const char* build = std::getenv("DROVER_BUILD_DIR");
        ASSERT_TRUE(build) << "run by ctest, or set DROVER_BUILD_DIR";
        mock_ = std::string(build) + "/lib/drover/test-plugins/drover-driver-mock";
        ASSERT_TRUE(path_exists(mock_)) << mock_ << " is not built";
        char name[] = "/tmp/drover-host-XXXXXX";
        dir_ = ::mkdtemp(name);
        ASSERT_TRUE(make_dirs(dir_ + "/plugins"));
        ASSERT_TRUE(make_dirs(dir_ + "/data"));
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    void TearDown() override {
        if (host_) host_->stop(StopKind::Dev);
        host_.reset();
        work_.reset();
        for (auto& thread : threads_) thread.join();
        EXPECT_TRUE(remove_tree(dir_));
        auto group = cgroup::Cgroup::open("drover-test-" + std::to_string(::getpid()));
        if (group) EXPECT_TRUE(group->remove(5 * kSecond));
    }

    void install_mock() { ASSERT_EQ(::symlink(mock_.c_str(), (dir_ + "/plugins/drover-driver-mock").c_str()), 0); }
    void install_script(const std::string& name, const std::string& body) {
        ASSERT_TRUE(write_file(dir_ + "/plugins/" + name, "#!/bin/sh\n" + body, 0755));
    }
    static HostLimits quick() {
        HostLimits limits;
        limits.launch_ns = 10 * kSecond;
        limits.health_interval_ns = 100 * kMillisecond;
        limits.health_deadline_ns = 1500 * kMillisecond;
        limits.backoff_min_ns = 20 * kMillisecond;
        limits.backoff_max_ns = 200 * kMillisecond;
        limits.unhealthy_after_ns = 100 * kMillisecond;
        limits.connect_wait_ns = 10 * kSecond;
        return limits;
    }
    void start(std::vector<PluginBlock> blocks = {}, HostLimits limits = quick()) {
        PluginHostOptions options;
        options.data_dir = dir_ + "/data";
        options.bundled_plugin_dir = dir_ + "/plugins";
        options.blocks = std::move(blocks);
        options.cgroup_parent = "drover-test-" + std::to_string(::getpid());
        options.limits = limits;
        options.driver_denylist = denylist_;
        auto host = PluginHost::start(std::move(options), io_);
        ASSERT_TRUE(host) << host.error().message();
        host_ = std::move(*host);
    }
    void start_mock(std::vector<PluginBlock> blocks = {}, HostLimits limits = quick()) {
        start(std::move(blocks), limits);
        auto driver = host_->driver("mock_driver");
        ASSERT_TRUE(driver) << driver.error().message();
        driver_ = *driver;
        ASSERT_TRUE(eventually([&] { return driver_->status().generation != 0; })) << host_->plugin_status_json();
    }
    PluginStatus only() {
        auto all = host_->plugins();
        return all.empty() ? PluginStatus() : all[0];
    }
    bool reaches(PluginState state) {
        return eventually([&] { return only().state == state; });
    }

    sdk::TaskConfig task(const std::string& id, const std::map<std::string, std::string>& texts,
                         const std::map<std::string, int64_t>& numbers = {}) {
        Answer<std::string> config;
        driver_->decode_config(map_of(texts, numbers), {}, config.done());
        auto bytes = config.get();
        EXPECT_TRUE(bytes) << bytes.error().message();
        sdk::TaskConfig out;
        out.id = id;
        out.name = "web";
        out.alloc_id = "a1";
        if (bytes) out.msgpack_driver_config = *bytes;
        return out;
    }
    Result<sdk::StartedTask> start_task(const sdk::TaskConfig& config) {
        Answer<sdk::StartedTask> answer;
        driver_->start_task(config, answer.done());
        return answer.get();
    }
    Status recover(const sdk::TaskHandle& handle) {
        Answer<void> answer;
        driver_->recover_task(handle, answer.done());
        return answer.get();
    }
    Status destroy(const std::string& id) {
        Answer<void> answer;
        driver_->destroy_task(id, Driver::Destroy::Force, answer.done());
        return answer.get();
    }
    // The instance after `generation`.
    bool replaced(uint64_t generation) {
        return eventually([&] { return driver_->status().generation > generation; });
    }

    std::string dir_, mock_;
    std::vector<std::string> denylist_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    std::vector<std::thread> threads_;
    std::unique_ptr<PluginHost> host_;
    std::shared_ptr<Driver> driver_;
};

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

// ---- plugins that are none ----

TEST_F(HostTest, FailuresKeepTheirReasonAndHurtNobodyElse) {
    install_mock();
    install_script("garbage", "echo hello; exec sleep 100\n");
    install_script("exits", "echo 'cannot open /dev/foo' >&2; exit 3\n");
    install_script("old", "echo '1|1|unix|/tmp/x|grpc|'; exec sleep 100\n");
    install_script("nobody", "echo '1|2|unix|/nonexistent/socket|grpc|'; exec sleep 100\n");
    ASSERT_TRUE(write_file(dir_ + "/plugins/noexec", "\x7f" "ELFnot really", 0755));
    start_mock();
    const std::map<std::string, std::string> expected = {{"garbage", "found \"hello\""},
                                                         {"exits", "exited with code 3 (last output: cannot open /dev/foo)"},
                                                         {"old", "plugin protocol \"1\""},
                                                         {"nobody", "connect to /nonexistent/socket"},
                                                         {"noexec", "Exec format error"}};
    for (const auto& [name, reason] : expected) {
        EXPECT_TRUE(eventually([&, name = name, reason = reason] {
            for (const auto& status : host_->plugins()) {
                if (ends_with(status.file, "/" + name)) return status.reason.find(reason) != std::string::npos;
            }
            return false;
        })) << name << ": " << host_->plugin_status_json();
    }
    EXPECT_TRUE(start_task(task("t1", {{"run_for", "1ms"}})));
    auto unknown = host_->driver("podman");
    ASSERT_TRUE(eventually([&] {
        unknown = host_->driver("podman");
        return !unknown;
    }));
    EXPECT_EQ(unknown.error().code(), Code::NotFound);
    EXPECT_NE(unknown.error().message().find("mock_driver"), std::string::npos) << unknown.error().message();
}

TEST_F(HostTest, SilenceIsATimeout) {
    install_script("silent", "exec sleep 100\n");
    HostLimits limits = quick();
    limits.launch_ns = 200 * kMillisecond;
    start({}, limits);
    EXPECT_TRUE(eventually([&] { return only().reason.find("timeout while waiting for plugin to start") != std::string::npos; }));
    EXPECT_TRUE(eventually([&] { return only().launches >= 3; }));  // again and again, with backoff
}

TEST_F(HostTest, AWrongConfigIsFinalARefusedOneIsTriedAgain) {
    install_mock();
    start({{"mock", {}, map_of({{"helthy", "yes"}})}});
    ASSERT_TRUE(reaches(PluginState::Failed));
    EXPECT_NE(only().reason.find("healthy"), std::string::npos) << only().reason;
    EXPECT_EQ(only().pid, 0);
    host_->stop(StopKind::Dev);
    start({{"mock", {}, map_of({{"set_config_error", "no such disk"}})}});
    EXPECT_TRUE(eventually([&] { return only().launches >= 2 && only().reason.find("no such disk") != std::string::npos; }));
}

TEST_F(HostTest, ADeniedDriverIsNotUsed) {
    install_mock();
    denylist_ = {"mock_driver"};
    start();
    ASSERT_TRUE(reaches(PluginState::Failed));
    EXPECT_NE(only().reason.find("driver.denylist"), std::string::npos);
    EXPECT_FALSE(host_->driver("mock_driver"));
}

TEST_F(HostTest, SubscribersHearOfHealth) {
    install_mock();
    std::mutex mutex;
    std::vector<DriverStatus> heard;
    start({{"mock", {}, [] {
                auto config = std::make_shared<model::MapValue>();
                (*config->mutable_fields())["healthy"].set_bool_value(false);
                return std::shared_ptr<const model::MapValue>(config);
            }()}});
    Answer<void> settled;
    host_->when_settled(kMinute, [done = settled.done()] { done(Status()); });
    auto subscription = host_->on_driver_change([&](const DriverStatus& status) {
        std::lock_guard lock(mutex);
        heard.push_back(status);
    });
    EXPECT_TRUE(settled.get());
    EXPECT_TRUE(eventually([&] {
        std::lock_guard lock(mutex);
        return !heard.empty() && heard.back().detected && !heard.back().healthy;
    }));
}

}  // namespace
}  // namespace drover::agent
