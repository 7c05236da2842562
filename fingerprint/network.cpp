// SPDX-License-Identifier: Apache-2.0
// The interface that tasks' ports are on (the default route's, or the configured one), its addresses and
// speed, and the host_network blocks as aliases of addresses. Only the "host" mode is announced: bridges and
// CNI are not offered.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netpacket/packet.h>

#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {
namespace {

struct Address {
    std::string ip;
    std::string family;  // "ipv4", "ipv6"
    bool link_local = false;
    std::vector<uint8_t> bytes;
};

struct Interface {
    std::string name;
    std::string mac;
    bool up = false;
    std::vector<Address> addresses;
};

std::optional<Address> address_of(const sockaddr* from) {
    char text[INET6_ADDRSTRLEN];
    Address out;
    if (from->sa_family == AF_INET) {
        const auto& in = reinterpret_cast<const sockaddr_in*>(from)->sin_addr;
        const auto* bytes = reinterpret_cast<const uint8_t*>(&in);
        ::inet_ntop(AF_INET, &in, text, sizeof text);
        out.family = "ipv4";
        out.bytes.assign(bytes, bytes + 4);
        out.link_local = bytes[0] == 169 && bytes[1] == 254;
    } else if (from->sa_family == AF_INET6) {
        const auto& in6 = reinterpret_cast<const sockaddr_in6*>(from)->sin6_addr;
        ::inet_ntop(AF_INET6, &in6, text, sizeof text);
        out.family = "ipv6";
        out.bytes.assign(in6.s6_addr, in6.s6_addr + 16);
        out.link_local = IN6_IS_ADDR_LINKLOCAL(&in6);
    } else {
        return std::nullopt;
    }
    out.ip = text;
    return out;
}

Result<std::vector<Interface>> read_interfaces() {
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0) return Error::from_errno("getifaddrs");
    std::vector<Interface> out;
    for (const ifaddrs* entry = all; entry; entry = entry->ifa_next) {
        auto it =
            std::find_if(out.begin(), out.end(), [&](const auto& i) { return i.name == entry->ifa_name; });
        if (it == out.end()) it = out.insert(out.end(), Interface{entry->ifa_name, "", false, {}});
        it->up = (entry->ifa_flags & IFF_UP) != 0;
        if (!entry->ifa_addr) continue;
        if (entry->ifa_addr->sa_family == AF_PACKET) {
            const auto* link = reinterpret_cast<const sockaddr_ll*>(entry->ifa_addr);
            if (link->sll_halen == 6 && (entry->ifa_flags & IFF_LOOPBACK) == 0) {
                const auto* a = link->sll_addr;
                it->mac = fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", a[0], a[1], a[2], a[3],
                                      a[4], a[5]);
            }
        } else if (auto address = address_of(entry->ifa_addr)) {
            it->addresses.push_back(std::move(*address));
        }
    }
    ::freeifaddrs(all);
    return out;
}

