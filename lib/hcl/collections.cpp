// SPDX-License-Identifier: Apache-2.0
// Evaluation of what makes collections and texts: tuples, objects, for, splat, templates.
#include <fmt/format.h>

#include "hcl/ast.h"
#include "hcl/convert.h"
#include "hcl/operations.h"

namespace drover::hcl::ast {

namespace {

Value paid(Value value, const EvalContext& context, const Range& range, Diagnostics& diagnostics) {
    return charge_value(context, value, range, diagnostics) ? value : Value::unknown();
}

// A key as text; unknown after an error or when it is not known.
Value as_key(const Value& key, const Range& range, Diagnostics& diagnostics) {
    if (key.is_null()) {
        diagnostics.error("Null value as key", "Can't use a null value as a key.", range);
        return Value::unknown();
    }
    Result<Value> text = convert(key, Type::string());
    if (text) return std::move(*text);
    diagnostics.error("Incorrect key type",
                      fmt::format("Can't use this value as a key: {}.", text.error().message()), range);
    return Value::unknown();
}

}  // namespace

Value TupleCons::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    Value::Sequence out;
    out.reserve(elements.size());
    for (const ExpressionPtr& element : elements) out.push_back(element->evaluate(context, diagnostics));
    return paid(Value::tuple(std::move(out)), context, range(), diagnostics);
}

Value ObjectKey::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    std::optional<std::string> name = wrapped->as_keyword();
    if (name) return Value(*name);
    if (wrapped->as_traversal()) {
        diagnostics.error(
            "Ambiguous attribute key",
            "If this expression is intended to be a reference, wrap it in parentheses. If it's instead "
            "intended "
            "as a literal name containing periods, wrap it in quotes to create a string literal.",
            range());
        return Value::unknown();
    }
    return wrapped->evaluate(context, diagnostics);
}

Value ObjectCons::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    Value::Mapping out;
    bool known = true;
    for (const auto& [key, value] : items) {
        size_t before = diagnostics.error_count();
        Value name = key->evaluate(context, diagnostics);
        Value element = value->evaluate(context, diagnostics);
        if (diagnostics.error_count() == before) name = as_key(name, key->range(), diagnostics);
        if (name.has_value() && name.kind() == Kind::String)
            out.insert_or_assign(name.as_string(), std::move(element));
        else
            known = false;
    }
    if (!known) return Value::unknown();
    return paid(Value::object(std::move(out)), context, range(), diagnostics);
}

namespace {

// The values of a for's collection; nullopt when there is nothing to walk (unknown, or an error was added).
std::optional<std::vector<std::pair<Value, Value>>> walk(const For& loop, const EvalContext& context,
                                                         Diagnostics& diagnostics) {
    size_t before = diagnostics.error_count();
    Value collection = loop.collection->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return std::nullopt;
    if (collection.is_null()) {
        diagnostics.error("Iteration over null value",
                          "A null value cannot be used as the collection in a 'for' expression.",
                          loop.collection->range());
        return std::nullopt;
    }
    if (!is_iterable(collection.type()) && !collection.type().is_any()) {
        diagnostics.error(
            "Iteration over non-iterable value",
            fmt::format("A value of type {} cannot be used as the collection in a 'for' expression.",
                        collection.type().friendly_name()),
            loop.collection->range());
        return std::nullopt;
    }
    if (!collection.is_known()) return std::nullopt;
    return iterate(collection);
}

// Whether the item passes the `if`; nullopt: unknown or an error was added.
std::optional<bool> passes(const For& loop, const EvalContext& context, Diagnostics& diagnostics) {
    if (!loop.condition) return true;
    size_t before = diagnostics.error_count();
    Value value = loop.condition->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return std::nullopt;
    if (value.is_null()) {
        diagnostics.error("Invalid 'for' condition", "The value of the 'if' clause must not be null.",
                          loop.condition->range());
        return std::nullopt;
    }
    Result<Value> as_bool = convert(value, Type::boolean());
    if (!as_bool) {
        diagnostics.error("Invalid 'for' condition",
                          fmt::format("The 'if' clause value is invalid: {}.", as_bool.error().message()),
                          loop.condition->range());
        return std::nullopt;
    }
    if (!as_bool->is_known()) return std::nullopt;
    return as_bool->as_bool();
}

}  // namespace

