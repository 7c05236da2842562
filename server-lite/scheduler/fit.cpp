// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/fit.h"

namespace drover::server {

std::multiset<std::pair<std::string, int64_t>> reserved_ports(const model::Node& node) {
    std::multiset<std::pair<std::string, int64_t>> out;
    auto add = [&](const std::string& ip, const std::string& text) {
        std::vector<uint16_t> ports;
        model::parse_port_ranges(text, ports);
        for (auto port : ports) out.emplace(ip, port);
    };
    const auto& everywhere = node.reserved_resources().networks().reserved_host_ports();
    if (!everywhere.empty()) add("", everywhere);
    for (const auto& network : node.node_resources().node_networks())
        for (const auto& address : network.addresses())
            if (!address.reserved_ports().empty()) add(address.address(), address.reserved_ports());
    return out;
}

std::string exhausted(const model::Node& node, const NodeUsage& total) {
    if (node.node_max_allocs() > 0 && total.allocs > node.node_max_allocs()) return "max allocs";
    if (auto dimension = model::available(node).exhausted_by(total.used); !dimension.empty())
        return std::string(dimension);
    auto twice = [](const auto& set) { return std::adjacent_find(set.begin(), set.end()); };
    if (twice(total.cores) != total.cores.end()) return "cores";
    if (auto port = twice(total.ports); port != total.ports.end())
        return fmt::format("network: reserved port collision {}:{}", port->first, port->second);
    if (!total.ports.empty())
        for (const auto& reserved : reserved_ports(node))
            for (const auto& port : total.ports)
                if (port.second == reserved.second &&
                    (reserved.first.empty() || reserved.first == port.first))
                    return fmt::format("network: reserved port collision {}:{}", port.first, port.second);
    if (twice(total.devices) != total.devices.end()) return "device oversubscribed";
    return {};
}

}  // namespace drover::server
