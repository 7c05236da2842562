// SPDX-License-Identifier: Apache-2.0
// Access to the parts of values, with the errors a user sees when there is no such part.
#include "hcl/operations.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "hcl/convert.h"

namespace drover::hcl {

Value get_attribute(const Value& value, const std::string& name, const Range& range,
                    Diagnostics& diagnostics) {
    constexpr const char* kUnsupported = "Unsupported attribute";
    if (value.is_null() && !value.type().is_any()) {
        diagnostics.error("Attempt to get attribute from null value",
                          "This value is null, so it does not have any attributes.", range);
        return Value::unknown();
    }
    const Type& type = value.type();
    if (type.kind() == Kind::Object) {
        auto found = type.attributes().find(name);
        if (found == type.attributes().end()) {
            std::vector<std::string> names;
            for (const auto& [known, unused] : type.attributes()) names.push_back(known);
            diagnostics.error(kUnsupported,
                              fmt::format("This object does not have an attribute named {}.{}", quote(name),
                                          suggestion(name, names)),
                              range);
            return Value::unknown();
        }
        return value.has_value() ? value.as_mapping().at(name) : Value::unknown(found->second);
    }
    if (type.kind() == Kind::Map) {
        if (!value.has_value()) return Value::unknown(type.element());
        auto found = value.as_mapping().find(name);
        if (found != value.as_mapping().end()) return found->second;
        diagnostics.error("Missing map element",
                          fmt::format("This map does not have an element with the key {}.", quote(name)),
                          range);
        return Value::unknown();
    }
    if (type.is_any()) {
        if (!value.is_known()) return Value::unknown();
        diagnostics.error("Attempt to get attribute from null value",
                          "This value is null, so it does not have any attributes.", range);
        return Value::unknown();
    }
    if (type.is_sequence()) {
        diagnostics.error(
            kUnsupported,
            fmt::format("Can't access attributes on a list of values. Did you mean to access an attribute "
                        "for a specific element of the list, or across all elements, like [*].{}?",
                        name),
            range);
    } else {
        diagnostics.error(kUnsupported, "This value does not have any attributes.", range);
    }
    return Value::unknown();
}

namespace {

Value index_sequence(const Value& value, const Value& key, const Range& range, Diagnostics& diagnostics) {
    constexpr const char* kInvalid = "Invalid index";
    constexpr const char* kNoSuch = "The given key does not identify an element in this collection value";
    Result<Value> number = convert(key, Type::number());
    if (!number) {
        diagnostics.error(kInvalid, fmt::format("{}: {}.", kNoSuch, number.error().message()), range);
        return Value::unknown();
    }
    if (!number->is_known() || !value.is_known()) return Value::unknown();
    const Value::Sequence& elements = value.as_sequence();
    const Number& position = number->as_number();
    if (!position.is_integer()) {
        diagnostics.error(
            kInvalid,
            fmt::format("{}: indexing a sequence requires a whole number, but the given index has a "
                        "fractional part.",
                        kNoSuch),
            range);
        return Value::unknown();
    }
    if (position.is_negative()) {
        diagnostics.error(kInvalid,
                          fmt::format("{}: a negative number is not a valid index for a sequence.", kNoSuch),
                          range);
        return Value::unknown();
    }
    std::optional<uint64_t> at = position.to_uint64();
    if (!at || *at >= elements.size()) {
        std::string why = elements.empty()
                              ? "the collection has no elements"
                              : "the given index is greater than or equal to the length of the collection";
        diagnostics.error(kInvalid, fmt::format("{}: {}.", kNoSuch, why), range);
        return Value::unknown();
    }
    return elements[*at];
}

}  // namespace

Value get_index(const Value& value, const Value& key, const Range& range, Diagnostics& diagnostics) {
    constexpr const char* kInvalid = "Invalid index";
    if (value.is_null()) {
        diagnostics.error("Attempt to index null value",
                          "This value is null, so it does not have any indices.", range);
        return Value::unknown();
    }
    if (key.is_null()) {
        diagnostics.error(kInvalid, "Can't use a null value as an indexing key.", range);
        return Value::unknown();
    }
    const Type& type = value.type();
    if (type.is_any()) return Value::unknown();
    if (type.kind() == Kind::List || type.kind() == Kind::Tuple)
        return index_sequence(value, key, range, diagnostics);
    if (type.is_mapping()) {
        Result<Value> name = convert(key, Type::string());
        if (!name) {
            diagnostics.error(
                kInvalid,
                fmt::format("The given key does not identify an element in this collection value: {}.",
                            name.error().message()),
                range);
            return Value::unknown();
        }
        if (!name->is_known() || !value.is_known()) return Value::unknown();
        auto found = value.as_mapping().find(name->as_string());
        if (found != value.as_mapping().end()) return found->second;
        diagnostics.error(kInvalid,
                          type.kind() == Kind::Map
                              ? "The given key does not identify an element in this collection value."
                              : "The given key does not identify an attribute in this object value.",
                          range);
        return Value::unknown();
    }
    if (type.kind() == Kind::Set) {
        diagnostics.error(
            kInvalid,
            "Elements of a set are identified only by their value and don't have any separate index "
            "or key to select with, so it's only possible to perform operations across all elements "
            "of the set.",
            range);
    } else {
        diagnostics.error(kInvalid, "This value does not have any indices.", range);
    }
    return Value::unknown();
}

Value apply_step(const Value& value, const TraversalStep& step, Diagnostics& diagnostics) {
    if (step.kind == TraversalStep::Kind::Index) return get_index(value, step.key, step.range, diagnostics);
    return get_attribute(value, step.name, step.range, diagnostics);
}

bool has_index(const Value& value, const Value& key) {
    if (!value.has_value() || !key.has_value() || value.kind() == Kind::Set) return false;
    Diagnostics ignored;
    get_index(value, key, {}, ignored);
    return !ignored.has_errors();
}

bool is_iterable(const Type& type) {
    return type.is_sequence() || type.is_mapping();
}

std::vector<std::pair<Value, Value>> iterate(const Value& value) {
    std::vector<std::pair<Value, Value>> out;
    if (value.type().is_mapping()) {
        for (const auto& [name, element] : value.as_mapping()) out.emplace_back(Value(name), element);
        return out;
    }
    int64_t position = 0;
    for (const Value& element : value.as_sequence()) {
        out.emplace_back(value.kind() == Kind::Set ? element : Value::number(position++), element);
    }
    return out;
}

void report_exhausted(const Range& range, Diagnostics& diagnostics) {
    constexpr const char* kSummary = "Expression too expensive";
    for (const Diagnostic& said : diagnostics) {
        if (said.summary == kSummary) return;
    }
    diagnostics.error(kSummary, "Evaluating this takes more steps, or makes larger values, than is allowed.",
                      range);
}

namespace {

bool charge(const EvalContext& context, uint64_t cost, const Range& range, Diagnostics& diagnostics) {
    if (context.budget().spend(cost)) return true;
    report_exhausted(range, diagnostics);
    return false;
}

}  // namespace

bool charge_step(const EvalContext& context, const Expression& expression, Diagnostics& diagnostics) {
    return charge(context, kStepCost, expression.range(), diagnostics);
}

bool charge_value(const EvalContext& context, const Value& value, const Range& range,
                  Diagnostics& diagnostics) {
    if (value.depth() > kValueDepthMax) {
        diagnostics.error("Value nested too deeply",
                          fmt::format("Values may be nested at most {} levels deep.", kValueDepthMax), range);
        return false;
    }
    return charge(context, value.weight(), range, diagnostics);
}

std::string suggestion(const std::string& given, const std::vector<std::string>& known) {
    if (given.size() > 100) return "";  // the search is quadratic in the length
    std::vector<std::string> candidates;
    for (const std::string& name : known) {
        if (name.size() <= given.size() + 2 && given.size() <= name.size() + 2) candidates.push_back(name);
    }
    std::optional<std::string> near = closest(given, candidates);
    return near ? fmt::format(" Did you mean {}?", quote(*near)) : "";
}

}  // namespace drover::hcl
