// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/devices/device_manager.h"

#include <future>
#include <map>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "base/log.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr std::string_view kLog = "client.device_mgr";
constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr int64_t kAnswerSlackNs = 60 * kSecond;  // the call's own deadline is shorter

model::Attribute to_model(const sdk::Attribute& in) {
    model::Attribute out;
    if (const auto* flag = std::get_if<bool>(&in.value)) out.set_bool_(*flag);
    if (const auto* whole = std::get_if<int64_t>(&in.value)) out.set_int_(*whole);
    if (const auto* real = std::get_if<double>(&in.value)) out.set_float_(*real);
    if (const auto* text = std::get_if<std::string>(&in.value)) out.set_string(*text);
    out.set_unit(in.unit);
    return out;
}

model::NodeDeviceResource to_model(const sdk::DeviceGroup& in) {
    model::NodeDeviceResource out;
    out.set_vendor(in.vendor);
    out.set_type(in.type);
    out.set_name(in.name);
    for (const auto& [key, value] : in.attributes) (*out.mutable_attributes())[key] = to_model(value);
    for (const auto& device : in.devices) {
        auto& instance = *out.add_instances();
        instance.set_id(device.id);
        instance.set_healthy(device.healthy);
        instance.set_health_description(device.health_description);
        if (!device.pci_bus_id.empty()) instance.mutable_locality()->set_pci_bus_id(device.pci_bus_id);
    }
    return out;
}

model::StatValue to_model(const sdk::StatValue& in) {
    model::StatValue out;
    if (const auto* flag = std::get_if<bool>(&in.value)) out.set_bool_val(*flag);
    if (const auto* text = std::get_if<std::string>(&in.value)) out.set_string_val(*text);
    if (const auto* whole = std::get_if<int64_t>(&in.value)) {
        out.set_int_numerator_val(*whole);
        if (in.denominator) out.set_int_denominator_val(static_cast<int64_t>(*in.denominator));
    }
    if (const auto* real = std::get_if<double>(&in.value)) {
        out.set_float_numerator_val(*real);
        if (in.denominator) out.set_float_denominator_val(*in.denominator);
    }
    out.set_unit(in.unit);
    out.set_desc(in.description);
    return out;
}

model::StatObject to_model(const sdk::StatObject& in) {
    model::StatObject out;
    for (const auto& [key, value] : in.values) (*out.mutable_attributes())[key] = to_model(value);
    for (const auto& [key, nested] : in.nested) (*out.mutable_nested())[key] = to_model(nested);
    return out;
}

model::DeviceStats to_model(const sdk::DeviceStats& in) {
    model::DeviceStats out;
    *out.mutable_summary() = to_model(in.summary);
    *out.mutable_stats() = to_model(in.stats);
    out.set_timestamp(in.timestamp_unix_ns);
    return out;
}

template <class A, class B>
bool same_group(const A& model, const B& sdk) {
    return model.vendor() == sdk.vendor && model.type() == sdk.type && model.name() == sdk.name;
}

}  // namespace

DeviceManager::DeviceManager(Sources sources, int64_t reserve_wait_ns)
    : sources_(std::move(sources)), reserve_wait_ns_(reserve_wait_ns) {}

void DeviceManager::apply(model::Node& node) const {
    std::map<std::tuple<std::string, std::string, std::string>, sdk::DeviceGroup> all;
    for (const auto& source : sources_()) {
        for (auto& group : source->groups()) {
            auto key = std::tuple(group.vendor, group.type, group.name);
            if (!all.emplace(std::move(key), group).second) {
                log::warn(kLog, "another plugin has these devices already",
                          {{"plugin", source->name()},
                           {"group", fmt::format("{}/{}/{}", group.vendor, group.type, group.name)}});
            }
        }
    }
    auto& devices = *node.mutable_node_resources()->mutable_devices();
    devices.Clear();
    for (const auto& [key, group] : all) *devices.Add() = to_model(group);
}

std::shared_ptr<DeviceSource> DeviceManager::source_of(const model::AllocatedDeviceResource& wanted) const {
    for (auto& source : sources_()) {
        for (const auto& group : source->groups()) {
            if (same_group(wanted, group)) return source;
        }
    }
    return nullptr;
}

Result<sdk::DeviceReservation> DeviceManager::reserve(const model::AllocatedDeviceResource& wanted) const {
    const int64_t until = mono_now() + reserve_wait_ns_;
    for (;;) {
        Error last(Code::NotFound, "no device plugin of this node has them", Retry::Yes);
        if (auto source = source_of(wanted)) {
            auto promise = std::make_shared<std::promise<Result<sdk::DeviceReservation>>>();
            auto future = promise->get_future();
            source->reserve({wanted.device_ids().begin(), wanted.device_ids().end()},
                            [promise](Result<sdk::DeviceReservation> r) { promise->set_value(std::move(r)); });
            if (future.wait_for(std::chrono::nanoseconds(kAnswerSlackNs)) != std::future_status::ready)
                return Error(Code::DeadlineExceeded, "the device plugin does not answer", Retry::Yes);
            auto reserved = future.get();
            if (reserved || !plugin_lost(reserved.error())) return reserved;
            last = Error(reserved.error().code(), reserved.error().message(), Retry::Yes);
        }
        if (mono_now() >= until) return last;
        std::this_thread::sleep_for(kPoll);  // the agent has just started, or the plugin is being relaunched
    }
}

std::vector<model::DeviceGroupStats> DeviceManager::stats() const {
    std::vector<model::DeviceGroupStats> out;
    for (const auto& source : sources_()) {
        for (const auto& group : source->stats()) {
            auto& to = out.emplace_back();
            to.set_vendor(group.vendor);
            to.set_type(group.type);
            to.set_name(group.name);
            for (const auto& [id, stats] : group.instances)
                (*to.mutable_instance_stats())[id] = to_model(stats);
        }
    }
    return out;
}

std::vector<model::DeviceGroupStats> DeviceManager::stats(
    const std::vector<const model::AllocatedDeviceResource*>& given) const {
    std::vector<model::DeviceGroupStats> out;
    if (given.empty()) return out;
    for (const auto& group : stats()) {
        model::DeviceGroupStats part;
        for (const auto* one : given) {
            if (one->vendor() != group.vendor() || one->type() != group.type() || one->name() != group.name())
                continue;
            for (const auto& id : one->device_ids()) {
                const auto found = group.instance_stats().find(id);
                if (found != group.instance_stats().end()) (*part.mutable_instance_stats())[id] = found->second;
            }
        }
        if (part.instance_stats().empty()) continue;
        part.set_vendor(group.vendor());
        part.set_type(group.type());
        part.set_name(group.name());
        out.push_back(std::move(part));
    }
    return out;
}

}  // namespace drover::agent
