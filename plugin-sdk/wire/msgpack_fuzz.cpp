// SPDX-License-Identifier: Apache-2.0
// Any bytes: a Value or an Error. What was read is written and read again as the same.
#include "plugin-sdk/wire/msgpack.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto value = drover::sdk::msgpack_decode({reinterpret_cast<const char*>(data), size});
    if (!value) return 0;
    // Compared as bytes: a NaN is not equal to itself.
    std::string bytes = drover::sdk::msgpack_encode(*value);
    auto again = drover::sdk::msgpack_decode(bytes);
    DROVER_ASSERT(again && drover::sdk::msgpack_encode(*again) == bytes);
    return 0;
}
