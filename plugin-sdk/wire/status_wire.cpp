// SPDX-License-Identifier: Apache-2.0
// Times and errors <-> their wire forms.
#include <limits>

#include "plugin-sdk/wire/driver_wire.h"
#include "proto/plugin/status.pb.h"

namespace drover::sdk::wire {
namespace {

constexpr int64_t kGoZeroSeconds = -62135596800;  // year 1: Go's time.Time{}
constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

// --- time

google::protobuf::Duration duration_to_proto(int64_t ns) {
    google::protobuf::Duration out;
    out.set_seconds(ns / kNsPerSecond);
    out.set_nanos(static_cast<int32_t>(ns % kNsPerSecond));
    return out;
}

int64_t duration_from_proto(const google::protobuf::Duration& in) {
    int64_t ns = 0;
    if (__builtin_mul_overflow(in.seconds(), kNsPerSecond, &ns) || __builtin_add_overflow(ns, in.nanos(), &ns))
        return in.seconds() < 0 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
    return ns;
}

google::protobuf::Timestamp timestamp_to_proto(int64_t unix_ns) {
    google::protobuf::Timestamp out;
    if (unix_ns == 0) {
        out.set_seconds(kGoZeroSeconds);
        return out;
    }
    int64_t seconds = unix_ns / kNsPerSecond;
    int64_t nanos = unix_ns % kNsPerSecond;
    if (nanos < 0) {  // the fraction of a Timestamp always counts forward
        nanos += kNsPerSecond;
        --seconds;
    }
    out.set_seconds(seconds);
    out.set_nanos(static_cast<int32_t>(nanos));
    return out;
}

int64_t timestamp_from_proto(const google::protobuf::Timestamp& in) {
    if (in.seconds() <= kGoZeroSeconds) return 0;
    int64_t ns = 0;
    if (__builtin_mul_overflow(in.seconds(), kNsPerSecond, &ns) || __builtin_add_overflow(ns, in.nanos(), &ns))
        return 0;
    return ns;
}

// --- errors

grpc::Status to_status(const Error& error) {
    if (error.retry() == Retry::Yes) {
        structspb::RecoverableError detail;
        detail.set_recoverable(true);
        drover::plugin::RpcStatus status;
        status.set_code(static_cast<int>(grpc::StatusCode::FAILED_PRECONDITION));
        status.set_message(error.message());
        google::protobuf::Any* any = status.add_details();
        any->set_type_url("type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError");
        any->set_value(detail.SerializeAsString());
        return grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, error.message(), status.SerializeAsString());
    }
    auto code = static_cast<grpc::StatusCode>(error.code());
    if (error.code() == Code::Unavailable || error.code() == Code::Cancelled || error.code() == Code::Ok)
        code = grpc::StatusCode::UNKNOWN;
    return grpc::Status(code, error.message());
}

Error from_status(const grpc::Status& status) {
    Retry retry = Retry::No;
    drover::plugin::RpcStatus details;
    structspb::RecoverableError recoverable;
    if (details.ParseFromString(status.error_details()) && details.details_size() > 0 &&
        details.details(0).type_url().ends_with("/hashicorp.nomad.plugins.shared.structs.RecoverableError") &&
        recoverable.ParseFromString(details.details(0).value()) && recoverable.recoverable()) {
        retry = Retry::Yes;
    }
    return Error(static_cast<Code>(status.error_code()), status.error_message(), retry);
}

}  // namespace drover::sdk::wire
