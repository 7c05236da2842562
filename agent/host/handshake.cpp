// SPDX-License-Identifier: Apache-2.0
// Parsing of the handshake line; see the header.
#include "agent/host/handshake.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <vector>

#include "agent/host/limits.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

// A foreign line as it may stand in a log: no control characters, not endless.
std::string shown(std::string_view line) {
    constexpr size_t kShownMax = 120;
    std::string text;
    for (char c : line.substr(0, kShownMax)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte >= 0x7f)
            text += fmt::format("\\x{:02x}", byte);
        else
            text += c;
    }
    if (line.size() > kShownMax) text += "...";
    return text;
}

Error bad(std::string_view line, std::string_view why) {
    return make_error(Code::FailedPrecondition,
                      "not a plugin's handshake: {} (found \"{}\", expected 1|2|unix|<path>|grpc| as the "
                      "first line of stdout)",
                      why, shown(line));
}

Status parse_tcp(std::string_view line, const std::string& text, Handshake* out) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) return bad(line, "a tcp address needs a port");
    std::string host = text.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    const auto port = parse_uint(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535) return bad(line, "bad tcp port");
    in6_addr v6{};
    in_addr v4{};
    const bool is_v4 = ::inet_pton(AF_INET, host.c_str(), &v4) == 1;
    if (!is_v4 && ::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return bad(line, "bad tcp address");
    // A plugin listens for its host only; anything else would carry root's commands over a network in the
    // clear.
    const bool loopback = is_v4 ? (ntohl(v4.s_addr) >> 24) == 127 : IN6_IS_ADDR_LOOPBACK(&v6);
    if (!loopback) return bad(line, "a tcp address must be a loopback one");
    out->network = Handshake::Network::Tcp;
    out->address = host;
    out->port = static_cast<uint16_t>(*port);
    return {};
}

}  // namespace

Result<Handshake> parse_handshake(std::string_view raw) {
    if (raw.size() > kHandshakeBytesMax) return bad(raw, "the line is too long");
    const std::string_view line = trim(raw);
    if (line.find('\0') != std::string_view::npos) return bad(line, "it has a zero byte");
    const auto parts = split(line, '|');
    if (parts.size() < 4)
        return bad(line, fmt::format("{} fields instead of 5 to 7", line.empty() ? 0 : parts.size()));
    if (parts[0] != "1")
        return bad(line, fmt::format("core protocol \"{}\", only 1 is supported", shown(parts[0])));
    if (parts[1] != "2")
        return bad(line, fmt::format("plugin protocol \"{}\", only 2 is supported", shown(parts[1])));
    const std::string protocol = parts.size() > 4 ? parts[4] : "netrpc";
    if (protocol != "grpc")
        return bad(line, fmt::format("transport \"{}\", only grpc is supported", shown(protocol)));
    constexpr size_t kCertMin = 50;  // shorter is filler, as in go-plugin
    if (parts.size() > 5 && parts[5].size() > kCertMin)
        return bad(line, "the plugin insists on TLS, which was not offered");

    Handshake out;
    if (parts[2] == "unix") {
        if (parts[3].empty() || parts[3].front() != '/') return bad(line, "the socket path is not absolute");
        if (parts[3].size() >= sizeof(sockaddr_un{}.sun_path))
            return bad(line, "the socket path is too long");
        out.address = parts[3];
        return out;
    }
    if (parts[2] == "tcp") {
        DROVER_CHECK(parse_tcp(line, parts[3], &out));
        return out;
    }
    return bad(line, fmt::format("network \"{}\", expected unix or tcp", shown(parts[2])));
}

}  // namespace drover::agent
