// SPDX-License-Identifier: Apache-2.0
// The JSON variant of HCL: objects as bodies (the schema says what is a block), strings as templates.
// A property named "//" is a comment.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "hcl/ast.h"
#include "hcl/json_parser.h"
#include "hcl/operations.h"
#include "hcl/parser.h"

namespace drover::hcl {

namespace {

class JsonExpression : public Expression {
 public:
    JsonExpression(JsonPtr node) : Expression(node->range), node_(std::move(node)) {}  // NOLINT

    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override {
        if (!charge_step(context, *this, diagnostics)) return Value::unknown();
        switch (node_->kind) {
            case JsonNode::Kind::String: {
                ExpressionPtr text = as_template(node_->text, node_->range, diagnostics);
                return text ? text->evaluate(context, diagnostics) : Value::unknown();
            }
            case JsonNode::Kind::Array: {
                Value::Sequence elements;
                for (const JsonPtr& element : node_->elements)
                    elements.push_back(JsonExpression(element).evaluate(context, diagnostics));
                Value made = Value::tuple(std::move(elements));
                return charge_value(context, made, range(), diagnostics) ? made : Value::unknown();
            }
            case JsonNode::Kind::Object:
                return evaluate_object(context, diagnostics);
            default:
                return json_value(*node_);
        }
    }

    void collect_variables(std::vector<Traversal>& out) const override {
        Diagnostics ignored;
        auto from_text = [&](const std::string& text, const Range& where) {
            if (ExpressionPtr expression = as_template(text, where, ignored))
                expression->collect_variables(out);
        };
        if (node_->kind == JsonNode::Kind::String) from_text(node_->text, node_->range);
        for (const JsonPtr& element : node_->elements) JsonExpression(element).collect_variables(out);
        for (const JsonMember& member : node_->members) {
            from_text(member.name, member.name_range);
            JsonExpression(member.value).collect_variables(out);
        }
    }

    std::optional<Traversal> as_traversal() const override {
        ExpressionPtr expression = as_expression();
        return expression ? expression->as_traversal() : std::nullopt;
    }
    std::optional<StaticCall> as_call() const override {
        ExpressionPtr expression = as_expression();
        return expression ? expression->as_call() : std::nullopt;
    }
    std::optional<std::vector<ExpressionPtr>> as_list() const override {
        if (node_->kind != JsonNode::Kind::Array) return std::nullopt;
        std::vector<ExpressionPtr> out;
        for (const JsonPtr& element : node_->elements) out.push_back(json_expression(element));
        return out;
    }
    std::optional<std::vector<std::pair<ExpressionPtr, ExpressionPtr>>> as_map() const override {
        if (node_->kind != JsonNode::Kind::Object) return std::nullopt;
        std::vector<std::pair<ExpressionPtr, ExpressionPtr>> out;
        for (const JsonMember& member : node_->members) {
            auto name = std::make_shared<JsonNode>();
            name->kind = JsonNode::Kind::String;
            name->text = member.name;
            name->strings = node_->strings;
            name->range = member.name_range;
            out.emplace_back(json_expression(std::move(name)), json_expression(member.value));
        }
        return out;
    }

 private:
    static Pos inside_quote(const Range& range) {
        Pos start = range.start;
        ++start.column;
        ++start.byte;
        return start;
    }
    ExpressionPtr as_template(const std::string& text, const Range& range, Diagnostics& diagnostics) const {
        if (node_->strings == JsonStrings::Plain) return literal(Value(text), range);
        if (text.find("${") == std::string::npos && text.find("%{") == std::string::npos)
            return literal(Value(text), range);
        return parse_template(text, range.filename, diagnostics, inside_quote(range));
    }
    // A string read as an expression, where a static form (a type, a reference) is wanted.
    ExpressionPtr as_expression() const {
        if (node_->kind != JsonNode::Kind::String) return nullptr;
        Diagnostics problems;
        ExpressionPtr out =
            parse_expression(node_->text, node_->range.filename, problems, inside_quote(node_->range));
        return problems.has_errors() ? nullptr : out;
    }

