// SPDX-License-Identifier: Apache-2.0
#include "server-lite/rpc/grpc_listener.h"

#include <google/protobuf/dynamic_message.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "base/host_port.h"
#include "base/strings.h"
#include "ports/cluster_port.h"
#include "proto/cluster/cluster.pb.h"

namespace drover::server {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr int kMessageBytesMax = 64 << 20;

// "/drover.cluster.Job/Register"; null when there is no such method.
const MethodDescriptor* method_of(const std::string& path) {
    if (!path.starts_with("/")) return nullptr;
    const auto name = replace_all(path.substr(1), "/", ".");
    const auto* file = cluster::Empty::descriptor()->file();
    const auto* method = file->pool()->FindMethodByName(name);
    return method && method->file() == file ? method : nullptr;
}

grpc::Status wire_status(const Error& error) {
    return grpc::Status(static_cast<grpc::StatusCode>(error.code()), error.message());
}

// One call. Lives until gRPC says done and the port has answered, whichever is last.
class Call final : public grpc::ServerGenericBidiReactor {
 public:
    Call(const std::string& path, ports::ClusterPort& target) : target_(target), method_(method_of(path)) {
        if (!method_) {
            Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, fmt::format("unknown method {}", path)));
            return;
        }
        StartRead(&request_bytes_);
    }

    void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the request is missing"));
        std::shared_ptr<Message> request(google::protobuf::MessageFactory::generated_factory()
                                             ->GetPrototype(method_->input_type())
                                             ->New());
        grpc::ProtoBufferReader reader(&request_bytes_);
        if (!request->ParseFromZeroCopyStream(&reader))
            return Finish(
                grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                             fmt::format("the request is no {}", method_->input_type()->full_name())));
        hold();
        target_.call(
            *method_, std::move(request),
            [this](Result<std::unique_ptr<Message>> result) {
                answer(std::move(result));
                release();
            },
            cancel_);
    }

    void OnWriteDone(bool) override {}
    void OnCancel() override { cancel_->cancel(); }
    void OnDone() override { release(); }

 private:
    void answer(Result<std::unique_ptr<Message>> result) {
        if (!result) return Finish(wire_status(result.error()));
        grpc::Slice bytes((*result)->ByteSizeLong());
        (*result)->SerializeWithCachedSizesToArray(const_cast<uint8_t*>(bytes.begin()));
        response_bytes_ = grpc::ByteBuffer(&bytes, 1);
        StartWriteAndFinish(&response_bytes_, grpc::WriteOptions(), grpc::Status::OK);
    }
    void hold() { ++owners_; }
    void release() {
        if (--owners_ == 0) delete this;
    }

    ports::ClusterPort& target_;
    const MethodDescriptor* method_;
    grpc::ByteBuffer request_bytes_, response_bytes_;
    std::shared_ptr<ports::CancelToken> cancel_ = std::make_shared<ports::CancelToken>();
    std::atomic<int> owners_{1};
};

class Service final : public grpc::CallbackGenericService {
 public:
    explicit Service(ports::ClusterPort& target) : target_(target) {}
    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
        return new Call(context->method(), target_);
    }

 private:
    ports::ClusterPort& target_;
};

}  // namespace

struct GrpcListener::Impl {
    explicit Impl(ports::ClusterPort& target) : service(target) {}
    Service service;
    std::unique_ptr<grpc::Server> server;
    std::string address;
};

GrpcListener::GrpcListener(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<GrpcListener>> GrpcListener::start(const std::string& host, uint16_t port,
                                                          ports::ClusterPort& target) {
    auto impl = std::make_unique<Impl>(target);
    int bound = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort(join_host_port(host, port), grpc::InsecureServerCredentials(), &bound);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    builder.SetMaxSendMessageSize(kMessageBytesMax);
    builder.RegisterCallbackGenericService(&impl->service);
    impl->server = builder.BuildAndStart();
    if (!impl->server || bound == 0)
        return make_error(Code::Unavailable,
                          "RPC address {} cannot be bound: in use, or no address of this machine",
                          join_host_port(host, port));
    impl->address = join_host_port(host, bound);
    return std::unique_ptr<GrpcListener>(new GrpcListener(std::move(impl)));
}

GrpcListener::~GrpcListener() {
    if (impl_ && impl_->server) impl_->server->Shutdown(std::chrono::system_clock::now());
}

const std::string& GrpcListener::address() const {
    return impl_->address;
}

}  // namespace drover::server
