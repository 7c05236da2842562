// SPDX-License-Identifier: Apache-2.0
// Conversions between types and the search for a common type. Pure; every failure says what was wanted.
#include "hcl/convert.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace drover::hcl {

namespace {

Error mismatch(std::string message) {
    return Error(Code::InvalidArgument, std::move(message));
}

Result<Value> string_to_bool(const std::string& text) {
    if (text == "true" || text == "1") return Value::boolean(true);
    if (text == "false" || text == "0") return Value::boolean(false);
    for (std::string_view word : {"True", "TRUE"}) {
        if (text == word)
            return mismatch("a bool is required; to convert from string, use lowercase \"true\"");
    }
    for (std::string_view word : {"False", "FALSE"}) {
        if (text == word)
            return mismatch("a bool is required; to convert from string, use lowercase \"false\"");
    }
    return mismatch("a bool is required");
}

Result<Value> to_primitive(const Value& value, const Type& wanted) {
    if (value.kind() == Kind::String && wanted.kind() == Kind::Bool) return string_to_bool(value.as_string());
    if (value.kind() == Kind::String && wanted.kind() == Kind::Number) {
        if (std::optional<Number> number = Number::parse(value.as_string())) return Value(*number);
        return mismatch("a number is required");
    }
    if (value.kind() == Kind::Number && wanted.kind() == Kind::String) return Value(value.as_number().text());
    if (value.kind() == Kind::Bool && wanted.kind() == Kind::String) {
        return Value::string(value.as_bool() ? "true" : "false");
    }
    return mismatch(wanted.friendly_name() + " required");
}

// Converts all to `element`, or, where that holds `any`, to what the values have in common. Leaves the type
// in `element`.
Status convert_all(std::vector<Value>& values, Type& element, const std::vector<std::string>& places,
                   std::string_view collection) {
    if (element.contains_any()) {
        std::vector<Type> types;
        for (size_t i = 0; i < values.size(); ++i) {
            Result<Value> converted = convert(values[i], element);
            if (!converted) return std::move(converted.error()).context(places[i]);
            values[i] = std::move(*converted);
            types.push_back(values[i].type());
        }
        Type common = unify(types);
        bool all_null =
            std::all_of(values.begin(), values.end(), [](const Value& v) { return v.type().is_any(); });
        if (common.is_any() && !values.empty() && !all_null) {
            return mismatch(fmt::format("all {} elements must have the same type", collection));
        }
        if (!values.empty()) element = common;
    }
    for (size_t i = 0; i < values.size(); ++i) {
        Result<Value> converted = convert(values[i], element);
        if (!converted) return std::move(converted.error()).context(places[i]);
        values[i] = std::move(*converted);
    }
    return {};
}

Result<Value> to_sequence(const Value& value, const Type& wanted) {
    if (!value.type().is_sequence()) return mismatch(wanted.friendly_name() + " required");
    std::vector<Value> elements = value.as_sequence();
    std::vector<std::string> places;
    for (size_t i = 0; i < elements.size(); ++i) places.push_back(fmt::format("element {}", i));
    if (wanted.kind() == Kind::Tuple) {
        if (value.kind() != Kind::Tuple) return mismatch("tuple required");
        if (elements.size() != wanted.elements().size()) {
            return mismatch(fmt::format("tuple of {} elements required, but have {}",
                                        wanted.elements().size(), elements.size()));
        }
        for (size_t i = 0; i < elements.size(); ++i) {
            Result<Value> converted = convert(elements[i], wanted.elements()[i]);
            if (!converted) return std::move(converted.error()).context(places[i]);
            elements[i] = std::move(*converted);
        }
        return Value::tuple(std::move(elements));
    }
    Type element = wanted.element();
    DROVER_CHECK(convert_all(elements, element, places, wanted.kind() == Kind::List ? "list" : "set"));
    if (wanted.kind() == Kind::List) return Value::list(element, std::move(elements));
    return Value::set(element, std::move(elements));
}

Result<Value> to_map(const Value& value, const Type& wanted) {
    if (!value.type().is_mapping()) return mismatch(wanted.friendly_name() + " required");
    std::vector<Value> elements;
    std::vector<std::string> places;
    for (const auto& [name, element] : value.as_mapping()) {
        elements.push_back(element);
        places.push_back(fmt::format("element {}", quote(name)));
    }
    Type element = wanted.element();
    DROVER_CHECK(convert_all(elements, element, places, "map"));
    Value::Mapping out;
    size_t i = 0;
    for (const auto& [name, unused] : value.as_mapping())
        out.emplace_hint(out.end(), name, std::move(elements[i++]));
    return Value::map(element, std::move(out));
}

Result<Value> to_object(const Value& value, const Type& wanted) {
    if (!value.type().is_mapping()) return mismatch(wanted.friendly_name() + " required");
    const Value::Mapping& given = value.as_mapping();
    std::vector<std::string> missing;
    Value::Mapping out;
    for (const auto& [name, type] : wanted.attributes()) {
        auto found = given.find(name);
        if (found == given.end()) {
            missing.push_back(quote(name));
            continue;
        }
        Result<Value> converted = convert(found->second, type);
        if (!converted) return std::move(converted.error()).context(fmt::format("attribute {}", quote(name)));
        out.emplace_hint(out.end(), name, std::move(*converted));
    }
    if (missing.size() == 1) return mismatch(fmt::format("attribute {} is required", missing[0]));
    if (!missing.empty()) {
        std::string last = missing.back();
        missing.pop_back();
        return mismatch(fmt::format("attributes {} and {} are required", fmt::join(missing, ", "), last));
    }
    return Value::object(std::move(out));
}

bool is_scalar_pair(const Type& a, const Type& b) {
    return a.is_primitive() && b.is_primitive();
}

// Whether every value of `from` becomes a `to` (numbers and bools do become strings, not the other way).
bool converts_safely(const Type& from, const Type& to) {
    if (from == to || to.is_any()) return true;
    return is_scalar_pair(from, to) && to.kind() == Kind::String;
}

// The common type of `types`, whether that is possible at all in `ok`.
Type unify_known(const std::vector<Type>& types, bool& ok);

Type unify_elements(const std::vector<Type>& types, bool& ok) {
    std::vector<Type> elements;
    for (const Type& type : types) {
        if (type.is_collection())
            elements.push_back(type.element());
        else if (type.kind() == Kind::Tuple)
            elements.insert(elements.end(), type.elements().begin(), type.elements().end());
        else
            for (const auto& [name, attribute] : type.attributes()) elements.push_back(attribute);
    }
    return unify_known(elements, ok);
}

Type unify_objects(const std::vector<Type>& types, bool& ok) {
    bool same_names = std::all_of(types.begin(), types.end(), [&](const Type& type) {
        return std::equal(type.attributes().begin(), type.attributes().end(), types[0].attributes().begin(),
                          types[0].attributes().end(),
                          [](const auto& x, const auto& y) { return x.first == y.first; });
    });
    if (!same_names) return Type::map(unify_elements(types, ok));
    std::map<std::string, Type> out;
    for (const auto& [name, unused] : types[0].attributes()) {
        std::vector<Type> column;
        for (const Type& type : types) column.push_back(type.attributes().at(name));
        out.emplace(name, unify_known(column, ok));
    }
    return Type::object(std::move(out));
}

Type unify_tuples(const std::vector<Type>& types, bool& ok) {
    bool same_size = std::all_of(types.begin(), types.end(), [&](const Type& type) {
        return type.elements().size() == types[0].elements().size();
    });
    if (!same_size) return Type::list(unify_elements(types, ok));
    std::vector<Type> out;
    for (size_t i = 0; i < types[0].elements().size(); ++i) {
        std::vector<Type> column;
        for (const Type& type : types) column.push_back(type.elements()[i]);
        out.push_back(unify_known(column, ok));
    }
    return Type::tuple(std::move(out));
}

Type unify_known(const std::vector<Type>& all, bool& ok) {
    std::vector<Type> types;
    for (const Type& type : all) {
        if (!type.is_any()) types.push_back(type);
    }
    if (types.empty()) return Type::any();
    if (std::all_of(types.begin(), types.end(), [&](const Type& type) { return type == types[0]; }))
        return types[0];
    std::set<Kind> kinds;
    for (const Type& type : types) kinds.insert(type.kind());
    if (kinds == std::set<Kind>{Kind::Object}) return unify_objects(types, ok);
    if (kinds == std::set<Kind>{Kind::Tuple}) return unify_tuples(types, ok);
    auto only = [&](std::initializer_list<Kind> allowed) {
        return std::all_of(kinds.begin(), kinds.end(), [&](Kind kind) {
            return std::find(allowed.begin(), allowed.end(), kind) != allowed.end();
        });
    };
    if (only({Kind::Map, Kind::Object})) return Type::map(unify_elements(types, ok));
    if (only({Kind::List, Kind::Tuple})) return Type::list(unify_elements(types, ok));
    if (only({Kind::Set, Kind::List, Kind::Tuple})) return Type::set(unify_elements(types, ok));
    for (const Type& candidate : types) {
        if (std::all_of(types.begin(), types.end(),
                        [&](const Type& type) { return converts_safely(type, candidate); })) {
            return candidate;
        }
    }
    ok = false;
    return Type::any();
}

}  // namespace

Result<Value> convert(const Value& value, const Type& wanted) {
    if (wanted.is_any() || value.type() == wanted) return value;
    if (value.is_null()) return Value::null(wanted);
    if (!value.is_known()) return Value::unknown(wanted);
    switch (wanted.kind()) {
        case Kind::List:
        case Kind::Set:
        case Kind::Tuple:
            return to_sequence(value, wanted);
        case Kind::Map:
            return to_map(value, wanted);
        case Kind::Object:
            return to_object(value, wanted);
        default:
            return to_primitive(value, wanted);
    }
}

Type unify(const std::vector<Type>& types) {
    bool ok = true;
    Type out = unify_known(types, ok);
    return ok ? out : Type::any();
}

}  // namespace drover::hcl
