// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/goplugin_services.h"

#include <mutex>

#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk {

// --- BasePlugin

grpc::ServerUnaryReactor* BaseService::PluginInfo(grpc::CallbackServerContext* context,
                                                  const basepb::PluginInfoRequest*,
                                                  basepb::PluginInfoResponse* response) {
    wire::to_proto(sdk::PluginInfo{plugin_.type, plugin_.name(), plugin_.version(), {wire::kApiVersion}},
                   response);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
}

grpc::ServerUnaryReactor* BaseService::ConfigSchema(grpc::CallbackServerContext* context,
                                                    const basepb::ConfigSchemaRequest*,
                                                    basepb::ConfigSchemaResponse* response) {
    if (auto spec = plugin_.config_schema()) wire::to_proto(*spec, response->mutable_spec());
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
}

grpc::ServerUnaryReactor* BaseService::SetConfig(grpc::CallbackServerContext* context,
                                                 const basepb::SetConfigRequest* request, basepb::SetConfigResponse*) {
    auto* reactor = context->DefaultReactor();
    pool_.post([this, reactor, request] {
        auto set = [&]() -> Status {
            std::optional<AgentConfig> agent;
            if (request->has_nomad_config()) {
                DROVER_TRY(agent, wire::from_proto(request->nomad_config()));
            }
            return plugin_.set_config(request->msgpack_config(), agent);
        };
        Status status = set().context("SetConfig failed");
        reactor->Finish(status ? grpc::Status::OK : wire::to_status(status.error()));
    });
    return reactor;
}

// --- GRPCController

grpc::ServerUnaryReactor* ControllerService::Shutdown(grpc::CallbackServerContext*, const plugin::Empty*,
                                                      plugin::Empty*) {
    class Reactor final : public grpc::ServerUnaryReactor {
     public:
        explicit Reactor(const std::function<void()>& done) : done_(done) { Finish(grpc::Status::OK); }
        void OnDone() override {
            done_();
            delete this;
        }

     private:
        const std::function<void()>& done_;
    };
    return new Reactor(shutdown_);
}

// --- GRPCStdio: the plugin's real stdout and stderr belong to the host already

grpc::ServerWriteReactor<plugin::StdioData>* StdioService::StreamStdio(grpc::CallbackServerContext*,
                                                                       const google::protobuf::Empty*) {
    class Reactor final : public grpc::ServerWriteReactor<plugin::StdioData> {
     public:
        void OnCancel() override { Finish(grpc::Status::OK); }
        void OnDone() override { delete this; }
    };
    return new Reactor;
}

// --- GRPCBroker: held open until the host closes its side or goes

grpc::ServerBidiReactor<plugin::ConnInfo, plugin::ConnInfo>* BrokerService::StartStream(grpc::CallbackServerContext*) {
    class Reactor final : public grpc::ServerBidiReactor<plugin::ConnInfo, plugin::ConnInfo> {
     public:
        Reactor() { StartRead(&message_); }
        // A read in flight ends with ok = false when the call is cancelled: this is the one place that finishes.
        void OnReadDone(bool ok) override {
            if (ok)
                StartRead(&message_);
            else
                Finish(grpc::Status::OK);
        }
        void OnDone() override { delete this; }

     private:
        plugin::ConnInfo message_;
    };
    return new Reactor;
}

// --- Health

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const grpc::health::v1::HealthCheckRequest* request,
                                               grpc::health::v1::HealthCheckResponse* response) {
    auto* reactor = context->DefaultReactor();
    if (request->service().empty() || request->service() == "plugin") {
        response->set_status(grpc::health::v1::HealthCheckResponse::SERVING);
        reactor->Finish(grpc::Status::OK);
    } else {
        reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "unknown service"));
    }
    return reactor;
}

}  // namespace drover::sdk
