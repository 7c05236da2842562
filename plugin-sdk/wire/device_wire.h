// SPDX-License-Identifier: Apache-2.0
// Device protocol messages <-> SDK values; see driver_wire.h, whose rules hold here. Used by plugin-sdk/server (a
// plugin's side) and agent/host (the agent's side).
#pragma once
#include "drover/device.h"
#include "plugin-sdk/wire/driver_wire.h"
#include "proto/plugin/device.pb.h"

namespace drover::sdk::wire {

namespace devicepb = hashicorp::nomad::plugins::device;

void to_proto(const std::vector<DeviceGroup>& in, devicepb::FingerprintResponse* out);
std::vector<DeviceGroup> from_proto(const devicepb::FingerprintResponse& in);
// Names, ids, attributes and units as the protocol asks for them; the error names the place. A plugin checks what it
// sends, a host what it gets (a Nomad agent ends the plugin for it).
Status check_groups(const std::vector<DeviceGroup>& groups);

void to_proto(const DeviceReservation& in, devicepb::ReserveResponse* out);
DeviceReservation from_proto(const devicepb::ReserveResponse& in);

// Every instance gets a timestamp: one without is thrown away by Nomad's hosts.
void to_proto(const std::vector<DeviceGroupStats>& in, devicepb::StatsResponse* out);
// Objects nested deeper than a bound are cut off.
std::vector<DeviceGroupStats> from_proto(const devicepb::StatsResponse& in);

}  // namespace drover::sdk::wire
