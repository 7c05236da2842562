// SPDX-License-Identifier: Apache-2.0
// The one line a plugin writes to stdout when it serves: CORE|APP|NETWORK|ADDRESS|PROTOCOL|CERT[|MUX].
// Pure: bytes of a foreign process in, a value or an error that says what was found and what was expected.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::agent {

constexpr std::string_view kMagicCookieKey = "NOMAD_PLUGIN_MAGIC_COOKIE";
constexpr std::string_view kMagicCookie = "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255";

struct Handshake {
    enum class Network { Unix, Tcp };
    Network network = Network::Unix;
    std::string address;  // absolute socket path, or the IP address of a tcp one
    uint16_t port = 0;    // tcp

    friend bool operator==(const Handshake&, const Handshake&) = default;
};

// `line` is what came before the first newline.
Result<Handshake> parse_handshake(std::string_view line);

}  // namespace drover::agent
