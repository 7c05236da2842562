// SPDX-License-Identifier: Apache-2.0
// The device protocol as plain calls with a deadline each, on a PluginProcess. For tests.
#pragma once
#include <memory>
#include <vector>

#include "drover/device.h"

namespace grpc {
class Channel;
}

namespace drover::sdk::testing {

// The Fingerprint stream, held open.
class DeviceFingerprint {
 public:
    explicit DeviceFingerprint(const std::shared_ptr<grpc::Channel>& channel);
    ~DeviceFingerprint();
    // The next message; the stream's status when it has ended (an orderly end is Cancelled).
    Result<std::vector<DeviceGroup>> next();

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

Result<DeviceReservation> reserve(const std::shared_ptr<grpc::Channel>& channel, const std::vector<std::string>& ids);
// The first `samples` messages of the stream.
Result<std::vector<std::vector<DeviceGroupStats>>> device_stats(const std::shared_ptr<grpc::Channel>& channel,
                                                                int64_t interval_ns, size_t samples);

}  // namespace drover::sdk::testing
