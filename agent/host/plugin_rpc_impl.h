// SPDX-License-Identifier: Apache-2.0
// The connection behind PluginRpc: how one call is admitted, made, and ended, for the files of this folder
// that make calls (plugin_rpc.cpp, exec_stream.cpp). Reactors only convert and hand on.
#pragma once
#include <grpcpp/grpcpp.h>

#include <condition_variable>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "agent/host/plugin_rpc.h"
#include "plugin-sdk/wire/device_wire.h"
#include "proto/plugin/base.grpc.pb.h"
#include "proto/plugin/device.grpc.pb.h"
#include "proto/plugin/driver.grpc.pb.h"
#include "proto/plugin/goplugin.grpc.pb.h"

namespace drover::agent {

namespace wire = sdk::wire;
namespace basepb = wire::basepb;
namespace driverpb = wire::driverpb;

// Shared by an open call's handle and its reactor: after closing, no callback is made.
using Gate = std::shared_ptr<std::atomic<bool>>;

class OpenContext : public OpenCall {
 public:
    OpenContext(std::shared_ptr<grpc::ClientContext> context, Gate gate)
        : context_(std::move(context)), gate_(std::move(gate)) {}
    ~OpenContext() override { OpenContext::cancel(); }
    void cancel() override {
        if (!gate_->exchange(true) && context_) context_->TryCancel();
    }

 private:
    std::shared_ptr<grpc::ClientContext> context_;
    Gate gate_;
};

struct PluginRpc::Impl : std::enable_shared_from_this<PluginRpc::Impl> {
    Impl(std::shared_ptr<grpc::Channel> channel, pid_t peer, const HostLimits& limits,
         boost::asio::io_context& io)
        : base(basepb::BasePlugin::NewStub(channel)),
          driver(driverpb::Driver::NewStub(channel)),
          device(wire::devicepb::DevicePlugin::NewStub(channel)),
          controller(plugin::GRPCController::NewStub(channel)),
          stdio(plugin::GRPCStdio::NewStub(channel)),
          peer_pid(peer),
          limits(limits),
          io(io) {}

    // The life of one call on the connection: between admit() and leave() the connection is not idle. 0:
    // closed.
    uint64_t admit(std::function<void()> cancel) {
        std::lock_guard lock(mutex);
        if (closed) return 0;
        calls.emplace(++last_call, std::move(cancel));
        return last_call;
    }
    uint64_t admit(std::shared_ptr<grpc::ClientContext> context) {
        return admit([context = std::move(context)] { context->TryCancel(); });
    }
    void leave(uint64_t call) {
        std::lock_guard lock(mutex);
        calls.erase(call);
        if (calls.empty()) idle.notify_all();
    }

    Error closed_error() const { return Error(Code::Unavailable, "the plugin is not running"); }

    // A failed call as driver.h promises it, and the news to the supervisor when it smells of death.
    Error failed(const grpc::Status& status, std::string_view method) {
        switch (status.error_code()) {
            case grpc::StatusCode::UNAVAILABLE:
            case grpc::StatusCode::CANCELLED:
            case grpc::StatusCode::DEADLINE_EXCEEDED: {
                const bool late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
                auto error = make_error(Code::Aborted, "plugin {} during {}: {}",
                                        late ? "did not answer" : "was lost", method, status.error_message());
                tell_trouble(error.message());
                return error;
            }
            case grpc::StatusCode::ABORTED:
                return Error(Code::Unknown, status.error_message());
            default:
                return wire::from_status(status);
        }
    }
    void tell_trouble(const std::string& reason) {
        std::function<void(std::string)> tell;
        {
            std::lock_guard lock(mutex);
            if (!closed) tell = std::exchange(trouble, nullptr);
        }
        if (tell) tell(reason);
    }

