// SPDX-License-Identifier: Apache-2.0
// A plugin that is not made with our SDK, for tests: on TCP, with only the services that Nomad needs, and
// with any bad manners asked for. The process is a shell script that prints the handshake; the services are
// in the test.
#pragma once
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <future>

#include "agent/host/host_fixture.h"
#include "proto/plugin/base.grpc.pb.h"
#include "proto/plugin/driver.grpc.pb.h"

namespace drover::agent {

namespace basepb = hashicorp::nomad::plugins::base::proto;
namespace driverpb = hashicorp::nomad::plugins::drivers::proto;

// What the services do at the call named `at`, `times` times: end the process behind them, or not answer.
class Misbehaviour {
 public:
    enum class Kind { None, Kill, Hang };
    void script(Kind kind, std::string at, int times) {
        std::lock_guard lock(mutex_);
        kind_ = kind;
        at_ = std::move(at);
        left_ = times;
    }
    void release() {
        std::lock_guard lock(mutex_);
        kind_ = Kind::None;
        released_.notify_all();
    }
    void on_call(std::string_view method) {
        std::unique_lock lock(mutex_);
        if (kind_ == Kind::None || method != at_ || left_ <= 0) return;
        --left_;
        if (kind_ == Kind::Hang)
            released_.wait_for(lock, std::chrono::seconds(30), [&] { return kind_ == Kind::None; });
        else if (auto pid = read_file(pid_file, 64))
            ::kill(std::atoi(pid->c_str()), SIGKILL);
    }
    std::string pid_file;

 private:
    std::mutex mutex_;
    std::condition_variable released_;
    Kind kind_ = Kind::None;
    std::string at_;
    int left_ = 0;
};

class ForeignBase : public basepb::BasePlugin::Service {
 public:
    grpc::Status PluginInfo(grpc::ServerContext*, const basepb::PluginInfoRequest*,
                            basepb::PluginInfoResponse* out) override {
        manners.on_call("PluginInfo");
        out->set_type(type);
        out->set_name(name);
        out->set_plugin_version(plugin_version);
        for (const auto& version : versions) out->add_plugin_api_versions(version);
        return grpc::Status::OK;
    }
    grpc::Status ConfigSchema(grpc::ServerContext*, const basepb::ConfigSchemaRequest*,
                              basepb::ConfigSchemaResponse* out) override {
        manners.on_call("ConfigSchema");
        if (!schema_type.empty()) {
            auto& attribute = (*out->mutable_spec()->mutable_object()->mutable_attributes())["a"];
            attribute.mutable_attr()->set_type(schema_type);
        }
        return grpc::Status::OK;
    }
    grpc::Status SetConfig(grpc::ServerContext*, const basepb::SetConfigRequest* in,
                           basepb::SetConfigResponse*) override {
        manners.on_call("SetConfig");
        config_bytes = in->msgpack_config();
        api_version = in->plugin_api_version();
        ++configured;
        return grpc::Status::OK;
    }
    explicit ForeignBase(Misbehaviour& manners) : manners(manners) {}
    Misbehaviour& manners;
    basepb::PluginType type = basepb::DRIVER;
    std::string plugin_version = "1.2.3-beta";
    std::string name = "foreign";
    std::vector<std::string> versions = {"v9.0.0", "0.1.0"};
    std::string schema_type;
    std::string config_bytes = "?", api_version;
    std::atomic<int> configured = 0;
};

class ForeignDriver : public driverpb::Driver::Service {
 public:
    explicit ForeignDriver(Misbehaviour& manners) : manners(manners) {}
    grpc::Status TaskConfigSchema(grpc::ServerContext*, const driverpb::TaskConfigSchemaRequest*,
                                  driverpb::TaskConfigSchemaResponse* out) override {
        manners.on_call("TaskConfigSchema");
        out->mutable_spec()->mutable_object();
        return grpc::Status::OK;
    }
    grpc::Status Capabilities(grpc::ServerContext*, const driverpb::CapabilitiesRequest*,
                              driverpb::CapabilitiesResponse*) override {
        manners.on_call("Capabilities");
        return grpc::Status::OK;
    }
    // Says its word and ends the stream at once, as some plugins do.
    grpc::Status Fingerprint(grpc::ServerContext*, const driverpb::FingerprintRequest*,
                             grpc::ServerWriter<driverpb::FingerprintResponse>* out) override {
        ++fingerprints;
        manners.on_call("Fingerprint");
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
        out->mutable_handle()->set_driver_state(std::string(driver_state_bytes, 'x'));
        *out->mutable_handle()->mutable_config() = in->task();
        return grpc::Status::OK;
    }
    Misbehaviour& manners;
    size_t driver_state_bytes = 0;
    std::atomic<int> fingerprints = 0;
    std::string fingerprint_error;
};

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
        builder.SetMaxReceiveMessageSize(-1);
        server_ = builder.BuildAndStart();
        ASSERT_GT(port, 0);
        manners_.pid_file = dir_ + "/pid";
        ASSERT_TRUE(write_file(dir_ + "/plugins/foreign",
                               fmt::format("#!/bin/sh\necho $$ > {}\necho '1|2|tcp|127.0.0.1:{}|grpc|'\n"
                                           "echo more\nexec sleep 1000\n",
                                           manners_.pid_file, port),
                               0755));
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    void TearDown() override {
        manners_.release();
        if (host_) host_->stop(StopKind::Dev);
        host_.reset();
        work_.reset();
        for (auto& thread : threads_) thread.join();
        server_->Shutdown();
        EXPECT_TRUE(remove_tree(dir_));
    }
    void start(std::vector<PluginBlock> blocks = {}, HostLimits limits = {}) {
        PluginHostOptions options;
        options.limits = limits;
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
    Misbehaviour manners_;
    ForeignBase base_{manners_};
    ForeignDriver driver_service_{manners_};
    std::unique_ptr<grpc::Server> server_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    std::vector<std::thread> threads_;
    std::unique_ptr<PluginHost> host_;
};

}  // namespace drover::agent
