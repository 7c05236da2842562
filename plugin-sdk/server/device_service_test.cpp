// SPDX-License-Identifier: Apache-2.0
// What the SDK refuses to send, because a host would refuse it and not tell the author why.
#include "plugin-sdk/server/device_service.h"
#include "plugin-sdk/wire/device_wire.h"

#include <gtest/gtest.h>

#include "drover/units.h"

namespace drover::sdk {
namespace {

DeviceGroup sound() {
    DeviceGroup group{.vendor = "acme", .type = "gpu", .name = "X1", .devices = {}, .attributes = {}};
    group.devices.resize(2);
    group.devices[0].id = "a";
    group.devices[1].id = "b";
    group.attributes = {{"memory", with_unit(81559, unit::kMiB)}, {"clock", with_unit(1.5, unit::kGHz)}};
    return group;
}
std::string refusal(const std::function<void(DeviceGroup&)>& spoil) {
    DeviceGroup group = sound();
    spoil(group);
    Status status = wire::check_groups({group});
    return status ? "" : status.error().message();
}

TEST(DeviceGroups, SoundOnesPass) {
    EXPECT_EQ(refusal([](DeviceGroup&) {}), "");
    EXPECT_TRUE(wire::check_groups({}));
}

TEST(DeviceGroups, RefusalsNameThePlace) {
    EXPECT_EQ(refusal([](DeviceGroup& g) { g.vendor = ""; }),
              "device group /gpu/X1: vendor, type and name are all required");
    EXPECT_EQ(refusal([](DeviceGroup& g) { g.devices[1].id = ""; }), "device group acme/gpu/X1: a device has no id");
    EXPECT_EQ(refusal([](DeviceGroup& g) { g.devices[1].id = "a"; }),
              "device group acme/gpu/X1: there are two devices \"a\"");
    EXPECT_EQ(refusal([](DeviceGroup& g) { g.attributes["x"] = {}; }),
              "device group acme/gpu/X1: attribute x: has no value");
    EXPECT_EQ(refusal([](DeviceGroup& g) {
                  g.attributes["x"] = {true, "MiB"};
              }),
              "device group acme/gpu/X1: attribute x: only a number may have a unit, found \"MiB\"");
    EXPECT_EQ(refusal([](DeviceGroup& g) { g.attributes["x"] = with_unit(1, "mib"); }),
              "device group acme/gpu/X1: attribute x: \"mib\" is no unit that hosts know (MiB, GB/s, MHz, W, ...)");
    Status twice = wire::check_groups({sound(), sound()});
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().message(), "device group acme/gpu/X1: there are two of this name");
}

TEST(Units, AreHostsSpellings) {
    for (const char* text : {"KiB", "EiB", "kB", "KB", "EB", "MiB/s", "kB/s", "MHz", "GHz", "mW", "W", "GW"})
        EXPECT_TRUE(unit::known(text)) << text;
    for (const char* text : {"", "B", "kb", "MHz/s", "Hz", "/s", "w"}) EXPECT_FALSE(unit::known(text)) << text;
}

}  // namespace
}  // namespace drover::sdk
