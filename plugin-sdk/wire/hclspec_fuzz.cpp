// SPDX-License-Identifier: Apache-2.0
// Any bytes as a plugin's config schema: an HclSpec or an Error. What was read is written and read again as the same.
#include "plugin-sdk/wire/driver_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    namespace wire = drover::sdk::wire;
    google::protobuf::SetLogHandler(nullptr);
    wire::hclspecpb::Spec message;
    if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
    auto spec = wire::from_proto(message);
    if (!spec) return 0;
    wire::hclspecpb::Spec written;
    wire::to_proto(*spec, &written);
    auto again = wire::from_proto(written);
    DROVER_ASSERT(again && *again == *spec);
    return 0;
}
