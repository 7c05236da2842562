// SPDX-License-Identifier: Apache-2.0
// The daemon's log stream: whatever comes, no crash, and the same messages however the bytes are cut.
#include "base/result.h"
#include "drivers/docker/log_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover::drivers;
    if (size == 0) return 0;
    const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    std::string whole, pieces;
    auto collect = [](std::string& to) {
        return [&to](const LogMessage& message) { to.append(message.bytes).push_back('|'); };
    };
    LogParser one(data[0] & 1), many(data[0] & 1);
    const bool good = one.feed(bytes, collect(whole)).has_value();
    bool same = true;
    for (size_t at = 0; at < bytes.size() && same; at += 7)
        same = many.feed(bytes.substr(at, 7), collect(pieces)).has_value();
    DROVER_ASSERT(good == same);
    DROVER_ASSERT(!good || whole == pieces);
    return 0;
}
