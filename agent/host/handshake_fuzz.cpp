// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as a handshake line end in a value with a usable address or an error, never in a
// crash.
#include "agent/host/handshake.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto got = drover::agent::parse_handshake(std::string_view(reinterpret_cast<const char*>(data), size));
    if (got) DROVER_ASSERT(!got->address.empty());
    return 0;
}