    Value evaluate_object(const EvalContext& context, Diagnostics& diagnostics) const {
        Value::Mapping out;
        std::map<std::string, Range> seen;
        bool known = true;
        for (const JsonMember& member : node_->members) {
            ExpressionPtr name = as_template(member.name, member.name_range, diagnostics);
            size_t before = diagnostics.error_count();
            Value key = name ? name->evaluate(context, diagnostics) : Value::unknown();
            Value value = JsonExpression(member.value).evaluate(context, diagnostics);
            if (key.has_value() && key.kind() == Kind::Number) key = Value(key.as_number().text());
            if (key.has_value() && key.kind() == Kind::Bool)
                key = Value::string(key.as_bool() ? "true" : "false");
            if (!key.has_value() || key.kind() != Kind::String) {
                if (diagnostics.error_count() == before && key.is_known()) {
                    diagnostics.error("Invalid object key expression",
                                      "Cannot use this expression as an object key: a string is required.",
                                      member.name_range);
                }
                known = false;
                continue;
            }
            auto [first, is_new] = seen.try_emplace(key.as_string(), member.name_range);
            if (!is_new) {
                diagnostics.error("Duplicate object attribute",
                                  fmt::format("An attribute named {} was already defined at {}.",
                                              quote(key.as_string()), first->second.text()),
                                  member.name_range);
                known = false;
                continue;
            }
            out.emplace(key.as_string(), std::move(value));
        }
        if (!known) return Value::unknown();
        Value made = Value::object(std::move(out));
        return charge_value(context, made, range(), diagnostics) ? made : Value::unknown();
    }

    JsonPtr node_;
};

class JsonBody : public Body {
 public:
    explicit JsonBody(JsonPtr node) : node_(std::move(node)) {}

    BodyContent content(const BodySchema& schema, Diagnostics& diagnostics) const override {
        BodyContent out = partial_content(schema, nullptr, diagnostics);
        std::vector<std::string> known;
        for (const AttributeSchema& wanted : schema.attributes) known.push_back(wanted.name);
        for (const BlockSchema& wanted : schema.blocks) known.push_back(wanted.type);
        Diagnostics ignored;
        for (const JsonMember* member : members(ignored)) {
            if (std::find(known.begin(), known.end(), member->name) != known.end()) continue;
            diagnostics.error("Invalid label",
                              fmt::format("No argument or block type is named {}.{}", quote(member->name),
                                          suggestion(member->name, known)),
                              member->name_range);
        }
        return out;
    }

    BodyContent partial_content(const BodySchema& schema, BodyPtr* remain,
                                Diagnostics& diagnostics) const override {
        BodyContent out;
        out.missing_item_range = missing_item_range();
        auto rest = remain ? std::make_shared<JsonBody>(*this) : nullptr;
        std::map<std::string, const AttributeSchema*> attributes;
        std::map<std::string, const BlockSchema*> blocks;
        for (const AttributeSchema& wanted : schema.attributes) attributes[wanted.name] = &wanted;
        for (const BlockSchema& wanted : schema.blocks) blocks[wanted.type] = &wanted;
        for (const JsonMember* member : members(diagnostics)) {
            auto attribute = attributes.find(member->name);
            auto block = blocks.find(member->name);
            if (attribute != attributes.end()) {
                add_attribute(out.attributes, *member, diagnostics);
            } else if (block != blocks.end()) {
                std::vector<std::string> labels;
                std::vector<Range> label_ranges;
                unpack_blocks(*member, member->value, *block->second, labels, label_ranges, out.blocks,
                              diagnostics);
            }
        }
        for (const AttributeSchema& wanted : schema.attributes) {
            if (rest) rest->taken_.insert(wanted.name);
            if (!wanted.required || out.attributes.count(wanted.name)) continue;
            diagnostics.error(
                "Missing required argument",
                fmt::format("The argument {} is required, but no definition was found.", quote(wanted.name)),
                missing_item_range());
        }
        for (const BlockSchema& wanted : schema.blocks) {
            if (rest) rest->taken_.insert(wanted.type);
        }
        if (remain) *remain = std::move(rest);
        return out;
    }

    std::map<std::string, Attribute> just_attributes(Diagnostics& diagnostics) const override {
        std::map<std::string, Attribute> out;
        for (const JsonMember* member : members(diagnostics)) add_attribute(out, *member, diagnostics);
        return out;
    }

    Everything everything(Diagnostics& diagnostics) const override {
        Everything out;
        std::map<std::string, Attribute> seen;
        for (const JsonMember* member : members(diagnostics)) {
            if (add_attribute(seen, *member, diagnostics)) out.attributes.push_back(seen.at(member->name));
        }
        return out;
    }

    Range missing_item_range() const override { return node_->close_range; }

