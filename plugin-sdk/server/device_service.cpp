// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/device_service.h"

#include "plugin-sdk/wire/device_wire.h"

namespace drover::sdk {
namespace {

constexpr std::chrono::milliseconds kFingerprintPeriodMin{10};

}  // namespace

grpc::ServerWriteReactor<devicepb::FingerprintResponse>* DeviceService::Fingerprint(
    grpc::CallbackServerContext*, const devicepb::FingerprintRequest*) {
    using Stream = PeriodicStream<devicepb::FingerprintResponse>;
    auto sample = [this, last = std::optional<std::vector<DeviceGroup>>()]() mutable -> Stream::Sample {
        auto now = device_.fingerprint();
        if (!now) return wire::to_status(now.error());
        if (Status sound = wire::check_groups(*now); !sound) return wire::to_status(sound.error());
        if (last == *now) return Stream::Skip{};
        devicepb::FingerprintResponse message;
        wire::to_proto(*now, &message);
        last = std::move(*now);
        return message;
    };
    const std::chrono::nanoseconds period(device_.fingerprint_period_ns());
    return new Stream(pool_, std::max<std::chrono::nanoseconds>(period, kFingerprintPeriodMin), std::move(sample));
}

grpc::ServerUnaryReactor* DeviceService::Reserve(grpc::CallbackServerContext* context,
                                                 const devicepb::ReserveRequest* request,
                                                 devicepb::ReserveResponse* response) {
    return run_call(pool_, context, [this, request, response]() -> Status {
        std::vector<std::string> ids(request->device_ids().begin(), request->device_ids().end());
        if (ids.empty()) return make_error(Code::InvalidArgument, "Reserve: device_ids is empty");
        DROVER_TRY(DeviceReservation reservation, device_.reserve(ids));
        wire::to_proto(reservation, response);
        return {};
    });
}

grpc::ServerWriteReactor<devicepb::StatsResponse>* DeviceService::Stats(grpc::CallbackServerContext*,
                                                                        const devicepb::StatsRequest* request) {
    using Stream = PeriodicStream<devicepb::StatsResponse>;
    auto sample = [this]() -> Stream::Sample {
        auto now = device_.stats();
        if (!now) return wire::to_status(now.error());
        devicepb::StatsResponse message;
        wire::to_proto(*now, &message);
        return message;
    };
    return new Stream(pool_, stats_period(wire::duration_from_proto(request->collection_interval())),
                      std::move(sample));
}

}  // namespace drover::sdk
