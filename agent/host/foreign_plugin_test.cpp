// SPDX-License-Identifier: Apache-2.0
// A plugin that is not made with our SDK: on TCP, with only the two services that Nomad needs, and with bad
// manners. The process is a shell script that prints the handshake; the service it points to is in this test.

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "agent/host/plugin_host.h"
#include "agent/host/record.h"
#include "base/files.h"
#include "proto/plugin/base.grpc.pb.h"
#include "proto/plugin/driver.grpc.pb.h"

namespace drover::agent {
namespace {

namespace basepb = hashicorp::nomad::plugins::base::proto;
namespace driverpb = hashicorp::nomad::plugins::drivers::proto;

class ForeignBase : public basepb::BasePlugin::Service {
 public:
    grpc::Status PluginInfo(grpc::ServerContext*, const basepb::PluginInfoRequest*,
                            basepb::PluginInfoResponse* out) override {
        out->set_type(type);
        out->set_name(name);
        out->set_plugin_version("1.2.3-beta");
        for (const auto& version : versions) out->add_plugin_api_versions(version);
        return grpc::Status::OK;
    }
    grpc::Status ConfigSchema(grpc::ServerContext*, const basepb::ConfigSchemaRequest*,
                              basepb::ConfigSchemaResponse* out) override {
        if (!schema_type.empty()) {
            auto& attribute = (*out->mutable_spec()->mutable_object()->mutable_attributes())["a"];
            attribute.mutable_attr()->set_type(schema_type);
        }
        return grpc::Status::OK;
    }
    grpc::Status SetConfig(grpc::ServerContext*, const basepb::SetConfigRequest* in,
                           basepb::SetConfigResponse*) override {
        config_bytes = in->msgpack_config();
        api_version = in->plugin_api_version();
        ++configured;
        return grpc::Status::OK;
    }
    basepb::PluginType type = basepb::DRIVER;
    std::string name = "foreign";
    std::vector<std::string> versions = {"v9.0.0", "0.1.0"};
    std::string schema_type;
    std::string config_bytes = "?", api_version;
    std::atomic<int> configured = 0;
};

class ForeignDriver : public driverpb::Driver::Service {
 public:
    grpc::Status TaskConfigSchema(grpc::ServerContext*, const driverpb::TaskConfigSchemaRequest*,
                                  driverpb::TaskConfigSchemaResponse* out) override {
        out->mutable_spec()->mutable_object();
        return grpc::Status::OK;
    }
    grpc::Status Capabilities(grpc::ServerContext*, const driverpb::CapabilitiesRequest*,
                              driverpb::CapabilitiesResponse*) override {
        return grpc::Status::OK;
    }
    // Says its word and ends the stream at once, as some plugins do.
    grpc::Status Fingerprint(grpc::ServerContext*, const driverpb::FingerprintRequest*,
                             grpc::ServerWriter<driverpb::FingerprintResponse>* out) override {
        ++fingerprints;
        driverpb::FingerprintResponse message;
        if (!fingerprint_error.empty()) return grpc::Status(grpc::StatusCode::UNKNOWN, fingerprint_error);
        message.set_health(driverpb::FingerprintResponse::HEALTHY);
        (*message.mutable_attributes())["driver.foreign.memory"].set_int_val(4);
        (*message.mutable_attributes())["driver.foreign.memory"].set_unit("GiB");
        out->Write(message);
        return grpc::Status::OK;
    }
    grpc::Status StartTask(grpc::ServerContext*, const driverpb::StartTaskRequest* in,
                           driverpb::StartTaskResponse* out) override {
        // What other plugins dereference without looking must be there.
        if (!in->task().resources().has_linux_resources() ||
            !in->task().resources().has_allocated_resources()) {
            return grpc::Status(grpc::StatusCode::UNKNOWN, "resources are missing");
        }
        if (in->task().id() == "unavailable")
            return grpc::Status(grpc::StatusCode::UNAVAILABLE, "my database is down");
        out->mutable_handle()->set_version(1);
        *out->mutable_handle()->mutable_config() = in->task();
        return grpc::Status::OK;
    }
    std::atomic<int> fingerprints = 0;
    std::string fingerprint_error;
};

bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
}

class ForeignPlugin : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-foreign-XXXXXX";
        dir_ = ::mkdtemp(name);
        ASSERT_TRUE(make_dirs(dir_ + "/plugins"));
        int port = 0;
        grpc::ServerBuilder builder;
        builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
        builder.RegisterService(&base_);
        builder.RegisterService(&driver_service_);
        server_ = builder.BuildAndStart();
        ASSERT_GT(port, 0);
        ASSERT_TRUE(write_file(
            dir_ + "/plugins/foreign",
            fmt::format("#!/bin/sh\necho '1|2|tcp|127.0.0.1:{}|grpc|'\necho more\nexec sleep 1000\n", port),
            0755));
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    void TearDown() override {
        if (host_) host_->stop(StopKind::Dev);
        host_.reset();
        work_.reset();
        for (auto& thread : threads_) thread.join();
        server_->Shutdown();
        EXPECT_TRUE(remove_tree(dir_));
    }
    void start(std::vector<PluginBlock> blocks = {}) {
        PluginHostOptions options;
        options.data_dir = dir_;
        options.bundled_plugin_dir = dir_ + "/plugins";
        options.blocks = std::move(blocks);
        options.cgroup_parent = "";
        options.limits.backoff_min_ns = 20 * kMillisecond;
        options.limits.shutdown_ns = 100 * kMillisecond;
        options.limits.fingerprint_retry_min_ns = 50 * kMillisecond;
        auto host = PluginHost::start(std::move(options), io_);
        ASSERT_TRUE(host) << host.error().message();
        host_ = std::move(*host);
    }
    PluginStatus only() { return host_->plugins().at(0); }

    std::string dir_;
    ForeignBase base_;
    ForeignDriver driver_service_;
    std::unique_ptr<grpc::Server> server_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    std::vector<std::thread> threads_;
    std::unique_ptr<PluginHost> host_;
};

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