 private:
    // The properties of the object, or of all objects of an array, that were not taken.
    std::vector<const JsonMember*> members(Diagnostics& diagnostics) const {
        std::vector<const JsonMember*> out;
        auto add_object = [&](const JsonNode& object) {
            if (object.kind != JsonNode::Kind::Object) {
                diagnostics.error("Incorrect JSON value type",
                                  fmt::format("A JSON object is required here, setting the arguments for "
                                              "this block, but {} was found.",
                                              object.kind_name()),
                                  object.range);
                return;
            }
            for (const JsonMember& member : object.members) {
                if (member.name != "//" && !taken_.count(member.name)) out.push_back(&member);
            }
        };
        if (node_->kind == JsonNode::Kind::Array) {
            for (const JsonPtr& element : node_->elements) add_object(*element);
        } else {
            add_object(*node_);
        }
        return out;
    }

    static bool add_attribute(std::map<std::string, Attribute>& into, const JsonMember& member,
                              Diagnostics& diagnostics) {
        auto [same, is_new] = into.try_emplace(member.name);
        if (!is_new) {
            diagnostics.error("Duplicate argument",
                              fmt::format("The argument {} was already set at {}.", quote(member.name),
                                          same->second.name_range.text()),
                              member.name_range);
            return false;
        }
        same->second = {member.name, json_expression(member.value),
                        Range::between(member.name_range, member.value->range), member.name_range};
        return true;
    }

    static void unpack_blocks(const JsonMember& type, const JsonPtr& node, const BlockSchema& schema,
                              std::vector<std::string>& labels, std::vector<Range>& label_ranges,
                              std::vector<Block>& out, Diagnostics& diagnostics) {
        if (node->kind == JsonNode::Kind::Null) return;  // no block
        if (node->kind == JsonNode::Kind::Array) {
            for (const JsonPtr& element : node->elements) {
                // An array inside an array would nest without an end for labels; an object is what may stand
                // here.
                if (element->kind == JsonNode::Kind::Array)
                    wrong_kind(type, *element, diagnostics);
                else
                    unpack_blocks(type, element, schema, labels, label_ranges, out, diagnostics);
            }
            return;
        }
        if (node->kind != JsonNode::Kind::Object) return wrong_kind(type, *node, diagnostics);
        if (labels.size() == schema.label_names.size()) {
            Block block;
            block.type = type.name;
            block.labels = labels;
            block.body = json_body(node);
            block.type_range = type.name_range;
            block.label_ranges = label_ranges;
            block.def_range = node->open_range;
            out.push_back(std::move(block));
            return;
        }
        size_t before = out.size();
        for (const JsonMember& member : node->members) {
            if (member.name == "//") continue;
            labels.push_back(member.name);
            label_ranges.push_back(member.name_range);
            unpack_blocks(type, member.value, schema, labels, label_ranges, out, diagnostics);
            labels.pop_back();
            label_ranges.pop_back();
        }
        if (node->members.empty() && out.size() == before) {
            diagnostics.error(
                "Missing block label",
                fmt::format(
                    "At least one object property is required, whose name represents the {} block's {}.",
                    type.name, schema.label_names[labels.size()]),
                node->close_range);
        }
    }

    static void wrong_kind(const JsonMember& type, const JsonNode& node, Diagnostics& diagnostics) {
        diagnostics.error("Incorrect JSON value type",
                          fmt::format("Either a JSON object or a JSON array is required, representing the "
                                      "contents of one or more {} blocks.",
                                      quote(type.name)),
                          node.range);
    }

    JsonPtr node_;
    std::set<std::string> taken_;
};

}  // namespace

ExpressionPtr json_expression(JsonPtr node) {
    return std::make_shared<const JsonExpression>(std::move(node));
}

BodyPtr json_body(JsonPtr node) {
    return std::make_shared<const JsonBody>(std::move(node));
}

BodyPtr parse_json_body(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                        JsonStrings strings) {
    JsonPtr node = parse_json_node(text, filename, diagnostics, strings);
    if (!node) return nullptr;
    if (node->kind != JsonNode::Kind::Object && node->kind != JsonNode::Kind::Array) {
        diagnostics.error("Root value must be object",
                          "The root value in a JSON-based configuration must be either a JSON object or a "
                          "JSON array of objects.",
                          node->range);
        return nullptr;
    }
    return json_body(std::move(node));
}

ExpressionPtr parse_json_expression(std::string_view text, const std::string& filename,
                                    Diagnostics& diagnostics) {
    JsonPtr node = parse_json_node(text, filename, diagnostics);
    return node ? json_expression(std::move(node)) : nullptr;
}

}  // namespace drover::hcl
