// SPDX-License-Identifier: Apache-2.0
#include "base/host_port.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace drover {

Result<HostPort> parse_host_port(const std::string& text) {
    auto bad = [&] {
        return make_error(Code::InvalidArgument, "address \"{}\": expected host, host:port or [ipv6]:port",
                          text);
    };
    std::string host = text;
    std::string port;
    if (!text.empty() && text[0] == '[') {
        size_t close = text.find(']');
        if (close == std::string::npos) return bad();
        host = text.substr(1, close - 1);
        if (close + 1 < text.size()) {
            if (text[close + 1] != ':') return bad();
            port = text.substr(close + 2);
        }
    } else if (size_t colon = text.find(':');
               colon != std::string::npos && text.find(':', colon + 1) == std::string::npos) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
    }
    if (host.empty()) return bad();
    if (port.empty()) return HostPort{host, 0};
    auto number = parse_int(port);
    if (!number || *number < 1 || *number > 65535) return bad();
    return HostPort{host, static_cast<int>(*number)};
}

std::string join_host_port(const std::string& host, int64_t port) {
    return host.find(':') == std::string::npos || host[0] == '[' ? fmt::format("{}:{}", host, port)
                                                                 : fmt::format("[{}]:{}", host, port);
}

}  // namespace drover
