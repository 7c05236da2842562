// SPDX-License-Identifier: Apache-2.0
// The calls of device plugins; see plugin_rpc.h.
#include "agent/host/plugin_rpc_impl.h"
#include "plugin-sdk/wire/device_wire.h"

namespace drover::agent {

namespace devicepb = wire::devicepb;

std::unique_ptr<OpenCall> PluginRpc::device_fingerprint(
    std::function<void(std::vector<sdk::DeviceGroup>)> message, Done<void> ended) {
    return impl_->stream<devicepb::FingerprintResponse>(
        "Fingerprint", devicepb::FingerprintRequest(),
        [s = impl_->device.get()](auto... a) { s->async()->Fingerprint(a...); },
        [message](const devicepb::FingerprintResponse& m) { message(wire::from_proto(m)); }, std::move(ended));
}

void PluginRpc::device_reserve(const std::vector<std::string>& ids, Done<sdk::DeviceReservation> done) {
    devicepb::ReserveRequest request;
    for (const auto& id : ids) request.add_device_ids(id);
    impl_->unary<devicepb::ReserveResponse>(
        "Reserve", impl_->limits.call_ns, std::move(request),
        [s = impl_->device.get()](auto... a) { s->async()->Reserve(a...); },
        [done = std::move(done)](Result<devicepb::ReserveResponse> r) {
            if (!r) return done(std::move(r).error());
            done(wire::from_proto(*r));
        });
}

std::unique_ptr<OpenCall> PluginRpc::device_stats(
    int64_t interval_ns, std::function<void(std::vector<sdk::DeviceGroupStats>)> message, Done<void> ended) {
    devicepb::StatsRequest request;
    *request.mutable_collection_interval() = wire::duration_to_proto(interval_ns);
    return impl_->stream<devicepb::StatsResponse>(
        "Stats", std::move(request), [s = impl_->device.get()](auto... a) { s->async()->Stats(a...); },
        [message](const devicepb::StatsResponse& m) { message(wire::from_proto(m)); }, std::move(ended));
}

}  // namespace drover::agent
