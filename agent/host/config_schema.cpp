// SPDX-License-Identifier: Apache-2.0
// hclspec: schema messages of a foreign process -> a checked tree -> values of a config. The rules of each
// kind are in docs of the plugin SDK (drover/hclspec.h); the error texts are what Nomad's users know.
#include "agent/host/config_schema.h"

#include <vector>

#include "agent/host/config_json.h"
#include "agent/host/limits.h"
#include "hcl/convert.h"
#include "hcl/functions.h"
#include "hcl/parser.h"
#include "plugin-sdk/wire/driver_wire.h"
#include "proto/model/model.pb.h"
#include "proto/plugin/hclspec.pb.h"

namespace drover::agent {

namespace spec = hashicorp::nomad::plugins::shared::hclspec;

struct ConfigSchema::Node {
    enum class Kind {
        Object,
        Array,
        Attr,
        Block,
        BlockAttrs,
        BlockList,
        BlockSet,
        BlockMap,
        Default,
        Literal
    };
    Kind kind = Kind::Literal;
    std::string name;
    bool required = false;
    hcl::Type type;  // Attr, BlockAttrs
    uint64_t min_items = 0;
    uint64_t max_items = 0;           // 0: no limit
    std::vector<std::string> labels;  // BlockMap
    hcl::Value literal;
    std::map<std::string, Node> attributes;  // Object
    std::vector<Node> children;              // Array; Default: primary, default; blocks: nested
};

namespace {

using Node = ConfigSchema::Node;
using Kind = Node::Kind;

const hcl::Functions& functions() {
    static const hcl::Functions table = hcl::plugin_functions();
    return table;
}

// ---- schema message -> Node ----

class Compiler {
 public:
    // `where` is the path for messages; `implied` the key in an enclosing object, if any.
    Result<Node> compile(const spec::Spec& in, const std::string& where, const std::string& implied,
                         size_t depth) {
        if (depth > kTaskConfigDepthMax)
            return wrong(where, fmt::format("nested deeper than {}", kTaskConfigDepthMax));
        Node node;
        switch (in.block_case()) {
            case spec::Spec::kObject: {
                node.kind = Kind::Object;
                for (const auto& [key, child] : in.object().attributes()) {
                    DROVER_TRY(auto made,
                               compile(child, where.empty() ? key : where + "." + key, key, depth + 1));
                    node.attributes.emplace(key, std::move(made));
                }
                return node;
            }
            case spec::Spec::kArray: {
                node.kind = Kind::Array;
                for (const auto& child : in.array().values()) {
                    DROVER_TRY(auto made, compile(child, where + "[]", "", depth + 1));
                    node.children.push_back(std::move(made));
                }
                return node;
            }
            case spec::Spec::kAttr: {
                node.kind = Kind::Attr;
                node.required = in.attr().required();
                DROVER_TRY(node.name, named(in.attr().name(), implied, where, "attribute"));
                DROVER_TRY(node.type, type_of(in.attr().type(), where));
                return node;
            }
            case spec::Spec::kBlockAttrs: {
                node.kind = Kind::BlockAttrs;
                node.required = in.block_attrs().required();
                DROVER_TRY(node.name, named(in.block_attrs().name(), implied, where, "block_attrs"));
                DROVER_TRY(node.type, type_of(in.block_attrs().type(), where));
                return node;
            }
            case spec::Spec::kBlockValue:
                node.kind = Kind::Block;
                node.required = in.block_value().required();
                return block(std::move(node), in.block_value(), "block", where, implied, depth);
            case spec::Spec::kBlockList:
                node.kind = Kind::BlockList;
                node.min_items = in.block_list().min_items();
                node.max_items = in.block_list().max_items();
                return block(std::move(node), in.block_list(), "block_list", where, implied, depth);
            case spec::Spec::kBlockSet:
                node.kind = Kind::BlockSet;
                node.min_items = in.block_set().min_items();
                node.max_items = in.block_set().max_items();
                return block(std::move(node), in.block_set(), "block_set", where, implied, depth);
            case spec::Spec::kBlockMap: {
                node.kind = Kind::BlockMap;
                node.labels.assign(in.block_map().labels().begin(), in.block_map().labels().end());
                if (node.labels.empty())
                    return wrong(where, "Invalid block label name list: a block_map needs a label");
                return block(std::move(node), in.block_map(), "block_map", where, implied, depth);
            }
            case spec::Spec::kDefault:
                return defaulted(in.default_(), where, depth);
            case spec::Spec::kLiteral:
                return literal(in.literal(), where);
            case spec::Spec::BLOCK_NOT_SET:
                return wrong(where, "Invalid spec block: a spec of no kind");
        }
        return wrong(where, "Invalid spec block: a spec of an unknown kind");
    }

