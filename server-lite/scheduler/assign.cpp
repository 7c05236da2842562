// SPDX-License-Identifier: Apache-2.0
// What exactly an allocation gets on the node chosen for it: ports, reserved cores, devices. Called by
// place.cpp.
#include "base/strings.h"
#include "server-lite/scheduler/fit.h"
#include "server-lite/scheduler/place_inside.h"

namespace drover::server {

std::string address_of(const model::Node& node, const std::string& host_network) {
    const std::string_view alias = host_network.empty() ? "default" : std::string_view(host_network);
    for (const auto& network : node.node_resources().node_networks())
        for (const auto& address : network.addresses())
            if (address.alias() == alias) return address.address();
    if (alias != "default") return "";
    for (const auto& network : node.node_resources().networks())
        if (!network.ip().empty()) return network.ip();
    auto ip = node.attributes().find("unique.network.ip-address");
    return ip == node.attributes().end() ? "" : ip->second;
}

bool port_free(const Ports& used, const Ports& reserved, const std::string& ip, int64_t port) {
    return !used.contains({ip, port}) && !reserved.contains({ip, port}) && !reserved.contains({"", port});
}

int64_t mhz_per_core(const model::Node& node) {
    const auto& cpu = node.node_resources().cpu();
    return cpu.total_cpu_cores() > 0 ? cpu.cpu_shares() / cpu.total_cpu_cores() : 0;
}

std::string Placer::assign(const GroupView& v, const Column& column, model::AllocatedResources& out) {
    auto why = assign_ports(v, column, out);
    return why.empty() ? assign_cores_and_devices(v, column, out) : why;
}

std::string Placer::assign_ports(const GroupView& v, const Column& column, model::AllocatedResources& out) {
    if (v.group->networks().empty()) return {};
    const auto& node = *column.node;
    const auto reserved = reserved_ports(node);
    Ports taken;  // by this offer
    const int64_t low =
        node.node_resources().min_dynamic_port() > 0 ? node.node_resources().min_dynamic_port() : 20000;
    const int64_t high =
        node.node_resources().max_dynamic_port() > low ? node.node_resources().max_dynamic_port() : 32000;
    auto free = [&](const std::string& ip, int64_t port) {
        return port_free(column.usage.ports, reserved, ip, port) && !taken.contains({ip, port});
    };
    auto& shared = *out.mutable_shared();
    shared.clear_networks();
    shared.clear_ports();
    for (const auto& network : v.group->networks()) {
        auto& given = *shared.add_networks();
        given = network;
        auto give = [&](model::Port& port, const std::string& ip, int64_t value) {
            taken.emplace(ip, value);
            port.set_value(value);
            if (port.to() == -1) port.set_to(value);
            if (given.ip().empty()) given.set_ip(ip);
            auto& mapping = *shared.add_ports();
            mapping.set_label(port.label());
            mapping.set_value(value);
            mapping.set_to(port.to());
            mapping.set_host_ip(ip);
        };
        for (auto& port : *given.mutable_reserved_ports()) {
            const std::string ip = address_of(node, port.host_network());
            if (ip.empty() || (!port.ignore_collision() && !free(ip, port.value())))
                return fmt::format("network: reserved port collision {}={}", port.label(), port.value());
            give(port, ip, port.value());
        }
        for (auto& port : *given.mutable_dynamic_ports()) {
            const std::string ip = address_of(node, port.host_network());
            if (ip.empty())
                return fmt::format("network: no addresses available for {} network",
                                   port.host_network().empty() ? "default" : port.host_network());
            const int64_t range = high - low;
            const auto start = static_cast<int64_t>(seeded_.below(static_cast<uint64_t>(range)));
            int64_t found = 0;
            for (int64_t step = 0; step < range && found == 0; ++step)
                if (const int64_t port_number = low + (start + step) % range; free(ip, port_number))
                    found = port_number;
            if (found == 0) return "network: dynamic port selection failed";
            give(port, ip, found);
        }
    }
    return {};
}

std::string Placer::assign_cores_and_devices(const GroupView& v, const Column& column,
                                             model::AllocatedResources& out) {
    std::set<uint32_t> free_cores = column.available.cores;
    for (auto core : column.usage.used.cores) free_cores.erase(core);
    std::set<std::string> used_devices(column.usage.devices.begin(), column.usage.devices.end());
    for (const auto& task : v.group->tasks()) {
        auto& given = (*out.mutable_tasks())[task.name()];
        if (task.resources().cores() > 0) {
            given.mutable_cpu()->clear_reserved_cores();
            for (int64_t i = 0; i < task.resources().cores(); ++i) {
                if (free_cores.empty()) return "cores";
                given.mutable_cpu()->add_reserved_cores(*free_cores.begin());
                free_cores.erase(free_cores.begin());
            }
            given.mutable_cpu()->set_cpu_shares(mhz_per_core(*column.node) * task.resources().cores());
        }
        for (const auto& request : task.resources().devices()) {
            const auto count = static_cast<int>(request.has_count() ? request.count() : 1);
            bool done = false;
            for (const auto& device : column.node->node_resources().devices()) {
                if (!device_matches(request, device)) continue;
                model::AllocatedDeviceResource offer;
                offer.set_vendor(device.vendor());
                offer.set_type(device.type());
                offer.set_name(device.name());
                for (const auto& instance : device.instances()) {
                    const auto key = fmt::format("{}/{}/{}/{}", device.vendor(), device.type(), device.name(),
                                                 instance.id());
                    if (instance.healthy() && !used_devices.contains(key) && offer.device_ids_size() < count)
                        offer.add_device_ids(instance.id());
                }
                if (offer.device_ids_size() < count) continue;
                for (const auto& id : offer.device_ids())
                    used_devices.insert(
                        fmt::format("{}/{}/{}/{}", device.vendor(), device.type(), device.name(), id));
                *given.add_devices() = std::move(offer);
                done = true;
                break;
            }
            if (!done) return "devices: no devices match request";
        }
    }
    return {};
}

}  // namespace drover::server
