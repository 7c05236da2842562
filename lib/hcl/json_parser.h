// SPDX-License-Identifier: Apache-2.0
// JsonNode: a JSON text with the ranges of all its parts, and the Body and Expressions that stand on it.
// Used by parser.cpp; jsondecode() reads through parse_json_node too.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hcl/body.h"

namespace drover::hcl {

struct JsonNode;
using JsonPtr = std::shared_ptr<const JsonNode>;

// Whether strings are templates or just text.
enum class JsonStrings { Templates, Plain };

struct JsonMember {
    std::string name;
    Range name_range;
    JsonPtr value;
};

struct JsonNode {
    enum class Kind { Null, Bool, Number, String, Array, Object };
    Kind kind = Kind::Null;
    bool boolean = false;
    Number number;
    std::string text;
    JsonStrings strings = JsonStrings::Templates;  // how its string, or its members' names, are read
    std::vector<JsonPtr> elements;
    std::vector<JsonMember> members;  // in source order, names may repeat
    Range range;
    Range open_range;  // the opening bracket
    Range close_range;

    const char* kind_name() const;
};

// One JSON value and nothing behind it; null after an error.
JsonPtr parse_json_node(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                        JsonStrings strings = JsonStrings::Templates);

// The value without any template evaluation.
Value json_value(const JsonNode& node);

BodyPtr parse_json_body(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                        JsonStrings strings);
BodyPtr json_body(JsonPtr node);
ExpressionPtr json_expression(JsonPtr node);

}  // namespace drover::hcl
