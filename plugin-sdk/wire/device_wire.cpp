// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/wire/device_wire.h"

#include <set>

#include "base/clock.h"
#include "drover/units.h"

namespace drover::sdk::wire {
namespace {

constexpr int kStatDepthMax = 16;

void value_to_proto(const StatValue& in, structspb::StatValue* out) {
    if (auto* text = std::get_if<std::string>(&in.value)) out->mutable_string_val()->set_value(*text);
    if (auto* flag = std::get_if<bool>(&in.value)) out->mutable_bool_val()->set_value(*flag);
    if (auto* whole = std::get_if<int64_t>(&in.value)) {
        out->mutable_int_numerator_val()->set_value(*whole);
        if (in.denominator) out->mutable_int_denominator_val()->set_value(static_cast<int64_t>(*in.denominator));
    }
    if (auto* real = std::get_if<double>(&in.value)) {
        out->mutable_float_numerator_val()->set_value(*real);
        if (in.denominator) out->mutable_float_denominator_val()->set_value(*in.denominator);
    }
    out->set_unit(in.unit);
    out->set_desc(in.description);
}

StatValue value_from_proto(const structspb::StatValue& in) {
    StatValue out;
    if (in.has_string_val()) out.value = in.string_val().value();
    if (in.has_bool_val()) out.value = in.bool_val().value();
    if (in.has_int_numerator_val()) {
        out.value = in.int_numerator_val().value();
        if (in.has_int_denominator_val()) out.denominator = static_cast<double>(in.int_denominator_val().value());
    }
    if (in.has_float_numerator_val()) {
        out.value = in.float_numerator_val().value();
        if (in.has_float_denominator_val()) out.denominator = in.float_denominator_val().value();
    }
    out.unit = in.unit();
    out.description = in.desc();
    return out;
}

void object_to_proto(const StatObject& in, structspb::StatObject* out) {
    for (const auto& [name, value] : in.values) value_to_proto(value, &(*out->mutable_attributes())[name]);
    for (const auto& [name, nested] : in.nested) object_to_proto(nested, &(*out->mutable_nested())[name]);
}

StatObject object_from_proto(const structspb::StatObject& in, int depth) {
    StatObject out;
    for (const auto& [name, value] : in.attributes()) out.values[name] = value_from_proto(value);
    if (depth < kStatDepthMax)
        for (const auto& [name, nested] : in.nested()) out.nested[name] = object_from_proto(nested, depth + 1);
    return out;
}

Status check_attribute(const std::string& where, const Attribute& attribute) {
    const bool number =
        std::holds_alternative<int64_t>(attribute.value) || std::holds_alternative<double>(attribute.value);
    if (std::holds_alternative<std::monostate>(attribute.value))
        return make_error(Code::Internal, "{}: has no value", where);
    if (attribute.unit.empty()) return {};
    if (!number)
        return make_error(Code::Internal, "{}: only a number may have a unit, found \"{}\"", where, attribute.unit);
    if (!unit::known(attribute.unit))
        return make_error(Code::Internal, "{}: \"{}\" is no unit that hosts know (MiB, GB/s, MHz, W, ...)", where,
                          attribute.unit);
    return {};
}

}  // namespace

Status check_groups(const std::vector<DeviceGroup>& groups) {
    std::set<std::string> names;
    for (const DeviceGroup& group : groups) {
        const std::string name = fmt::format("device group {}/{}/{}", group.vendor, group.type, group.name);
        if (group.vendor.empty() || group.type.empty() || group.name.empty())
            return make_error(Code::Internal, "{}: vendor, type and name are all required", name);
        if (!names.insert(name).second) return make_error(Code::Internal, "{}: there are two of this name", name);
        std::set<std::string> ids;
        for (const Device& device : group.devices) {
            if (device.id.empty()) return make_error(Code::Internal, "{}: a device has no id", name);
            if (!ids.insert(device.id).second)
                return make_error(Code::Internal, "{}: there are two devices \"{}\"", name, device.id);
        }
        for (const auto& [key, value] : group.attributes)
            DROVER_CHECK(check_attribute(fmt::format("{}: attribute {}", name, key), value));
    }
    return {};
}

void to_proto(const std::vector<DeviceGroup>& in, devicepb::FingerprintResponse* out) {
    for (const DeviceGroup& group : in) {
        devicepb::DeviceGroup* to = out->add_device_group();
        to->set_vendor(group.vendor);
        to->set_device_type(group.type);
        to->set_device_name(group.name);
        for (const auto& [name, value] : group.attributes) to_proto(value, &(*to->mutable_attributes())[name]);
        for (const Device& device : group.devices) {
            devicepb::DetectedDevice* each = to->add_devices();
            each->set_id(device.id);
            each->set_healthy(device.healthy);
            each->set_health_description(device.health_description);
            if (!device.pci_bus_id.empty()) each->mutable_hw_locality()->set_pci_bus_id(device.pci_bus_id);
        }
    }
}

std::vector<DeviceGroup> from_proto(const devicepb::FingerprintResponse& in) {
    std::vector<DeviceGroup> out;
    for (const devicepb::DeviceGroup& group : in.device_group()) {
        DeviceGroup& to = out.emplace_back(DeviceGroup{.vendor = group.vendor(),
                                                       .type = group.device_type(),
                                                       .name = group.device_name(),
                                                       .devices = {},
                                                       .attributes = {}});
        for (const auto& [name, value] : group.attributes()) to.attributes[name] = from_proto(value);
        for (const devicepb::DetectedDevice& device : group.devices())
            to.devices.push_back({.id = device.id(),
                                  .healthy = device.healthy(),
                                  .health_description = device.health_description(),
                                  .pci_bus_id = device.hw_locality().pci_bus_id()});
    }
    return out;
}

void to_proto(const DeviceReservation& in, devicepb::ReserveResponse* out) {
    devicepb::ContainerReservation* to = out->mutable_container_res();
    for (const auto& [name, value] : in.env) (*to->mutable_envs())[name] = value;
    for (const Mount& mount : in.mounts) {
        devicepb::Mount* each = to->add_mounts();
        each->set_task_path(mount.task_path);
        each->set_host_path(mount.host_path);
        each->set_read_only(mount.read_only);
    }
    for (const DeviceNode& node : in.devices) {
        devicepb::DeviceSpec* each = to->add_devices();
        each->set_task_path(node.task_path);
        each->set_host_path(node.host_path);
        each->set_permissions(node.cgroup_permissions);
    }
}

DeviceReservation from_proto(const devicepb::ReserveResponse& in) {
    DeviceReservation out;
    const devicepb::ContainerReservation& from = in.container_res();
    out.env.insert(from.envs().begin(), from.envs().end());
    for (const devicepb::Mount& mount : from.mounts()) {
        Mount& to = out.mounts.emplace_back();
        to.task_path = mount.task_path();
        to.host_path = mount.host_path();
        to.read_only = mount.read_only();
    }
    for (const devicepb::DeviceSpec& node : from.devices())
        out.devices.push_back(
            {.task_path = node.task_path(), .host_path = node.host_path(), .cgroup_permissions = node.permissions()});
    return out;
}

void to_proto(const std::vector<DeviceGroupStats>& in, devicepb::StatsResponse* out) {
    const int64_t now = unix_now();
    for (const DeviceGroupStats& group : in) {
        devicepb::DeviceGroupStats* to = out->add_groups();
        to->set_vendor(group.vendor);
        to->set_type(group.type);
        to->set_name(group.name);
        for (const auto& [id, stats] : group.instances) {
            devicepb::DeviceStats& each = (*to->mutable_instance_stats())[id];
            value_to_proto(stats.summary, each.mutable_summary());
            object_to_proto(stats.stats, each.mutable_stats());
            *each.mutable_timestamp() = timestamp_to_proto(stats.timestamp_unix_ns ? stats.timestamp_unix_ns : now);
        }
    }
}

std::vector<DeviceGroupStats> from_proto(const devicepb::StatsResponse& in) {
    std::vector<DeviceGroupStats> out;
    for (const devicepb::DeviceGroupStats& group : in.groups()) {
        DeviceGroupStats& to = out.emplace_back();
        to.vendor = group.vendor();
        to.type = group.type();
        to.name = group.name();
        for (const auto& [id, stats] : group.instance_stats())
            to.instances[id] = {.summary = value_from_proto(stats.summary()),
                                .stats = object_from_proto(stats.stats(), 0),
                                .timestamp_unix_ns = timestamp_from_proto(stats.timestamp())};
    }
    return out;
}

}  // namespace drover::sdk::wire
