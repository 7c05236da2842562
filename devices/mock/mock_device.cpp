// SPDX-License-Identifier: Apache-2.0
#include "devices/mock/mock_device.h"

#include <signal.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"
#include "drover/log.h"
#include "drover/units.h"

namespace drover::devices {
namespace {

// What the config says about an RPC: die like a plugin with a bug, or never come back.
void misbehave(std::string_view rpc, const MockConfig& config) {
    if (rpc == config.crash_at) {
        log::warn("mock_device", "crashing on request", {{"rpc", rpc}});
        ::kill(::getpid(), SIGKILL);
    }
    while (rpc == config.hang_at) ::pause();
}

struct State {
    std::map<std::string, std::string> unhealthy;  // id -> why
    std::map<std::string, bool> gone;
};
State read_state(const std::string& file) {
    State state;
    auto text = file.empty() ? Result<std::string>(std::string()) : read_file(file, 1 << 20);
    if (!text) return state;
    for (const std::string& line : split(*text, '\n')) {
        if (starts_with(line, "-")) {
            state.gone[line.substr(1)] = true;
        } else if (size_t space = line.find(' '); space != std::string::npos) {
            state.unhealthy[line.substr(0, space)] = line.substr(space + 1);
        }
    }
    return state;
}

std::vector<std::string> present(const MockGroup& group, const State& state) {
    std::vector<std::string> ids;
    for (const std::string& id : group.ids)
        if (!state.gone.count(id)) ids.push_back(id);
    return ids;
}

}  // namespace

const sdk::Schema<MockConfig>& mock_schema() {
    using G = MockGroup;
    using C = MockConfig;
    static const auto group = sdk::Schema<G>()
                                  .optional("vendor", &G::vendor)
                                  .optional("type", &G::type)
                                  .optional("name", &G::name)
                                  .required("ids", &G::ids)
                                  .optional("pci_bus_ids", &G::pci_bus_ids)
                                  .optional("texts", &G::texts)
                                  .optional("megabytes", &G::megabytes)
                                  .optional("env", &G::env)
                                  .optional("mounts", &G::mounts)
                                  .optional("dev_nodes", &G::dev_nodes);
    static const auto schema = sdk::Schema<C>()
                                   .blocks("group", &C::groups, group)
                                   .optional("state_file", &C::state_file)
                                   .optional("fingerprint_period", &C::fingerprint_period)
                                   .optional("none", &C::none)
                                   .optional("set_config_error", &C::set_config_error)
                                   .optional("fingerprint_error", &C::fingerprint_error)
                                   .optional("reserve_error", &C::reserve_error)
                                   .optional("stats_error", &C::stats_error)
                                   .optional("crash_at", &C::crash_at)
                                   .optional("hang_at", &C::hang_at);
    return schema;
}

MockConfig MockDevice::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

Status MockDevice::set_config(std::string_view msgpack) {
    DROVER_TRY(MockConfig config, mock_schema().decode(msgpack));
    misbehave("SetConfig", config);
    if (!config.set_config_error.empty()) return Error(Code::InvalidArgument, config.set_config_error);
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    return {};
}

Result<std::vector<sdk::DeviceGroup>> MockDevice::fingerprint() {
    const MockConfig now = config();
    misbehave("Fingerprint", now);
    if (now.none) return make_error(Code::NotFound, "there are no mock devices on this machine");
    if (!now.fingerprint_error.empty()) return Error(Code::Internal, now.fingerprint_error);
    const State state = read_state(now.state_file);
    std::vector<sdk::DeviceGroup> groups;
    for (const MockGroup& from : now.groups) {
        sdk::DeviceGroup& group = groups.emplace_back();
        group.vendor = from.vendor;
        group.type = from.type;
        group.name = from.name;
        for (const auto& [key, text] : from.texts) group.attributes[key] = {text, ""};
        for (const auto& [key, number] : from.megabytes)
            group.attributes[key] = sdk::with_unit(number, sdk::unit::kMiB);
        for (size_t i = 0; i < from.ids.size(); ++i) {
            if (state.gone.count(from.ids[i])) continue;
            sdk::Device& device = group.devices.emplace_back();
            device.id = from.ids[i];
            if (i < from.pci_bus_ids.size()) device.pci_bus_id = from.pci_bus_ids[i];
            auto sick = state.unhealthy.find(device.id);
            if (sick == state.unhealthy.end()) continue;
            device.healthy = false;
            device.health_description = sick->second;
        }
    }
    return groups;
}

Result<sdk::DeviceReservation> MockDevice::reserve(const std::vector<std::string>& device_ids) {
    const MockConfig now = config();
    misbehave("Reserve", now);
    if (!now.reserve_error.empty()) return Error(Code::Internal, now.reserve_error);
    const State state = read_state(now.state_file);
    sdk::DeviceReservation out;
    out.env["MOCK_DEVICES"] = join(device_ids, ",");
    for (const std::string& id : device_ids) {
        bool found = false;
        for (const MockGroup& group : now.groups) {
            const auto ids = present(group, state);
            if (std::find(ids.begin(), ids.end(), id) == ids.end()) continue;
            found = true;
            out.env.insert(group.env.begin(), group.env.end());
            for (const auto& [task, host] : group.mounts) {
                sdk::Mount mount;
                mount.task_path = task;
                mount.host_path = host;
                mount.read_only = true;
                if (std::find(out.mounts.begin(), out.mounts.end(), mount) == out.mounts.end())
                    out.mounts.push_back(std::move(mount));
            }
            for (const auto& [task, host] : group.dev_nodes) {
                sdk::DeviceNode node{.task_path = task, .host_path = host, .cgroup_permissions = "rw"};
                if (std::find(out.devices.begin(), out.devices.end(), node) == out.devices.end())
                    out.devices.push_back(std::move(node));
            }
        }
        if (!found) return make_error(Code::NotFound, "there is no device \"{}\"", id);
    }
    return out;
}

Result<std::vector<sdk::DeviceGroupStats>> MockDevice::stats() {
    const MockConfig now = config();
    misbehave("Stats", now);
    if (!now.stats_error.empty()) return Error(Code::Internal, now.stats_error);
    const State state = read_state(now.state_file);
    std::vector<sdk::DeviceGroupStats> out;
    for (const MockGroup& from : now.groups) {
        sdk::DeviceGroupStats& group = out.emplace_back();
        group.vendor = from.vendor;
        group.type = from.type;
        group.name = from.name;
        for (const std::string& id : present(from, state)) {
            sdk::DeviceStats& stats = group.instances[id];
            stats.summary.value = int64_t{256};
            stats.summary.denominator = 1024;
            stats.summary.unit = sdk::unit::kMiB;
            stats.summary.description = "Memory used";
            stats.stats.values["temperature"].value = 40.5;
            stats.stats.nested["ecc"].values["errors"].value = int64_t{0};
        }
    }
    return out;
}

}  // namespace drover::devices
