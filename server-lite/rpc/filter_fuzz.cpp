// SPDX-License-Identifier: Apache-2.0
// Filter expressions come from anyone who may ask: reading and evaluating them must neither crash nor hang.
#include <cstddef>
#include <cstdint>

#include "proto/model/model.pb.h"
#include "server-lite/rpc/filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto filter = drover::server::Filter::parse({reinterpret_cast<const char*>(data), size});
    if (!filter) return 0;
    drover::model::JobListStub stub;
    stub.set_id("web");
    stub.add_datacenters("dc1");
    (*stub.mutable_meta())["k"] = "v";
    (void)filter->matches(stub);
    return 0;
}
