// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes of a plugin's stderr, in two pieces, become printable lines of bounded length.
#include "agent/host/limits.h"
#include "agent/host/plugin_log.h"
#include "base/result.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    drover::agent::PluginLog log;
    auto lines = log.feed(text.substr(0, size / 2));
    for (auto& line : log.feed(text.substr(size / 2))) lines.push_back(std::move(line));
    for (auto& line : log.finish()) lines.push_back(std::move(line));
    for (const auto& line : lines) DROVER_ASSERT(line.message.find('\n') == std::string::npos);
    return 0;
}
