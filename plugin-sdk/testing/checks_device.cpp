// SPDX-License-Identifier: Apache-2.0
// Checks of device plugins: which devices there are, what a task needs to use them, their figures.
#include <set>

#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"
#include "plugin-sdk/testing/device_calls.h"
#include "plugin-sdk/testing/streams.h"

namespace drover::sdk::testing {
namespace {

constexpr int64_t kHoldNs = 700 * kMillisecond;
constexpr char kNoDevice[] = "no device of this kind on this machine";

std::string name_of(const std::string& vendor, const std::string& type, const std::string& name) {
    return fmt::format("{}/{}/{}", vendor, type, name);
}

Result<std::vector<DeviceGroup>> devices(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    return DeviceFingerprint(plugin->channel()).next().context("the first message of Fingerprint");
}

// An orderly end without a message is how a plugin says that this machine cannot have any.
bool has_none(const Error& error) {
    return error.code() == Code::Cancelled || error.code() == Code::Ok;
}

Verdict fingerprint(Bench& bench) {
    auto groups = devices(bench);
    if (!groups && has_none(groups.error())) return skipped("{}", kNoDevice);
    if (!groups) return std::move(groups).error();
    size_t count = 0;
    std::set<std::string> names;
    for (const DeviceGroup& group : *groups) {
        const std::string name = name_of(group.vendor, group.type, group.name);
        if (group.vendor.empty() || group.type.empty() || group.name.empty())
            return failed("group: expected vendor, type and name, found \"{}\"", name);
        if (!names.insert(name).second) return failed("group {}: expected once, found again", name);
        std::set<std::string> ids;
        for (const Device& device : group.devices) {
            if (device.id.empty())
                return failed("group {}: expected an id for each device, found none", name);
            if (!ids.insert(device.id).second)
                return failed("group {}: expected unique ids, found \"{}\" twice", name, device.id);
        }
        for (const auto& [key, attribute] : group.attributes)
            if (std::holds_alternative<std::monostate>(attribute.value))
                return failed("group {}, attribute {}: expected a value, found none", name, key);
        count += ids.size();
    }
    return passed("{} devices in {} groups", count, groups->size());
}

Verdict fingerprint_held(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const HeldStream seen = hold_stream(plugin->channel(), HostStream::DeviceFingerprint, kHoldNs);
    if (seen.ended && seen.messages == 0 && has_none(*seen.ended)) return skipped("{}", kNoDevice);
    if (seen.ended)
        return failed("expected the stream to stay open (its end takes the devices away), found: {}",
                      seen.ended->message());
    return {};
}

Verdict reserve_each(Bench& bench) {
    auto groups = devices(bench);
    if (!groups && has_none(groups.error())) return skipped("{}", kNoDevice);
    if (!groups) return std::move(groups).error();
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    size_t count = 0;
    for (const DeviceGroup& group : *groups)
        for (const Device& device : group.devices) {
            auto reserved = reserve(plugin->channel(), {device.id});
            if (!reserved) return std::move(reserved).error().context("Reserve of " + device.id);
            // Pure: a host that has died asks for the same again.
            auto again = reserve(plugin->channel(), {device.id});
            if (!again) return std::move(again).error().context("Reserve of " + device.id + " once more");
            if (*again != *reserved)
                return failed("Reserve of {} once more: expected the same answer, found another", device.id);
            for (const DeviceNode& node : reserved->devices)
                if (node.cgroup_permissions.empty() ||
                    node.cgroup_permissions.find_first_not_of("rwm") != std::string::npos)
                    return failed("device node {}: expected permissions of r, w and m, found \"{}\"",
                                  node.host_path, node.cgroup_permissions);
            ++count;
        }
    if (count == 0) return skipped("{}", kNoDevice);
    return passed("{} devices", count);
}

Verdict reserve_unknown(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    auto reserved = reserve(plugin->channel(), {"no-such-device"});
    if (reserved) return failed("expected an error, found OK");
    DROVER_CHECK(plugin->info().context("after Reserve of an unknown id"));
    return {};
}

Verdict stats(Bench& bench) {
    auto groups = devices(bench);
    if (!groups && has_none(groups.error())) return skipped("{}", kNoDevice);
    if (!groups) return std::move(groups).error();
    std::set<std::string> known;
    for (const DeviceGroup& group : *groups)
        for (const Device& device : group.devices)
            known.insert(name_of(group.vendor, group.type, group.name) + "/" + device.id);
    if (known.empty()) return skipped("{}", kNoDevice);
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(auto samples, device_stats(plugin->channel(), 200 * kMillisecond, 1).context("Stats"));
    for (const DeviceGroupStats& group : samples.front())
        for (const auto& [id, figures] : group.instances) {
            const std::string name = name_of(group.vendor, group.type, group.name) + "/" + id;
            if (!known.count(name)) return failed("expected figures of known devices, found {}", name);
            if (figures.timestamp_unix_ns <= 0) return failed("{}: expected a timestamp, found none", name);
        }
    return {};
}

}  // namespace

const std::vector<Check>& device_checks() {
    using enum CheckKind;
    using enum Needs;
    static const std::vector<Check> table = {
        {"device/fingerprint", "The first message comes at once: groups with names, devices with unique ids",
         Device, Plugin, fingerprint},
        {"device/fingerprint-held", "The fingerprint stream stays open", Device, Plugin, fingerprint_held},
        {"device/reserve", "Each device can be reserved, again with the same answer", Device, Plugin,
         reserve_each},
        {"device/reserve-unknown", "An unknown id is an error, and the plugin lives on", Device, Plugin,
         reserve_unknown},
        {"device/stats", "Stats gives figures with times, of known devices only", Device, Plugin, stats},
    };
    return table;
}

}  // namespace drover::sdk::testing
