// SPDX-License-Identifier: Apache-2.0
// A plugin's hclspec made ready for use, and the two steps from a free-form config to what the plugin
// receives: decode by the schema (HCL's JSON profile: templates, conversions, defaults), then MessagePack.
// Used for a task's `config` and for the agent's plugin blocks. Pure; immutable, so one may be used by
// several threads.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace drover::hcl {
class Value;
}
namespace drover::model {
class MapValue;
}
namespace drover::sdk {
struct HclSpec;
}
namespace hashicorp::nomad::plugins::shared::hclspec {
class Spec;
}

namespace drover::agent {

class ConfigSchema {
 public:
    // InvalidArgument names what is wrong with the schema and where ("in ports.nested: Missing name in
    // attribute spec").
    static Result<ConfigSchema> compile(const hashicorp::nomad::plugins::shared::hclspec::Spec& spec);

    static Result<ConfigSchema> compile(const sdk::HclSpec& spec);

    // `variables`: null means that variables make no sense here (the agent's plugin blocks). Names may be
    // dotted. InvalidArgument: every finding on its own line.
    Result<hcl::Value> decode(const model::MapValue& config,
                              const std::map<std::string, std::string>* variables) const;
    // decode() and encode_msgpack().
    Result<std::string> to_msgpack(const model::MapValue& config,
                                   const std::map<std::string, std::string>* variables) const;

    struct Node;

 private:
    explicit ConfigSchema(std::shared_ptr<const Node> root) : root_(std::move(root)) {}
    std::shared_ptr<const Node> root_;
};

// By the value's own type: sorted keys, nil for null, integers in their smallest form, other numbers as
// float64 when that is exact and as decimal text when not.
std::string encode_msgpack(const hcl::Value& value);

}  // namespace drover::agent
