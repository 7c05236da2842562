// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/device_calls.h"

#include <grpcpp/channel.h>

#include "plugin-sdk/wire/device_wire.h"
#include "proto/plugin/device.grpc.pb.h"

namespace drover::sdk::testing {

namespace devicepb = wire::devicepb;

namespace {

void set_deadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
}

// Of a stream that gave no more messages.
Error end_of(const grpc::Status& status) {
    return status.ok() ? Error(Code::Cancelled, "the stream has ended") : wire::from_status(status);
}

}  // namespace

struct DeviceFingerprint::Impl {
    grpc::ClientContext context;
    std::unique_ptr<devicepb::DevicePlugin::Stub> stub;
    std::unique_ptr<grpc::ClientReader<devicepb::FingerprintResponse>> stream;
    std::optional<Error> end;
};

DeviceFingerprint::DeviceFingerprint(const std::shared_ptr<grpc::Channel>& channel) : impl_(new Impl) {
    set_deadline(impl_->context);
    impl_->stub = devicepb::DevicePlugin::NewStub(channel);
    impl_->stream = impl_->stub->Fingerprint(&impl_->context, devicepb::FingerprintRequest());
}

DeviceFingerprint::~DeviceFingerprint() {
    impl_->context.TryCancel();
    if (!impl_->end) (void)impl_->stream->Finish();
}

Result<std::vector<DeviceGroup>> DeviceFingerprint::next() {
    devicepb::FingerprintResponse message;
    if (!impl_->end && impl_->stream->Read(&message)) return wire::from_proto(message);
    if (!impl_->end) impl_->end = end_of(impl_->stream->Finish());
    return *impl_->end;
}

Result<DeviceReservation> reserve(const std::shared_ptr<grpc::Channel>& channel, const std::vector<std::string>& ids) {
    grpc::ClientContext context;
    set_deadline(context);
    devicepb::ReserveRequest request;
    request.mutable_device_ids()->Assign(ids.begin(), ids.end());
    devicepb::ReserveResponse response;
    grpc::Status status = devicepb::DevicePlugin::NewStub(channel)->Reserve(&context, request, &response);
    if (!status.ok()) return wire::from_status(status);
    return wire::from_proto(response);
}

Result<std::vector<std::vector<DeviceGroupStats>>> device_stats(const std::shared_ptr<grpc::Channel>& channel,
                                                                int64_t interval_ns, size_t samples) {
    grpc::ClientContext context;
    set_deadline(context);
    devicepb::StatsRequest request;
    *request.mutable_collection_interval() = wire::duration_to_proto(interval_ns);
    auto stub = devicepb::DevicePlugin::NewStub(channel);
    auto stream = stub->Stats(&context, request);
    std::vector<std::vector<DeviceGroupStats>> out;
    devicepb::StatsResponse message;
    while (out.size() < samples && stream->Read(&message)) out.push_back(wire::from_proto(message));
    if (out.size() < samples) return end_of(stream->Finish());
    context.TryCancel();
    (void)stream->Finish();
    return out;
}

}  // namespace drover::sdk::testing