    // One unary call. `invoke(context, request, response, callback)` starts it, `finish(Result<Response>)`
    // ends it. deadline_ns 0: none.
    template <class Response, class Request, class Invoke, class Finish>
    std::shared_ptr<grpc::ClientContext> unary(std::string_view method, int64_t deadline_ns, Request request,
                                               Invoke invoke, Finish finish) {
        struct Call {
            std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>();
            Request request;
            Response response;
        };
        auto call = std::make_shared<Call>();
        call->request = std::move(request);
        if (deadline_ns > 0) {
            call->context->set_deadline(std::chrono::system_clock::now() +
                                        std::chrono::nanoseconds(deadline_ns));
        }
        const uint64_t id = admit(call->context);
        if (id == 0) {
            boost::asio::post(io, [error = closed_error(), finish]() mutable {
                finish(Result<Response>(std::move(error)));
            });
            return nullptr;
        }
        invoke(call->context.get(), &call->request, &call->response,
               [self = shared_from_this(), call, id, method = std::string(method),
                finish](grpc::Status status) mutable {
                   if (status.ok())
                       finish(Result<Response>(std::move(call->response)));
                   else
                       finish(Result<Response>(self->failed(status, method)));
                   self->leave(id);
               });
        return call->context;
    }

    // One server stream; `message` for each response, `ended` once.
    template <class Request, class Response>
    class Reader : public grpc::ClientReadReactor<Response> {
     public:
        Request request;
        Response response;
        std::shared_ptr<grpc::ClientContext> context = std::make_shared<grpc::ClientContext>();
        std::shared_ptr<Impl> impl;
        uint64_t id = 0;
        std::string method;
        Gate gate = std::make_shared<std::atomic<bool>>(false);
        std::function<void(const Response&)> message;
        Done<void> ended;

        void OnReadDone(bool ok) override {
            if (!ok) return;
            if (!gate->load()) message(response);
            this->StartRead(&response);
        }
        void OnDone(const grpc::Status& status) override {
            if (!gate->load()) {
                if (status.ok())
                    ended(Status());
                else
                    ended(Status(impl->failed(status, method)));
            }
            auto keep = impl;
            const uint64_t call = id;
            delete this;
            keep->leave(call);
        }
    };

    template <class Response, class Request, class Invoke>
    std::unique_ptr<OpenCall> stream(std::string_view method, Request request, Invoke invoke,
                                     std::function<void(const Response&)> message, Done<void> ended) {
        auto reader = std::make_unique<Reader<Request, Response>>();
        const uint64_t id = admit(reader->context);
        if (id == 0) {
            auto gate = reader->gate;
            boost::asio::post(io, [error = closed_error(), gate, ended = std::move(ended)]() mutable {
                if (!gate->load()) ended(Status(std::move(error)));
            });
            return std::make_unique<OpenContext>(nullptr, gate);
        }
        reader->request = std::move(request);
        reader->impl = shared_from_this();
        reader->id = id;
        reader->method = method;
        reader->message = std::move(message);
        reader->ended = std::move(ended);
        auto handle = std::make_unique<OpenContext>(reader->context, reader->gate);
        auto* raw = reader.release();  // deletes itself in OnDone
        invoke(raw->context.get(), &raw->request, raw);
        raw->StartRead(&raw->response);
        raw->StartCall();
        return handle;
    }

    std::unique_ptr<basepb::BasePlugin::Stub> base;
    std::unique_ptr<driverpb::Driver::Stub> driver;
    std::unique_ptr<wire::devicepb::DevicePlugin::Stub> device;
    std::unique_ptr<plugin::GRPCController::Stub> controller;
    std::unique_ptr<plugin::GRPCStdio::Stub> stdio;
    const pid_t peer_pid;
    const HostLimits limits;
    boost::asio::io_context& io;

    // gRPC's threads come in here without a strand, hence a mutex; held for map operations only.
    std::mutex mutex;
    std::condition_variable idle;
    bool closed = false;
    uint64_t last_call = 0;
    std::map<uint64_t, std::function<void()>> calls;  // how each is cancelled
    std::function<void(std::string)> trouble;
};

}  // namespace drover::agent
