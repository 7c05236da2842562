// SPDX-License-Identifier: Apache-2.0
// Request targets and bodies as they come from the network: parsing, routing, indenting.
#include "api/router.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    drover::api::Request request;
    if (drover::api::parse_target(text, request))
        static_cast<void>(drover::api::find_route("GET", request.segments));
    static_cast<void>(drover::api::indent_json(text, 4));
    return 0;
}
