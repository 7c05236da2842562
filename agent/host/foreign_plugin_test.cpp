// SPDX-License-Identifier: Apache-2.0
// A plugin that is not made with our SDK; see foreign_fixture.h.
#include "agent/host/foreign_fixture.h"

namespace drover::agent {
namespace {

TEST_F(ForeignPlugin, NeedsOnlyTheTwoServicesAndATcpPort) {
    start();
    auto driver = host_->driver("foreign");
    ASSERT_TRUE(driver) << driver.error().message();
    ASSERT_TRUE(eventually([&] { return (*driver)->status().healthy; })) << host_->plugin_status_json();
    EXPECT_EQ(base_.api_version, "0.1.0");  // the plugin's own spelling
    EXPECT_EQ(base_.config_bytes, "");      // no schema: no bytes
    EXPECT_EQ((*driver)->status().attributes.at("driver.foreign.memory"), "4GiB");

    std::promise<Result<sdk::StartedTask>> promise;
    sdk::TaskConfig task;
    task.id = "t1";
    (*driver)->start_task(task, [&](Result<sdk::StartedTask> r) { promise.set_value(std::move(r)); });
    auto started = promise.get_future().get();
    ASSERT_TRUE(started) << started.error().message();
    // Codes that look like the plugin's death, from a live one: the outcome is unknown, and the plugin stays.
    const uint64_t generation = (*driver)->status().generation;
    std::promise<Result<sdk::StartedTask>> second;
    task.id = "unavailable";
    (*driver)->start_task(task, [&](Result<sdk::StartedTask> r) { second.set_value(std::move(r)); });
    auto refused = second.get_future().get();
    ASSERT_FALSE(refused);
    EXPECT_TRUE(outcome_unknown(refused.error()));
    EXPECT_NE(refused.error().message().find("my database is down"), std::string::npos);
    // A method it does not have is its own error.
    std::promise<Status> third;
    (*driver)->signal_task("t1", "SIGHUP", [&](Status s) { third.set_value(std::move(s)); });
    EXPECT_EQ(third.get_future().get().error().code(), Code::Unimplemented);
    EXPECT_EQ((*driver)->status().generation, generation);
}

TEST_F(ForeignPlugin, AFingerprintThatEndsAtOnceIsNoHotLoop) {
    start();
    ASSERT_TRUE(eventually([&] { return driver_service_.fingerprints >= 4; }));
    const auto begin = std::chrono::steady_clock::now();
    const int before = driver_service_.fingerprints;
    ASSERT_TRUE(eventually([&] { return driver_service_.fingerprints >= before + 4; }));
    EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(4 * 50 * 3 / 4 - 40));
    EXPECT_EQ(only().state, PluginState::Healthy);
}

TEST_F(ForeignPlugin, AFingerprintThatFailsMakesTheDriverUnhealthy) {
    driver_service_.fingerprint_error = "no kvm";
    start();
    auto driver = host_->driver("foreign");
    ASSERT_TRUE(driver);
    ASSERT_TRUE(eventually(
        [&] { return (*driver)->status().description == "failed to fingerprint driver: no kvm"; }));
    EXPECT_FALSE((*driver)->status().detected);
}

TEST_F(ForeignPlugin, WhatCannotBeUsedIsRefusedWithAReason) {
    const auto refused = [&](const char* expected, bool final) {
        start({{"foreign", {}, [] {
                    auto config = std::make_shared<model::MapValue>();
                    (*config->mutable_fields())["a"].set_string_value("x");
                    return config;
                }()}});
        EXPECT_TRUE(eventually([&] { return only().reason.find(expected) != std::string::npos; }))
            << expected << ": " << only().reason;
        if (final) EXPECT_EQ(only().state, PluginState::Failed) << expected;
        EXPECT_EQ(base_.configured, 0);
        host_->stop(StopKind::Dev);
        host_.reset();
    };
    refused("the plugin takes none", true);
    base_.schema_type = "numbr";
    refused("type \"numbr\"", false);
    base_.schema_type = "number";
    refused("Inappropriate value for attribute \"a\"", true);
    base_.versions = {"v9.0.0"};
    refused("speaks API version v9.0.0, this agent v0.1.0", true);
    base_.versions = {"v0.1.0"};
    base_.type = basepb::UNKNOWN;
    refused("unknown type 0", true);
    base_.type = basepb::DRIVER;
    base_.name = "";
    refused("does not tell its name", true);
}

}  // namespace
}  // namespace drover::agent
