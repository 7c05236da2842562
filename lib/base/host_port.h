// SPDX-License-Identifier: Apache-2.0
// Network addresses as people write them: "host", "host:port", "[v6]:port". Nothing is looked up.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"

namespace drover {

struct HostPort {
    std::string host;  // without brackets
    int port = 0;      // 0: the text has none
};

// InvalidArgument with the text and what is expected when it is none of the three, or the port is
// not 1..65535.
Result<HostPort> parse_host_port(const std::string& text);
std::string join_host_port(const std::string& host, int64_t port);  // an IPv6 address in brackets

}  // namespace drover
