// SPDX-License-Identifier: Apache-2.0
// Fuzz target: JSON of strangers (HTTP bodies, -json job files). Whatever is accepted must be written and
// read again.
#include "model/json/json.h"
#include "proto/model/model.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover::model;
    std::string_view text(reinterpret_cast<const char*>(data), size);
    Job job;
    if (json::decode(text, job)) {
        Job again;
        DROVER_ASSERT(json::decode(json::encode(job, {.view = json::View::Api, .indent = 2}), again));
        DROVER_ASSERT(json::encode(again) == json::encode(job));
    }
    Allocation alloc;
    static_cast<void>(json::decode(text, alloc).has_value());
    if (auto value = json::parse_value(text)) {
        auto again = json::parse_value(json::encode_value(*value));
        DROVER_ASSERT(again && json::encode_value(*again) == json::encode_value(*value));
    }
    return 0;
}
