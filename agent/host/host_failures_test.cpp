// SPDX-License-Identifier: Apache-2.0
// Plugins that are none (scripts that do everything but a proper handshake), wrong and refused
// configurations.
#include "agent/host/host_fixture.h"

namespace drover::agent {
namespace {

TEST_F(HostTest, FailuresKeepTheirReasonAndHurtNobodyElse) {
    install_mock();
    install_script("garbage", "echo hello; exec sleep 100\n");
    install_script("exits", "echo 'cannot open /dev/foo' >&2; exit 3\n");
    install_script("old", "echo '1|1|unix|/tmp/x|grpc|'; exec sleep 100\n");
    install_script("nobody", "echo '1|2|unix|/nonexistent/socket|grpc|'; exec sleep 100\n");
    ASSERT_TRUE(write_file(dir_ + "/plugins/noexec",
                           "\x7f"
                           "ELFnot really",
                           0755));
    start_mock();
    const std::map<std::string, std::string> expected = {
        {"garbage", "found \"hello\""},
        {"exits", "exited with code 3 (last output: cannot open /dev/foo)"},
        {"old", "plugin protocol \"1\""},
        {"nobody", "connect to /nonexistent/socket"},
        {"noexec", "Exec format error"}};
    for (const auto& [name, reason] : expected) {
        EXPECT_TRUE(eventually([&, name = name, reason = reason] {
            for (const auto& status : host_->plugins()) {
                if (ends_with(status.file, "/" + name))
                    return status.reason.find(reason) != std::string::npos;
            }
            return false;
        })) << name
            << ": " << host_->plugin_status_json();
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
    EXPECT_TRUE(eventually([&] {
        return only().reason.find("timeout while waiting for plugin to start") != std::string::npos;
    }));
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
    EXPECT_TRUE(eventually(
        [&] { return only().launches >= 2 && only().reason.find("no such disk") != std::string::npos; }));
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
