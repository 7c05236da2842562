// SPDX-License-Identifier: Apache-2.0
// Streams that keep what was written, at a fixed time, for tests of verbs.
#pragma once
#include <sstream>
#include <string>

#include "cli/command.h"

namespace drover::cli::testing {

struct Console {
    std::string out;
    std::string err;
    std::string both;  // as a terminal would have shown it
    std::istringstream input;
    Streams streams;

    Console() {
        streams.out = [this](std::string_view text) {
            out += text;
            both += text;
        };
        streams.err = [this](std::string_view text) {
            err += text;
            both += text;
        };
        streams.in = &input;
        streams.clock = [] { return int64_t{1'795'248'900} * kSecond; };  // 2026-11-21T08:15:00Z
    }
    Console(const Console&) = delete;
    Console& operator=(const Console&) = delete;
};

}  // namespace drover::cli::testing