// The interface of the default route with the lowest metric; IPv4 first.
std::string default_interface(const Input& input) {
    std::string best;
    uint64_t best_metric = UINT64_MAX;
    for (const auto& line : split(read_line(input, "/proc/net/route"), '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() < 8 || fields[1] != "00000000" || trim(fields[7]) != "00000000") continue;
        const uint64_t metric = parse_uint(fields[6]).value_or(UINT64_MAX - 1);
        if (metric < best_metric) best = fields[0], best_metric = metric;
    }
    if (!best.empty()) return best;
    for (const auto& line : split(read_line(input, "/proc/net/ipv6_route"), '\n')) {
        std::vector<std::string> fields = split(line, ' ');
        std::erase_if(fields, [](const auto& f) { return f.empty(); });
        if (fields.size() >= 10 && fields[0] == std::string(32, '0') && fields[1] == "00" &&
            fields[9] != "lo")
            return fields[9];
    }
    return "";
}

struct Prefix {
    std::vector<uint8_t> bytes;
    size_t bits = 0;
    bool holds(const Address& address) const {
        if (address.bytes.size() != bytes.size()) return false;
        for (size_t bit = 0; bit < bits; ++bit) {
            const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
            if ((address.bytes[bit / 8] & mask) != (bytes[bit / 8] & mask)) return false;
        }
        return true;
    }
};

Result<Prefix> parse_cidr(const std::string& text) {
    const auto slash = text.find('/');
    const std::string ip = text.substr(0, slash);
    Prefix out;
    out.bytes.resize(16);
    size_t bits_max = 128;
    if (::inet_pton(AF_INET, ip.c_str(), out.bytes.data()) == 1) {
        out.bytes.resize(4);
        bits_max = 32;
    } else if (::inet_pton(AF_INET6, ip.c_str(), out.bytes.data()) != 1) {
        return make_error(Code::InvalidArgument, "\"{}\" is no CIDR (expected for example \"10.0.0.0/8\")",
                          text);
    }
    const auto bits = slash == std::string::npos ? std::nullopt : parse_uint(text.substr(slash + 1));
    if (!bits || *bits > bits_max) {
        return make_error(Code::InvalidArgument, "\"{}\" is no CIDR (expected for example \"10.0.0.0/8\")",
                          text);
    }
    out.bits = *bits;
    return out;
}

struct HostNetwork {
    std::string name, interface, reserved_ports;
    std::optional<Prefix> cidr;
    bool matches(const Interface& device, const Address& address) const {
        if (!interface.empty() && interface != device.name) return false;
        return !cidr || cidr->holds(address);
    }
};

Result<std::vector<HostNetwork>> read_host_networks(const Input& input, model::Node& node) {
    std::vector<HostNetwork> out;
    for (const auto& block : input.config.client().host_network()) {
        HostNetwork network{block.name(), block.interface(), block.reserved_ports(), std::nullopt};
        const std::string where = fmt::format("client: host_network \"{}\"", block.name());
        if (block.cidr().empty() && block.interface().empty()) {
            return make_error(Code::InvalidArgument, "{} needs a cidr or an interface", where);
        }
        if (!block.cidr().empty()) {
            auto cidr = parse_cidr(block.cidr());
            if (!cidr) return std::move(cidr).error().context(where);
            network.cidr = *cidr;
        }
        if (auto ports = parse_id_list(block.reserved_ports()); !ports)
            return std::move(ports).error().context(where + ": reserved_ports");
        auto& info = (*node.mutable_host_networks())[block.name()];
        info.set_name(block.name());
        info.set_cidr(block.cidr());
        info.set_interface(block.interface());
        info.set_reserved_ports(block.reserved_ports());
        out.push_back(std::move(network));
    }
    return out;
}

int64_t speed_of(const Input& input, const std::string& interface) {
    constexpr int64_t kDefaultMbits = 1000;
    if (input.config.client().network_speed() > 0) return input.config.client().network_speed();
    const int64_t mbits =
        parse_int(read_line(input, fmt::format("/sys/class/net/{}/speed", interface))).value_or(-1);
    return mbits > 0 ? mbits : kDefaultMbits;
}

void add_alias(model::NodeNetworkResource* to, const Address& address, const std::string& alias,
               const std::string& reserved) {
    auto* out = to->add_addresses();
    out->set_family(address.family);
    out->set_alias(alias);
    out->set_address(address.ip);
    out->set_reserved_ports(reserved);
}

}  // namespace

Status detect_network(const Input& input, model::Node& node) {
    DROVER_TRY(const auto host_networks, read_host_networks(input, node));
    DROVER_TRY(const auto interfaces, read_interfaces());
    const std::string configured = input.config.client().network_interface();
    std::string name = configured.empty() ? default_interface(input) : configured;
    if (name.empty()) name = "lo";  // no route anywhere: tasks can still talk on this machine
    const auto device =
        std::find_if(interfaces.begin(), interfaces.end(), [&](const auto& i) { return i.name == name; });
    if (device == interfaces.end()) {
        const auto code = configured.empty() ? Code::NotFound : Code::InvalidArgument;
        return make_error(code, "client: network_interface \"{}\" does not exist on this machine", name);
    }

    // Link-local addresses only when there is nothing else; the preferred family's first.
    std::vector<Address> own;
    for (const auto& address : device->addresses) {
        if (!address.link_local) own.push_back(address);
    }
    if (own.empty()) own = device->addresses;
    const std::string preferred = input.config.client().preferred_address_family();
    if (!preferred.empty() && preferred != "ipv4" && preferred != "ipv6") {
        return make_error(Code::InvalidArgument,
                          "client: preferred_address_family is \"{}\", expected ipv4 or ipv6", preferred);
    }
    std::stable_sort(own.begin(), own.end(), [&](const Address& a, const Address& b) {
        const std::string first = preferred.empty() ? "ipv4" : preferred;
        return (a.family == first) > (b.family == first);
    });
    const int64_t speed = speed_of(input, name);
    for (const auto& address : own) {
        auto* network = node.mutable_node_resources()->add_networks();
        network->set_mode("host");
        network->set_device(name);
        network->set_ip(address.ip);
        network->set_cidr(address.ip + (address.family == "ipv4" ? "/32" : "/128"));
        network->set_mbits(speed);
    }
    if (!own.empty()) set_attribute(node, "unique.network.ip-address", own.front().ip);

    for (const auto& interface : interfaces) {
        model::NodeNetworkResource out;
        out.set_mode("host");
        out.set_device(interface.name);
        out.set_mac_address(interface.mac);
        out.set_speed(interface.name == name ? speed : speed_of(input, interface.name));
        if (interface.name == name) {
            for (const auto& address : own) add_alias(&out, address, "default", "");
        }
        for (const auto& address : interface.addresses) {
            for (const auto& network : host_networks) {
                if (network.matches(interface, address))
                    add_alias(&out, address, network.name, network.reserved_ports);
            }
        }
        if (out.addresses_size() != 0) *node.mutable_node_resources()->add_node_networks() = std::move(out);
    }
    return {};
}

}  // namespace drover::fingerprint
