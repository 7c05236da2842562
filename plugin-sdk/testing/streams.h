// SPDX-License-Identifier: Apache-2.0
// The streams that a host opens and leaves open for as long as the plugin lives: whether a plugin holds them.
// Private to the suite.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "base/result.h"

namespace grpc {
class Channel;
}

namespace drover::sdk::testing {

enum class HostStream { Fingerprint, TaskEvents, Stdio, Broker, DeviceFingerprint };

struct HeldStream {
    int64_t messages = 0;
    std::optional<Error> ended;  // none: it was still open in the end. Code::Ok: ended without an error
};
// Opens it, reads for that long, cancels.
HeldStream hold_stream(const std::shared_ptr<grpc::Channel>& channel, HostStream stream, int64_t hold_ns);

}  // namespace drover::sdk::testing
