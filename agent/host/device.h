// SPDX-License-Identifier: Apache-2.0
// DeviceSource: one device plugin as the device manager sees it. It stays valid while the plugin's process is
// killed, relaunched or upgraded, and keeps what was last known of its devices. Implemented by device_client.cpp
// over gRPC, and by fakes in tests.
//
// Threads: every member may be called from any thread and never blocks. `done` is called exactly once, on an
// unspecified thread, never from inside the call; it must not block.
#pragma once
#include <string>
#include <vector>

#include "agent/host/driver.h"
#include "drover/device.h"

namespace drover::agent {

class DeviceSource {
 public:
    virtual ~DeviceSource() = default;

    virtual const std::string& name() const = 0;
    // All devices, as the last fingerprint said; each unhealthy, with the reason, while the plugin is away for more
    // than a moment. None before the first fingerprint, and when the plugin says that there are none.
    virtual std::vector<sdk::DeviceGroup> groups() const = 0;
    // The newest figures of those devices; a group is absent until the plugin has sent some.
    virtual std::vector<sdk::DeviceGroupStats> stats() const = 0;
    // What a task needs to use exactly these devices. Errors: the plugin's own; Unavailable (Retry::Yes) when it is
    // not running now. A reservation is nothing that has to be given back.
    virtual void reserve(std::vector<std::string> device_ids, Done<sdk::DeviceReservation> done) = 0;
};

}  // namespace drover::agent
