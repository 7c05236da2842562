// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/wire/device_wire.h"

#include <gtest/gtest.h>

namespace drover::sdk::wire {
namespace {

TEST(DeviceWire, GroupsComeBackAsTheyWere) {
    const std::vector<DeviceGroup> groups = {
        {.vendor = "acme",
         .type = "gpu",
         .name = "X1",
         .devices = {{.id = "a", .healthy = true, .health_description = "", .pci_bus_id = "0000:03:00.0"},
                     {.id = "b", .healthy = false, .health_description = "too hot", .pci_bus_id = ""}},
         .attributes = {{"memory", {int64_t{81559}, "MiB"}}, {"ecc", {true, ""}}, {"clock", {1.5, "GHz"}}}},
        {.vendor = "acme", .type = "fpga", .name = "F", .devices = {}, .attributes = {}}};
    devicepb::FingerprintResponse message;
    to_proto(groups, &message);
    EXPECT_FALSE(message.device_group(0).devices(1).has_hw_locality());
    EXPECT_EQ(from_proto(message), groups);
}

TEST(DeviceWire, ReservationsComeBackAsTheyWere) {
    DeviceReservation reservation;
    reservation.env = {{"VISIBLE", "a,b"}};
    reservation.mounts.push_back({.task_path = "/lib/x",
                                  .host_path = "/opt/x",
                                  .read_only = true,
                                  .propagation_mode = "",
                                  .selinux_label = "",
                                  .request_name = ""});
    reservation.devices = {{.task_path = "/dev/x", .host_path = "/dev/x0", .cgroup_permissions = "rw"}};
    devicepb::ReserveResponse message;
    to_proto(reservation, &message);
    EXPECT_EQ(from_proto(message), reservation);
    // Nothing at all is still a reservation for a host that expects one.
    to_proto(DeviceReservation{}, &message);
    EXPECT_TRUE(message.has_container_res());
}

TEST(DeviceWire, StatsComeBackAsTheyWere) {
    DeviceStats stats;
    stats.summary = {.value = int64_t{3}, .denominator = 8.0, .unit = "MiB", .description = "used"};
    stats.stats.values = {{"load", {.value = 0.5, .denominator = 1.0, .unit = "", .description = ""}},
                          {"mode", {.value = std::string("P0"), .denominator = {}, .unit = "", .description = ""}},
                          {"ok", {.value = true, .denominator = {}, .unit = "", .description = ""}}};
    stats.stats.nested["ecc"].values["errors"] = {
        .value = int64_t{0}, .denominator = {}, .unit = "", .description = ""};
    stats.timestamp_unix_ns = 1'700'000'000'123'456'789;
    std::vector<DeviceGroupStats> groups(1);
    groups[0].vendor = "acme";
    groups[0].type = "gpu";
    groups[0].name = "X1";
    groups[0].instances["a"] = stats;
    devicepb::StatsResponse message;
    to_proto(groups, &message);
    EXPECT_EQ(message.groups(0).instance_stats().at("a").summary().int_denominator_val().value(), 8);
    EXPECT_EQ(from_proto(message), groups);
    // A sample without a time is thrown away by hosts: it gets one.
    groups[0].instances["a"].timestamp_unix_ns = 0;
    devicepb::StatsResponse timed;
    to_proto(groups, &timed);
    EXPECT_GT(from_proto(timed)[0].instances["a"].timestamp_unix_ns, 1'700'000'000'000'000'000);
}

TEST(DeviceWire, DeepStatsAreCutOff) {
    devicepb::StatsResponse message;
    structspb::StatObject* at = (*message.add_groups()->mutable_instance_stats())["a"].mutable_stats();
    for (int i = 0; i < 90; ++i) at = &(*at->mutable_nested())["x"];
    int depth = 0;
    auto groups = from_proto(message);
    for (const StatObject* each = &groups[0].instances["a"].stats; each->nested.count("x"); ++depth)
        each = &each->nested.at("x");
    EXPECT_EQ(depth, 16);
}

}  // namespace
}  // namespace drover::sdk::wire
