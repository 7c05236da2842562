// SPDX-License-Identifier: Apache-2.0
// Static views of expressions: the variables they use, keywords, type expressions.
#include "hcl/ast.h"

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/operations.h"

namespace drover::hcl {

namespace ast {

void Index::collect_variables(std::vector<Traversal>& out) const {
    source->collect_variables(out);
    key->collect_variables(out);
}

void Splat::collect_variables(std::vector<Traversal>& out) const {
    source->collect_variables(out);
    each->collect_variables(out);
}

void Call::collect_variables(std::vector<Traversal>& out) const {
    for (const ExpressionPtr& argument : arguments) argument->collect_variables(out);
}

void Conditional::collect_variables(std::vector<Traversal>& out) const {
    condition->collect_variables(out);
    yes->collect_variables(out);
    no->collect_variables(out);
}

void Binary::collect_variables(std::vector<Traversal>& out) const {
    left->collect_variables(out);
    right->collect_variables(out);
}

void TupleCons::collect_variables(std::vector<Traversal>& out) const {
    for (const ExpressionPtr& element : elements) element->collect_variables(out);
}

void ObjectKey::collect_variables(std::vector<Traversal>& out) const {
    if (!wrapped->as_traversal()) wrapped->collect_variables(out);
}

void ObjectCons::collect_variables(std::vector<Traversal>& out) const {
    for (const auto& [key, value] : items) {
        key->collect_variables(out);
        value->collect_variables(out);
    }
}

void For::collect_variables(std::vector<Traversal>& out) const {
    collection->collect_variables(out);
    std::vector<Traversal> inside;
    if (key) key->collect_variables(inside);
    value->collect_variables(inside);
    if (condition) condition->collect_variables(inside);
    for (Traversal& traversal : inside) {
        if (traversal.root() != key_name && traversal.root() != value_name)
            out.push_back(std::move(traversal));
    }
}

void Template::collect_variables(std::vector<Traversal>& out) const {
    for (const ExpressionPtr& part : parts) part->collect_variables(out);
}

}  // namespace ast

std::vector<Traversal> Expression::variables() const {
    std::vector<Traversal> out;
    collect_variables(out);
    return out;
}

std::optional<std::string> Expression::as_keyword() const {
    std::optional<Traversal> traversal = as_traversal();
    if (!traversal || traversal->steps.size() != 1) return std::nullopt;
    return traversal->root();
}

ExpressionPtr literal(Value value, Range range) {
    return std::make_shared<const ast::Literal>(std::move(value), std::move(range));
}

Value evaluate_as(const Expression& expression, const EvalContext& context, const Type& wanted,
                  const std::string& attribute_name, Diagnostics& diagnostics) {
    size_t before = diagnostics.error_count();
    Value value = expression.evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown(wanted);
    Result<Value> converted = convert(value, wanted);
    if (converted) return std::move(*converted);
    diagnostics.error("Incorrect attribute value type",
                      fmt::format("Inappropriate value for attribute {}: {}.", quote(attribute_name),
                                  converted.error().message()),
                      expression.range());
    return Value::unknown(wanted);
}

namespace {

constexpr const char* kInvalidType = "Invalid type specification";

Type collection_type(const StaticCall& call, const Range& range, Diagnostics& diagnostics) {
    if (call.arguments.size() != 1) {
        diagnostics.error(
            kInvalidType,
            fmt::format("The {} type constructor requires one argument specifying the element type.",
                        call.name),
            range);
        return Type::any();
    }
    Type element = type_from_expression(*call.arguments[0], diagnostics);
    return call.name == "list"  ? Type::list(element)
           : call.name == "set" ? Type::set(element)
                                : Type::map(element);
}

Type object_type(const StaticCall& call, const Range& range, Diagnostics& diagnostics) {
    auto items = call.arguments.size() == 1 ? call.arguments[0]->as_map() : std::nullopt;
    if (!items) {
        diagnostics.error(kInvalidType,
                          "The object type constructor requires one argument specifying the attribute types "
                          "and values as a map.",
                          range);
        return Type::any();
    }
    std::map<std::string, Type> attributes;
    for (const auto& [key, value] : *items) {
        std::optional<std::string> name = key->as_keyword();
        if (!name) {
            Diagnostics ignored;
            EvalContext nothing;
            Value text = key->evaluate(nothing, ignored);
            if (text.kind() == Kind::String && text.has_value()) name = text.as_string();
        }
        if (!name) {
            diagnostics.error(kInvalidType, "Object constructor map keys must be attribute names.",
                              key->range());
            continue;
        }
        attributes.insert_or_assign(*name, type_from_expression(*value, diagnostics));
    }
    return Type::object(std::move(attributes));
}

Type tuple_type(const StaticCall& call, const Range& range, Diagnostics& diagnostics) {
    auto items = call.arguments.size() == 1 ? call.arguments[0]->as_list() : std::nullopt;
    if (!items) {
        diagnostics.error(
            kInvalidType,
            "The tuple type constructor requires one argument specifying the element types as a list.",
            range);
        return Type::any();
    }
    std::vector<Type> elements;
    for (const ExpressionPtr& item : *items) elements.push_back(type_from_expression(*item, diagnostics));
    return Type::tuple(std::move(elements));
}

}  // namespace

Type type_from_expression(const Expression& expression, Diagnostics& diagnostics) {
    const Range& range = expression.range();
    if (std::optional<std::string> keyword = expression.as_keyword()) {
        if (*keyword == "bool") return Type::boolean();
        if (*keyword == "string") return Type::string();
        if (*keyword == "number") return Type::number();
        if (*keyword == "any") return Type::any();
        bool constructor = *keyword == "list" || *keyword == "set" || *keyword == "map";
        if (constructor) {
            diagnostics.error(
                kInvalidType,
                fmt::format("The {} type constructor requires one argument specifying the element type.",
                            *keyword),
                range);
        } else if (*keyword == "object" || *keyword == "tuple") {
            diagnostics.error(
                kInvalidType,
                fmt::format("The {} type constructor requires one argument specifying the {} types.",
                            *keyword, *keyword == "object" ? "attribute" : "element"),
                range);
        } else {
            diagnostics.error(
                kInvalidType,
                fmt::format("The keyword {} is not a valid type specification.", quote(*keyword)), range);
        }
        return Type::any();
    }
    std::optional<StaticCall> call = expression.as_call();
    if (!call) {
        diagnostics.error(kInvalidType,
                          "A type specification is either a primitive type keyword (bool, number, string) or "
                          "a complex type "
                          "constructor call, like list(string).",
                          range);
        return Type::any();
    }
    if (call->name == "list" || call->name == "set" || call->name == "map")
        return collection_type(*call, range, diagnostics);
    if (call->name == "object") return object_type(*call, range, diagnostics);
    if (call->name == "tuple") return tuple_type(*call, range, diagnostics);
    std::string hint =
        call->name == "bool" || call->name == "string" || call->name == "number" || call->name == "any"
            ? fmt::format("Primitive type keyword {} does not expect arguments.", quote(call->name))
            : fmt::format("Keyword {} is not a valid type constructor.", quote(call->name));
    diagnostics.error(kInvalidType, hint, call->name_range);
    return Type::any();
}

}  // namespace drover::hcl
