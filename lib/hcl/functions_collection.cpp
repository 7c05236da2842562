// SPDX-License-Identifier: Apache-2.0
// Functions over lists, maps, tuples and objects. Lists stay lists of one type where all inputs are; else
// tuples.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/function_tables.h"
#include "hcl/operations.h"

namespace drover::hcl {

namespace {

// The elements of a list, set or tuple argument; an error otherwise.
tl::expected<Value::Sequence, CallError> sequence_of(const Arguments& a, size_t i) {
    if (!a[i].type().is_sequence()) return argument_error(i, "a list, set or tuple is required");
    return a[i].as_sequence();
}

// A list when all elements have one type and the source was one, else a tuple.
Value like(const Value& source, Value::Sequence elements) {
    if (source.kind() == Kind::List || source.kind() == Kind::Set)
        return Value::list(source.type().element(), std::move(elements));
    return Value::tuple(std::move(elements));
}

// All as one list if they have a common type, else a tuple.
Value list_or_tuple(Value::Sequence elements, bool prefer_list) {
    if (!prefer_list) return Value::tuple(std::move(elements));
    std::vector<Type> types;
    for (const Value& value : elements) types.push_back(value.type());
    Type common = unify(types);
    if (common.is_any() && !elements.empty()) return Value::tuple(std::move(elements));
    Value::Sequence converted;
    for (const Value& value : elements) {
        Result<Value> one = convert(value, common);
        if (!one) return Value::tuple(std::move(elements));
        converted.push_back(std::move(*one));
    }
    return Value::list(common, std::move(converted));
}

std::optional<size_t> as_size(const Value& value) {
    std::optional<uint64_t> number = value.as_number().to_uint64();
    return number ? std::optional<size_t>(*number) : std::nullopt;
}

CallResult chunklist(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    std::optional<size_t> size = as_size(a[1]);
    if (!size) return argument_error(1, "the size argument must be a positive whole number");
    size_t step = *size == 0 ? std::max<size_t>(elements->size(), 1) : *size;
    Value::Sequence chunks;
    for (size_t i = 0; i < elements->size(); i += step) {
        auto from = elements->begin() + static_cast<ptrdiff_t>(i);
        auto to = elements->begin() +
                  static_cast<ptrdiff_t>(std::min(elements->size(), i + std::min(step, elements->size())));
        chunks.push_back(like(a[0], Value::Sequence(from, to)));
        if (step >= elements->size()) break;
    }
    if (a[0].kind() == Kind::Tuple) return Value::tuple(std::move(chunks));
    return Value::list(Type::list(a[0].type().element()), std::move(chunks));
}

// The first argument that is not null (and, for job files, not an empty string), as the type all have in
// common.
CallResult coalesce(const Arguments& a, bool skip_empty) {
    if (a.empty()) return call_error("at least one argument is required");
    std::vector<Type> types;
    for (const Value& value : a) types.push_back(value.type());
    Type common = unify(types);
    if (common.is_any()) {
        for (const Type& type : types) {
            if (!type.is_any()) return call_error("all arguments must have the same type");
        }
    }
    for (const Value& value : a) {
        if (value.is_null()) continue;
        if (!value.is_known()) return Value::unknown(common);
        if (skip_empty && value.kind() == Kind::String && value.as_string().empty()) continue;
        Result<Value> converted = convert(value, common);
        if (!converted) return call_error(converted.error().message());
        return std::move(*converted);
    }
    return call_error(skip_empty ? "no non-null, non-empty-string arguments" : "no non-null arguments");
}

CallResult coalescelist(const Arguments& a) {
    if (a.empty()) return call_error("at least one argument is required");
    for (size_t i = 0; i < a.size(); ++i) {
        if (a[i].is_null()) continue;
        auto elements = sequence_of(a, i);
        if (!elements) return tl::unexpected(elements.error());
        if (!elements->empty()) return a[i];
    }
    return call_error("no non-null, non-empty arguments");
}

CallResult compact(const Arguments& a) {
    Value::Sequence out;
    for (const Value& value : a[0].as_sequence()) {
        if (value.has_value() && !value.as_string().empty()) out.push_back(value);
    }
    return Value::list(Type::string(), std::move(out));
}

CallResult concat(const Arguments& a) {
    if (a.empty()) return call_error("at least one argument is required");
    Value::Sequence out;
    bool lists = true;
    for (size_t i = 0; i < a.size(); ++i) {
        auto elements = sequence_of(a, i);
        if (!elements) return tl::unexpected(elements.error());
        lists = lists && a[i].kind() != Kind::Tuple;
        out.insert(out.end(), elements->begin(), elements->end());
    }
    return list_or_tuple(std::move(out), lists);
}

// Equal as `==` sees it, after bringing a scalar to the element's type when that works.
bool same(const Value& element, const Value& wanted) {
    if (element == wanted) return true;
    if (!element.type().is_primitive() || !wanted.has_value()) return false;
    Result<Value> converted = convert(wanted, element.type());
    return converted && element == *converted;
}

CallResult contains(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    bool uniform = a[0].kind() != Kind::Tuple;
    return Value::boolean(std::any_of(elements->begin(), elements->end(), [&](const Value& element) {
        return uniform ? same(element, a[1]) : element == a[1];
    }));
}

CallResult distinct(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    auto less = [](const Value& x, const Value& y) { return Value::compare(x, y) < 0; };
    std::set<Value, decltype(less)> seen(less);
    Value::Sequence out;
    for (const Value& element : *elements) {
        if (seen.insert(element).second) out.push_back(element);
    }
    return like(a[0], std::move(out));
}

CallResult element(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    if (a[0].kind() == Kind::Set) return argument_error(0, "cannot read elements from a set");
    std::optional<int64_t> at = a[1].as_number().to_int64();
    if (!at) return argument_error(1, "must be a whole number");
    if (*at < 0) return argument_error(1, "cannot use element function with a negative index");
    if (elements->empty()) return argument_error(0, "cannot use element function with an empty list");
    return (*elements)[static_cast<size_t>(*at) % elements->size()];
}

void flatten_into(const Value& value, Value::Sequence& out) {
    for (const Value& element : value.as_sequence()) {
        if (element.has_value() && element.type().is_sequence())
            flatten_into(element, out);
        else
            out.push_back(element);
    }
}

CallResult flatten(const Arguments& a) {
    if (!a[0].type().is_sequence()) return argument_error(0, "can only flatten lists, sets and tuples");
    Value::Sequence out;
    flatten_into(a[0], out);
    return Value::tuple(std::move(out));
}

// The element with that key; or, of a list without such a key, the place of that value.
CallResult index_of(const Arguments& a) {
    if (has_index(a[0], a[1])) {
        Diagnostics none;
        return get_index(a[0], a[1], {}, none);
    }
    if (a[0].type().is_sequence()) {
        const Value::Sequence& elements = a[0].as_sequence();
        for (size_t i = 0; i < elements.size(); ++i) {
            if (elements[i] == a[1]) return Value::number(static_cast<int64_t>(i));
        }
        return call_error("item not found");
    }
    return argument_error(1, "key does not exist in the given collection");
}

CallResult keys(const Arguments& a) {
    if (!a[0].type().is_mapping()) return argument_error(0, "must be a map or an object");
    Value::Sequence out;
    for (const auto& [name, unused] : a[0].as_mapping()) out.push_back(Value(name));
    if (a[0].kind() == Kind::Map) return Value::list(Type::string(), std::move(out));
    return Value::tuple(std::move(out));
}

CallResult values(const Arguments& a) {
    if (!a[0].type().is_mapping()) return argument_error(0, "must be a map or an object");
    Value::Sequence out;
    for (const auto& [unused, value] : a[0].as_mapping()) out.push_back(value);
    if (a[0].kind() == Kind::Map) return Value::list(a[0].type().element(), std::move(out));
    return Value::tuple(std::move(out));
}

CallResult length(const Arguments& a) {
    size_t count = 0;
    if (a[0].type().is_sequence())
        count = a[0].as_sequence().size();
    else if (a[0].type().is_mapping())
        count = a[0].as_mapping().size();
    else if (a[0].kind() == Kind::String)
        count = characters(a[0].as_string()).size();
    else
        return argument_error(0, "must be a collection, a structural type or a string");
    return Value::number(static_cast<int64_t>(count));
}

CallResult lookup(const Arguments& a) {
    if (!a[0].type().is_mapping()) return argument_error(0, "lookup() requires a map as the first argument");
    auto found = a[0].as_mapping().find(a[1].as_string());
    if (found != a[0].as_mapping().end()) return found->second;
    if (a.size() > 3) return call_error("takes two or three arguments");
    if (a.size() < 3) return call_error(fmt::format("lookup failed to find key {}", quote(a[1].as_string())));
    if (a[0].kind() != Kind::Map) return a[2];
    Result<Value> fallback = convert(a[2], a[0].type().element());
    if (!fallback) return argument_error(2, "the default value must have the same type as the map elements");
    return std::move(*fallback);
}

CallResult merge(const Arguments& a) {
    Value::Mapping out;
    std::vector<Type> types;
    bool maps = true;
    for (size_t i = 0; i < a.size(); ++i) {
        if (a[i].is_null()) continue;
        if (!a[i].type().is_mapping()) {
            return argument_error(i, fmt::format("arguments must be maps or objects, got {}",
                                                 quote(a[i].type().friendly_name())));
        }
        maps = maps && a[i].kind() == Kind::Map;
        types.push_back(a[i].type());
        for (const auto& [name, value] : a[i].as_mapping()) out.insert_or_assign(name, value);
    }
    bool uniform = maps && !types.empty() &&
                   std::all_of(types.begin(), types.end(), [&](const Type& t) { return t == types[0]; });
    if (uniform) return Value::map(types[0].element(), std::move(out));
    return Value::object(std::move(out));
}

CallResult range(const Arguments& a) {
    if (a.empty() || a.size() > 3) return call_error("must have one, two, or three arguments");
    Number start = a.size() > 1 ? a[0].as_number() : Number();
    Number end = a.size() > 1 ? a[1].as_number() : a[0].as_number();
    bool down = Number::compare(end, start) < 0;
    Number step = a.size() > 2 ? a[2].as_number() : Number(down ? -1 : 1);
    if (step.is_zero()) return argument_error(2, "step must not be zero");
    if (down && !step.is_negative())
        return argument_error(2, "step must be negative if end is less than start");
    if (!down && step.is_negative())
        return argument_error(2, "step must be positive if end is greater than start");
    Value::Sequence out;
    for (Number at = start; down ? Number::compare(at, end) > 0 : Number::compare(at, end) < 0;) {
        if (out.size() >= kRangeValuesMax) {
            return call_error(fmt::format(
                "more than {} values were generated; either decrease the difference between start and "
                "end or use a smaller step",
                kRangeValuesMax));
        }
        out.push_back(Value(at));
        std::optional<Number> next = Number::add(at, step);
        if (!next) return call_error("the numbers are out of range");
        at = *next;
    }
    return Value::list(Type::number(), std::move(out));
}

CallResult reverse(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    std::reverse(elements->begin(), elements->end());
    return like(a[0], std::move(*elements));
}

CallResult slice(const Arguments& a) {
    auto elements = sequence_of(a, 0);
    if (!elements) return tl::unexpected(elements.error());
    if (a[0].kind() == Kind::Set)
        return argument_error(0, "cannot slice a set, because its elements do not have indices");
    std::optional<size_t> from = as_size(a[1]), to = as_size(a[2]);
    if (!from) return argument_error(1, "start index must not be less than zero");
    if (!to || *to > elements->size())
        return argument_error(2, "end index must not be greater than the length of the list");
    if (*from > *to) return argument_error(1, "start index must not be greater than end index");
    return like(a[0], Value::Sequence(elements->begin() + static_cast<ptrdiff_t>(*from),
                                      elements->begin() + static_cast<ptrdiff_t>(*to)));
}

CallResult zipmap(const Arguments& a) {
    auto elements = sequence_of(a, 1);
    if (!elements) return tl::unexpected(elements.error());
    const Value::Sequence& names = a[0].as_sequence();
    if (names.size() != elements->size()) {
        return call_error(fmt::format("number of keys ({}) does not match number of values ({})",
                                      names.size(), elements->size()));
    }
    Value::Mapping out;
    for (size_t i = 0; i < names.size(); ++i) {
        if (names[i].is_null()) return argument_error(0, "a key must not be null");
        out.insert_or_assign(names[i].as_string(), (*elements)[i]);
    }
    if (a[1].kind() == Kind::List) return Value::map(a[1].type().element(), std::move(out));
    return Value::object(std::move(out));
}

}  // namespace

void add_collection_functions(Functions& table) {
    Type any = Type::any();
    table["chunklist"] = function({anything("list"), number("size")}, any, chunklist);
    Parameter maybe_null = anything("vals", Parameter::AllowNull | Parameter::AllowUnknown);
    table["coalesce"] = variadic({}, maybe_null, any, [](const Arguments& a) { return coalesce(a, true); });
    // What plugins' configurations call coalesce: it takes an empty string for a value.
    table["coalesce_any"] =
        variadic({}, maybe_null, any, [](const Arguments& a) { return coalesce(a, false); });
    table["coalescelist"] = variadic({}, anything("lists", Parameter::AllowNull), any, coalescelist);
    table["compact"] = function({texts("list")}, Type::list(Type::string()), compact);
    table["concat"] = variadic({}, anything("seqs"), any, concat);
    table["contains"] =
        function({anything("list"), anything("value", Parameter::AllowNull)}, Type::boolean(), contains);
    table["distinct"] = function({anything("list")}, any, distinct);
    table["element"] = function({anything("list"), number("index")}, any, element);
    table["flatten"] = function({anything("list")}, any, flatten);
    table["hasindex"] =
        function({anything("collection"), anything("key")}, Type::boolean(),
                 [](const Arguments& a) -> CallResult { return Value::boolean(has_index(a[0], a[1])); });
    table["index"] = function({anything("list"), anything("value")}, any, index_of);
    table["keys"] = function({anything("map")}, any, keys);
    table["values"] = function({anything("map")}, any, values);
    table["length"] =
        function({anything("collection", Parameter::AllowUnknown)}, Type::number(),
                 [](const Arguments& a) -> CallResult {
                     return a[0].is_known() ? length(a) : CallResult(Value::unknown(Type::number()));
                 });
    table["lookup"] =
        variadic({anything("map"), text("key")}, anything("default", Parameter::AllowNull), any, lookup);
    table["merge"] = variadic({}, anything("maps", Parameter::AllowNull), any, merge);
    table["range"] = variadic({}, number("params"), Type::list(Type::number()), range);
    table["reverse"] = function({anything("list")}, any, reverse);
    table["slice"] = function({anything("list"), number("start_index"), number("end_index")}, any, slice);
    table["zipmap"] = function({texts("keys"), anything("values")}, any, zipmap);
}

}  // namespace drover::hcl