Value For::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    auto items = walk(*this, context, diagnostics);
    if (!items) return Value::unknown();
    Value::Sequence tuple;
    Value::Mapping object;
    std::map<std::string, Value::Sequence> groups;
    EvalContext scope(&context);
    for (auto& [item_key, item_value] : *items) {
        if (!charge_step(context, *this, diagnostics)) return Value::unknown();
        if (!key_name.empty()) scope.variables[key_name] = item_key;
        scope.variables[value_name] = item_value;
        std::optional<bool> wanted = passes(*this, scope, diagnostics);
        if (!wanted) return Value::unknown();
        if (!*wanted) continue;
        size_t before = diagnostics.error_count();
        Value made = value->evaluate(scope, diagnostics);
        if (!key) {
            if (diagnostics.error_count() != before) return Value::unknown();
            tuple.push_back(std::move(made));
            continue;
        }
        Value name = key->evaluate(scope, diagnostics);
        if (diagnostics.error_count() != before) return Value::unknown();
        name = as_key(name, key->range(), diagnostics);
        if (!name.has_value()) return Value::unknown();
        if (group) {
            groups[name.as_string()].push_back(std::move(made));
        } else if (!object.try_emplace(name.as_string(), std::move(made)).second) {
            diagnostics.error(
                "Duplicate object key",
                fmt::format(
                    "Two different items produced the key {} in this 'for' expression. If duplicates are "
                    "expected, use the ellipsis (...) after the value expression to enable grouping by "
                    "key.",
                    quote(name.as_string())),
                key->range(), range());
            return Value::unknown();
        }
    }
    for (auto& [name, members] : groups) object.emplace(name, Value::tuple(std::move(members)));
    return paid(key ? Value::object(std::move(object)) : Value::tuple(std::move(tuple)), context, range(),
                diagnostics);
}

Value Splat::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    size_t before = diagnostics.error_count();
    Value from = source->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown();
    bool is_sequence = from.type().is_sequence();
    if (from.is_null()) {
        if (!is_sequence) return Value::tuple({});
        diagnostics.error("Splat of null value",
                          "Splat expressions (with the * symbol) cannot be applied to null sequences.",
                          source->range(), marker);
        return Value::unknown();
    }
    if (!from.is_known()) return Value::unknown();
    // What is no sequence is treated as one of a single element.
    Value::Sequence elements = is_sequence ? from.as_sequence() : Value::Sequence{from};
    Value::Sequence out;
    EvalContext scope(&context);
    for (const Value& element : elements) {
        if (!charge_step(context, *this, diagnostics)) return Value::unknown();
        scope.variables[kSplatItem] = element;
        out.push_back(each->evaluate(scope, diagnostics));
        if (diagnostics.error_count() != before) return Value::unknown();
    }
    bool as_list = from.kind() == Kind::List || from.kind() == Kind::Set;
    for (const Value& value : out) as_list = as_list && value.type() == out[0].type();
    Type type = out.empty() ? Type::any() : out[0].type();
    return paid(as_list ? Value::list(type, std::move(out)) : Value::tuple(std::move(out)), context, range(),
                diagnostics);
}

Value Template::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown(Type::string());
    std::string out;
    bool known = true;
    for (const ExpressionPtr& part : parts) {
        size_t before = diagnostics.error_count();
        Value value = part->evaluate(context, diagnostics);
        if (diagnostics.error_count() != before) {
            known = false;
            continue;
        }
        if (value.is_null()) {
            diagnostics.error(
                "Invalid template interpolation value",
                "The expression result is null. Cannot include a null value in a string template.",
                part->range(), range());
            known = false;
            continue;
        }
        Result<Value> text = convert(value, Type::string());
        if (!text) {
            diagnostics.error("Invalid template interpolation value",
                              fmt::format("Cannot include the given value in a string template: {}.",
                                          text.error().message()),
                              part->range(), range());
            known = false;
        } else if (!text->is_known()) {
            known = false;
        } else if (known) {
            out += text->as_string();
        }
    }
    if (!known) return Value::unknown(Type::string());
    Value made(std::move(out));
    return charge_value(context, made, range(), diagnostics) ? made : Value::unknown(Type::string());
}

std::optional<std::string> Template::literal_text() const {
    std::string out;
    for (const ExpressionPtr& part : parts) {
        const auto* text = dynamic_cast<const Literal*>(part.get());
        if (!text || text->value.kind() != Kind::String || !text->value.has_value()) return std::nullopt;
        out += text->value.as_string();
    }
    return out;
}

Value TemplateJoin::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    Value value = tuple->evaluate(context, diagnostics);
    if (!value.has_value() || !value.type().is_sequence()) return Value::unknown(Type::string());
    std::string out;
    for (const Value& element : value.as_sequence()) {
        Result<Value> text = convert(element, Type::string());
        if (!text || !text->has_value()) return Value::unknown(Type::string());
        out += text->as_string();
    }
    Value made(std::move(out));
    return charge_value(context, made, range(), diagnostics) ? made : Value::unknown(Type::string());
}

}  // namespace drover::hcl::ast
