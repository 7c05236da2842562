// SPDX-License-Identifier: Apache-2.0
// Body: attributes and blocks, of a file or of a block. The same interface over native syntax, JSON, and
// bodies with `dynamic` blocks expanded. In JSON only a schema tells attributes from blocks, so the normal
// way in is content(schema).
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "hcl/diagnostic.h"
#include "hcl/expression.h"

namespace drover::hcl {

class Body;
using BodyPtr = std::shared_ptr<const Body>;

struct Attribute {
    std::string name;
    ExpressionPtr expression;
    Range range;  // whole definition
    Range name_range;
};

struct Block {
    std::string type;
    std::vector<std::string> labels;
    BodyPtr body;
    Range def_range;  // type and labels, for messages
    Range type_range;
    std::vector<Range> label_ranges;
};

struct AttributeSchema {
    std::string name;
    bool required = false;
};

struct BlockSchema {
    std::string type;
    std::vector<std::string> label_names;  // what each label means, for messages: {"name"}
};

// A name may be in both lists: both forms are then accepted (`env { }` and `env = { }`).
struct BodySchema {
    std::vector<AttributeSchema> attributes;
    std::vector<BlockSchema> blocks;
};

struct BodyContent {
    std::map<std::string, Attribute> attributes;
    std::vector<Block> blocks;  // in source order
    Range missing_item_range;   // where to say that something is missing

    const Attribute* attribute(const std::string& name) const {
        auto found = attributes.find(name);
        return found == attributes.end() ? nullptr : &found->second;
    }
    std::vector<const Block*> blocks_of(const std::string& type) const;
};

class Body {
 public:
    virtual ~Body() = default;

    // What the schema names; everything else, and every missing required attribute, is an error at its range
    // ("Unsupported argument", "Unsupported block type", with "Did you mean", "Missing required argument").
    // What could be read is returned even then.
    virtual BodyContent content(const BodySchema& schema, Diagnostics& diagnostics) const = 0;

    // As content(), but what the schema does not name is left for a later call on `*remain`.
    virtual BodyContent partial_content(const BodySchema& schema, BodyPtr* remain,
                                        Diagnostics& diagnostics) const = 0;

    // All as attributes; blocks are errors.
    virtual std::map<std::string, Attribute> just_attributes(Diagnostics& diagnostics) const = 0;

    // All as written, without a schema: for free-form bodies (a task's config). JSON: every property is an
    // attribute. Attributes come in source order.
    struct Everything {
        std::vector<Attribute> attributes;
        std::vector<Block> blocks;
    };
    virtual Everything everything(Diagnostics& diagnostics) const = 0;

    virtual Range missing_item_range() const = 0;
};

// `dynamic "<type>" { for_each = ..., iterator = ..., labels = [...], content { ... } }` seen as the blocks
// it makes, at every depth. `context` is used for for_each and labels, must outlive the result, and is the
// parent of the iterator's scope when the made blocks' expressions are evaluated.
BodyPtr expand_dynamic(BodyPtr body, const EvalContext& context);

// The body with names that match a schema's whatever their case, as the older dialect has it. What no schema
// names (free-form parts) keeps its spelling.
BodyPtr fold_case(BodyPtr body);

}  // namespace drover::hcl
