// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/streams.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include "plugin-sdk/wire/driver_wire.h"
#include "proto/plugin/device.grpc.pb.h"
#include "proto/plugin/driver.grpc.pb.h"
#include "proto/plugin/goplugin.grpc.pb.h"

namespace drover::sdk::testing {

namespace driverpb = wire::driverpb;
namespace devicepb = hashicorp::nomad::plugins::device;

namespace {

// The call's deadline is what ends a stream that is held.
template <class Message, class Stream>
HeldStream read_on(std::unique_ptr<Stream> stream) {
    HeldStream out;
    for (Message message; stream->Read(&message);) ++out.messages;
    const grpc::Status status = stream->Finish();
    if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return out;
    out.ended = status.ok() ? Error(Code::Ok, "ended without an error") : wire::from_status(status);
    return out;
}

}  // namespace

HeldStream hold_stream(const std::shared_ptr<grpc::Channel>& channel, HostStream stream, int64_t hold_ns) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(hold_ns / 1000));
    switch (stream) {
        case HostStream::Fingerprint:
            return read_on<driverpb::FingerprintResponse>(
                driverpb::Driver::NewStub(channel)->Fingerprint(&context, driverpb::FingerprintRequest()));
        case HostStream::TaskEvents:
            return read_on<driverpb::DriverTaskEvent>(
                driverpb::Driver::NewStub(channel)->TaskEvents(&context, driverpb::TaskEventsRequest()));
        case HostStream::Stdio:
            return read_on<plugin::StdioData>(
                plugin::GRPCStdio::NewStub(channel)->StreamStdio(&context, google::protobuf::Empty()));
        case HostStream::Broker:
            return read_on<plugin::ConnInfo>(plugin::GRPCBroker::NewStub(channel)->StartStream(&context));
        case HostStream::DeviceFingerprint:
            return read_on<devicepb::FingerprintResponse>(
                devicepb::DevicePlugin::NewStub(channel)->Fingerprint(&context,
                                                                      devicepb::FingerprintRequest()));
    }
    return {};
}

}  // namespace drover::sdk::testing