 private:
    static Error wrong(const std::string& where, std::string_view what) {
        return make_error(Code::InvalidArgument, "{}{}{}", where.empty() ? "" : "in ",
                          where.empty() ? "" : where + ": ", what);
    }

    static Result<std::string> named(const std::string& own, const std::string& implied,
                                     const std::string& where, std::string_view what) {
        if (!own.empty()) return own;
        if (!implied.empty()) return implied;
        return wrong(where, fmt::format("Missing name in {} spec", what));
    }

    static Result<hcl::Type> type_of(const std::string& text, const std::string& where) {
        // `null` is taken as any, as Nomad does.
        if (text == "null") return hcl::Type::any();
        hcl::Diagnostics diagnostics;
        const auto expression = hcl::parse_expression(text, "type", diagnostics);
        if (!diagnostics.has_errors() && expression) {
            auto type = hcl::type_from_expression(*expression, diagnostics);
            if (!diagnostics.has_errors()) return type;
        }
        return wrong(where, fmt::format("type \"{}\": {}", text, diagnostics.text()));
    }

    template <class Message>
    Result<Node> block(Node node, const Message& in, std::string_view what, const std::string& where,
                       const std::string& implied, size_t depth) {
        DROVER_TRY(node.name, named(in.name(), implied, where, what));
        if (!in.has_nested())
            return wrong(
                where, fmt::format("Missing spec block: the {} \"{}\" has no nested spec", what, node.name));
        DROVER_TRY(auto nested, compile(in.nested(), where + ".nested", "", depth + 1));
        node.children.push_back(std::move(nested));
        return node;
    }

    Result<Node> defaulted(const spec::Default& in, const std::string& where, size_t depth) {
        if (!in.has_primary() || !in.has_default_())
            return wrong(where, "a default spec needs both primary and default");
        Node node;
        node.kind = Kind::Default;
        DROVER_TRY(auto primary, compile(in.primary(), where + ".primary", "", depth + 1));
        DROVER_TRY(auto fallback, compile(in.default_(), where + ".default", "", depth + 1));
        node.children.push_back(std::move(primary));
        node.children.push_back(std::move(fallback));
        return node;
    }

    static Result<Node> literal(const spec::Literal& in, const std::string& where) {
        hcl::Diagnostics diagnostics;
        hcl::EvalContext context;
        context.functions = &functions();
        context.variables_allowed = false;
        Node node;
        const auto expression = hcl::parse_expression(in.value(), "literal", diagnostics);
        if (!diagnostics.has_errors() && expression)
            node.literal = expression->evaluate(context, diagnostics);
        if (diagnostics.has_errors())
            return wrong(where, fmt::format("literal \"{}\": {}", in.value(), diagnostics.text()));
        return node;
    }
};

// ---- body -> value ----

class Decoder {
 public:
    Decoder(const hcl::EvalContext& context, hcl::Diagnostics& diagnostics)
        : context_(context), diagnostics_(diagnostics) {}

