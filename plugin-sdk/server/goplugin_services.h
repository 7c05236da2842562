// SPDX-License-Identifier: Apache-2.0
// What every plugin process serves beside its own protocol: BasePlugin, the orderly end, the two streams that hosts
// open and nobody writes to, and health.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "drover/hclspec.h"
#include "drover/types.h"
#include "plugin-sdk/server/worker_pool.h"
#include "proto/plugin/base.grpc.pb.h"
#include "proto/plugin/goplugin.grpc.pb.h"
#include "proto/plugin/health.grpc.pb.h"

namespace drover::sdk {

namespace basepb = hashicorp::nomad::plugins::base::proto;

// Who a plugin is and what it takes as its config: what drivers and devices have in common.
struct PluginIdentity {
    PluginType type = PluginType::Unknown;
    std::function<std::string()> name;
    std::function<std::string()> version;
    std::function<std::optional<HclSpec>()> config_schema;
    std::function<Status(std::string_view msgpack, const std::optional<AgentConfig>& agent)> set_config;
};

class BaseService final : public basepb::BasePlugin::CallbackService {
 public:
    BaseService(PluginIdentity plugin, WorkerPool& pool) : plugin_(std::move(plugin)), pool_(pool) {}
    grpc::ServerUnaryReactor* PluginInfo(grpc::CallbackServerContext* context, const basepb::PluginInfoRequest*,
                                         basepb::PluginInfoResponse* response) override;
    grpc::ServerUnaryReactor* ConfigSchema(grpc::CallbackServerContext* context, const basepb::ConfigSchemaRequest*,
                                           basepb::ConfigSchemaResponse* response) override;
    grpc::ServerUnaryReactor* SetConfig(grpc::CallbackServerContext* context, const basepb::SetConfigRequest* request,
                                        basepb::SetConfigResponse*) override;

 private:
    const PluginIdentity plugin_;
    WorkerPool& pool_;
};

class ControllerService final : public plugin::GRPCController::CallbackService {
 public:
    // `shutdown` is called once the reply is on its way; it must not block.
    explicit ControllerService(std::function<void()> shutdown) : shutdown_(std::move(shutdown)) {}
    grpc::ServerUnaryReactor* Shutdown(grpc::CallbackServerContext*, const plugin::Empty*, plugin::Empty*) override;

 private:
    std::function<void()> shutdown_;
};

class StdioService final : public plugin::GRPCStdio::CallbackService {
 public:
    grpc::ServerWriteReactor<plugin::StdioData>* StreamStdio(grpc::CallbackServerContext*,
                                                             const google::protobuf::Empty*) override;
};

class BrokerService final : public plugin::GRPCBroker::CallbackService {
 public:
    grpc::ServerBidiReactor<plugin::ConnInfo, plugin::ConnInfo>* StartStream(grpc::CallbackServerContext*) override;
};

class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
    grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                    const grpc::health::v1::HealthCheckRequest* request,
                                    grpc::health::v1::HealthCheckResponse* response) override;
};

}  // namespace drover::sdk
