// SPDX-License-Identifier: Apache-2.0
// The two inputs of a config's decoding made into what HCL reads: the free-form map as JSON text with its
// numbers exact, and the flat variables as nested HCL objects. Used by config_schema.cpp only.
#pragma once
#include <map>
#include <string>

#include "base/result.h"
#include "hcl/value.h"

namespace drover::model {
class MapValue;
}

namespace drover::agent {

// InvalidArgument when nested deeper than kTaskConfigDepthMax. Keys sorted.
Result<std::string> config_to_json(const model::MapValue& config);

// {"a": "1", "node.attr.x": "2"} -> {a = "1", node = {attr = {x = "2"}}, env = {a = "1"}}. A name that is
// both a value and a prefix of others stays the value; env holds all but node., attr., meta. and secret.
// names.
std::map<std::string, hcl::Value> config_variables(const std::map<std::string, std::string>& flat);

}  // namespace drover::agent