    hcl::Value body(const Node& node, const hcl::Body& body) {
        hcl::BodySchema schema;
        expect(node, &schema);
        const hcl::BodyContent content = body.content(schema, diagnostics_);
        return value(node, content);
    }

 private:
    // What the schema wants to find in a body, at this level.
    static void expect(const Node& node, hcl::BodySchema* out) {
        switch (node.kind) {
            case Kind::Object:
                for (const auto& [key, child] : node.attributes) expect(child, out);
                return;
            case Kind::Array:
            case Kind::Default:
                for (const auto& child : node.children) expect(child, out);
                return;
            case Kind::Attr:
                return out->attributes.push_back({node.name, node.required});
            case Kind::Block:
            case Kind::BlockAttrs:
            case Kind::BlockList:
            case Kind::BlockSet:
                return out->blocks.push_back({node.name, {}});
            case Kind::BlockMap:
                return out->blocks.push_back({node.name, node.labels});
            case Kind::Literal:
                return;
        }
    }

    hcl::Value value(const Node& node, const hcl::BodyContent& content) {
        switch (node.kind) {
            case Kind::Object: {
                hcl::Value::Mapping out;
                for (const auto& [key, child] : node.attributes) out.emplace(key, value(child, content));
                return hcl::Value::object(std::move(out));
            }
            case Kind::Array: {
                hcl::Value::Sequence out;
                for (const auto& child : node.children) out.push_back(value(child, content));
                return hcl::Value::tuple(std::move(out));
            }
            case Kind::Default: {
                auto primary = value(node.children[0], content);
                return primary.is_null() ? value(node.children[1], content) : primary;
            }
            case Kind::Literal:
                return node.literal;
            case Kind::Attr:
                return attribute(node, content);
            case Kind::Block:
            case Kind::BlockAttrs:
                return single(node, content);
            case Kind::BlockList:
            case Kind::BlockSet:
                return several(node, content);
            case Kind::BlockMap:
                return labelled(node, content);
        }
        return hcl::Value::null();
    }

    hcl::Value attribute(const Node& node, const hcl::BodyContent& content) {
        const auto* found = content.attribute(node.name);  // a missing required one was reported by content()
        if (!found) return hcl::Value::null(node.type);
        return known(hcl::evaluate_as(*found->expression, context_, node.type, node.name, diagnostics_));
    }

    // A body or several where only one may be.
    hcl::Value single(const Node& node, const hcl::BodyContent& content) {
        const auto blocks = content.blocks_of(node.name);
        if (blocks.empty()) {
            if (node.required) {
                diagnostics_.error(fmt::format("Missing {} block", node.name),
                                   fmt::format("A block of type \"{}\" is required here.", node.name),
                                   content.missing_item_range);
            }
            return hcl::Value::null();
        }
        if (blocks.size() > 1) {
            diagnostics_.error(fmt::format("Duplicate {} block", node.name),
                               fmt::format("Only one block of type \"{}\" is allowed.", node.name),
                               blocks[1]->def_range);
            return hcl::Value::null();
        }
        if (node.kind == Kind::Block) return body(node.children[0], *blocks[0]->body);
        hcl::Value::Mapping out;
        for (const auto& [key, found] : blocks[0]->body->just_attributes(diagnostics_)) {
            out.emplace(key,
                        known(hcl::evaluate_as(*found.expression, context_, node.type, key, diagnostics_)));
        }
        return hcl::Value::object(std::move(out));
    }

    hcl::Value several(const Node& node, const hcl::BodyContent& content) {
        const auto blocks = content.blocks_of(node.name);
        if (blocks.size() < node.min_items) {
            diagnostics_.error(
                fmt::format("Insufficient {} blocks", node.name),
                fmt::format("At least {} \"{}\" blocks are required.", node.min_items, node.name),
                blocks.empty() ? content.missing_item_range : blocks.back()->def_range);
        }
        if (node.max_items != 0 && blocks.size() > node.max_items) {
            diagnostics_.error(
                fmt::format("Too many {} blocks", node.name),
                fmt::format("No more than {} \"{}\" blocks are allowed", node.max_items, node.name),
                blocks[node.max_items]->def_range);
        }
        hcl::Value::Sequence out;
        for (const auto* block : blocks) out.push_back(body(node.children[0], *block->body));
        if (node.kind == Kind::BlockSet) make_set(&out);
        return hcl::Value::tuple(std::move(out));
    }

