// SPDX-License-Identifier: Apache-2.0
// DeviceManager: all device plugins of this node as one: what the node has, what a task needs to use what it was
// given, how the devices are doing. Made by agent.cpp over the plugin host's sources. It holds no state of its own,
// so there is nothing to lose in a crash.
//
// Threads: any. reserve() blocks for up to kReserveWaitNs and the plugin's answer (limits.h call_ns).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/host/device.h"
#include "base/result.h"

namespace drover::model {
class AllocatedDeviceResource;
class DeviceGroupStats;
class Node;
}  // namespace drover::model

namespace drover::agent {

class DeviceManager {
 public:
    using Sources = std::function<std::vector<std::shared_ptr<DeviceSource>>()>;
    explicit DeviceManager(Sources sources, int64_t reserve_wait_ns = 5'000'000'000);

    // Replaces NodeResources.Devices: groups in the order vendor, type, name, each with its instances, attributes,
    // health and locality. Of two plugins with the same group the first by name counts, and the log says so.
    void apply(model::Node& node) const;

    // For one request of a task. A plugin that is just starting is waited for. Errors: NotFound, no plugin has this
    // group; Unavailable; the plugin's own.
    Result<sdk::DeviceReservation> reserve(const model::AllocatedDeviceResource& wanted) const;

    // The newest figures of all devices, and of those given to a task.
    std::vector<model::DeviceGroupStats> stats() const;
    std::vector<model::DeviceGroupStats> stats(
        const std::vector<const model::AllocatedDeviceResource*>& given) const;

 private:
    std::shared_ptr<DeviceSource> source_of(const model::AllocatedDeviceResource& wanted) const;

    const Sources sources_;
    const int64_t reserve_wait_ns_;
};

}  // namespace drover::agent
