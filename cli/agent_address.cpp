// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <memory>

#include "base/files.h"
#include "base/host_port.h"
#include "base/strings.h"
#include "proto/agent/config.pb.h"

namespace drover::cli {
namespace {

// The interface with the default route, from the kernel's table: destination and mask are zero.
std::string default_interface() {
    auto table = read_file("/proc/net/route");
    if (!table) return "";
    for (const std::string& line : split(*table, '\n')) {
        std::vector<std::string> fields = split(line, '\t');
        if (fields.size() > 7 && fields[1] == "00000000" && fields[7] == "00000000") return fields[0];
    }
    return "";
}

bool is_loopback(const std::string& host) {
    return host == "localhost" || host == "::1" || starts_with(host, "127.");
}

Status complete_one(std::string_view what, const std::string& bind, int64_t port, bool dev,
                    std::string* advertise) {
    if (!advertise->empty()) {
        DROVER_TRY(HostPort given, parse_host_port(*advertise));
        *advertise = join_host_port(given.host, given.port ? given.port : port);
        return {};
    }
    std::string host = bind;
    if (host == "0.0.0.0" || host == "::") {
        auto own = private_address();
        if (!own) return std::move(own).error().context(fmt::format("{} advertise address", what));
        host = *own;
    } else if (is_loopback(host) && !dev) {
        return make_error(
            Code::FailedPrecondition,
            "Failed to parse {} advertise address (, {}, {}, false): Defaulting advertise to localhost is "
            "unsafe, please set advertise manually",
            what, bind, port);
    }
    *advertise = join_host_port(host, port);
    return {};
}

}  // namespace

Result<std::string> private_address() {
    ifaddrs* list = nullptr;
    if (::getifaddrs(&list) != 0) return Error::from_errno("list network interfaces");
    std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
    std::string wanted = default_interface();
    std::string first;
    for (ifaddrs* at = list; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET) continue;
        if (!(at->ifa_flags & IFF_UP) || (at->ifa_flags & IFF_LOOPBACK)) continue;
        char text[INET_ADDRSTRLEN];
        ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(at->ifa_addr)->sin_addr, text, sizeof text);
        if (wanted == at->ifa_name) return std::string(text);
        if (first.empty()) first = text;
    }
    if (first.empty())
        return make_error(Code::NotFound,
                          "no network interface with an IPv4 address is up: set advertise manually");
    return first;
}

Status complete_addresses(agentconfig::AgentConfig& config, bool dev) {
    auto* addresses = config.mutable_addresses();
    for (std::string* one : {addresses->mutable_http(), addresses->mutable_rpc(), addresses->mutable_serf()})
        if (one->empty()) *one = config.bind_addr();
    auto* advertise = config.mutable_advertise();
    // addresses.http may list several; the first is the one that others are told.
    DROVER_CHECK(complete_one("HTTP", split(addresses->http(), ' ')[0], config.ports().http(), dev,
                              advertise->mutable_http()));
    DROVER_CHECK(complete_one("RPC", addresses->rpc(), config.ports().rpc(), dev, advertise->mutable_rpc()));
    if (config.server().enabled())
        DROVER_CHECK(
            complete_one("Serf", addresses->serf(), config.ports().serf(), dev, advertise->mutable_serf()));
    return {};
}

}  // namespace drover::cli