    // Sorted and without duplicates. Elements of different types (only where the schema has `any`) keep their
    // order.
    static void make_set(hcl::Value::Sequence* values) {
        const bool one_type = std::all_of(values->begin(), values->end(), [&](const hcl::Value& v) {
            return v.type() == values->front().type();
        });
        if (one_type) {
            std::sort(values->begin(), values->end(),
                      [](const hcl::Value& a, const hcl::Value& b) { return hcl::Value::compare(a, b) < 0; });
        }
        hcl::Value::Sequence unique;
        for (auto& value : *values) {
            if (std::find(unique.begin(), unique.end(), value) == unique.end())
                unique.push_back(std::move(value));
        }
        *values = std::move(unique);
    }

    hcl::Value labelled(const Node& node, const hcl::BodyContent& content) {
        struct Tree {
            std::map<std::string, Tree> below;
            std::optional<hcl::Value> value;
            hcl::Value finish(size_t levels) const {
                if (levels == 0) return value.value_or(hcl::Value::null());
                hcl::Value::Mapping out;
                for (const auto& [label, child] : below) out.emplace(label, child.finish(levels - 1));
                return hcl::Value::object(std::move(out));
            }
        };
        Tree root;
        for (const auto* block : content.blocks_of(node.name)) {
            Tree* at = &root;
            for (const auto& label : block->labels) at = &at->below[label];
            if (at->value) {
                diagnostics_.error(fmt::format("Duplicate {} block", node.name),
                                   fmt::format("A block for {} \"{}\" was already defined.", node.name,
                                               block->labels.back()),
                                   block->def_range);
                continue;
            }
            at->value = body(node.children[0], *block->body);
        }
        return root.finish(node.labels.size());
    }

    // Unknown only comes with an error that was reported.
    static hcl::Value known(hcl::Value value) { return value.is_wholly_known() ? value : hcl::Value::null(); }

    const hcl::EvalContext& context_;
    hcl::Diagnostics& diagnostics_;
};

}  // namespace

Result<ConfigSchema> ConfigSchema::compile(const spec::Spec& spec) {
    DROVER_TRY(Node root, Compiler().compile(spec, "", "", 0));
    return ConfigSchema(std::make_shared<const Node>(std::move(root)));
}

Result<ConfigSchema> ConfigSchema::compile(const sdk::HclSpec& in) {
    spec::Spec message;
    sdk::wire::to_proto(in, &message);
    return compile(message);
}

Result<hcl::Value> ConfigSchema::decode(const model::MapValue& config,
                                        const std::map<std::string, std::string>* variables) const {
    DROVER_TRY(const std::string text, config_to_json(config));
    hcl::Diagnostics diagnostics;
    const hcl::File file = hcl::parse_json(text, "config", diagnostics);
    DROVER_CHECK(diagnostics.status());
    hcl::EvalContext context;
    context.functions = &functions();
    if (variables)
        context.variables = config_variables(*variables);
    else
        context.variables_allowed = false;
    hcl::Value value = Decoder(context, diagnostics).body(*root_, *file.body);
    DROVER_CHECK(diagnostics.status());
    return value;
}

Result<std::string> ConfigSchema::to_msgpack(const model::MapValue& config,
                                             const std::map<std::string, std::string>* variables) const {
    DROVER_TRY(const hcl::Value value, decode(config, variables));
    return encode_msgpack(value);
}

}  // namespace drover::agent
