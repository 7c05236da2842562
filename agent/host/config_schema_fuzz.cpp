// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a schema as a foreign process sends it, and a config as a user writes it, end in bytes or in
// an error. The input is a length byte (of the schema, times 4), the schema message, and the config message.
#include "agent/host/config_schema.h"
#include "hcl/value.h"
#include "proto/model/model.pb.h"
#include "proto/plugin/hclspec.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const size_t split = std::min<size_t>(static_cast<size_t>(data[0]) * 4, size - 1);
    hashicorp::nomad::plugins::shared::hclspec::Spec spec;
    drover::model::MapValue config;
    if (!spec.ParseFromArray(data + 1, static_cast<int>(split))) return 0;
    if (!config.ParseFromArray(data + 1 + split, static_cast<int>(size - 1 - split))) return 0;
    auto schema = drover::agent::ConfigSchema::compile(spec);
    if (!schema) return 0;
    const std::map<std::string, std::string> variables = {{"NOMAD_TASK_NAME", "web"}, {"node.class", "c"}};
    auto bytes = schema->to_msgpack(config, &variables);
    if (bytes) DROVER_ASSERT(!bytes->empty());
    return 0;
}
