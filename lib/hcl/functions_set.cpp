// SPDX-License-Identifier: Apache-2.0
// Functions over sets: union, intersection, product. Lists and tuples given where sets are wanted become
// sets.
#include <algorithm>

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/function_tables.h"

namespace drover::hcl {

namespace {

// All arguments as sets of one element type.
tl::expected<std::vector<Value>, CallError> as_sets(const Arguments& a) {
    if (a.empty()) return call_error("at least one set is required");
    std::vector<Type> types;
    for (size_t i = 0; i < a.size(); ++i) {
        if (!a[i].type().is_sequence()) return argument_error(i, "a set is required");
        for (const Value& element : a[i].as_sequence()) types.push_back(element.type());
    }
    Type common = unify(types);
    if (common.is_any() && !types.empty())
        return call_error("given sets must all have compatible element types");
    std::vector<Value> out;
    for (size_t i = 0; i < a.size(); ++i) {
        Result<Value> set = convert(a[i], Type::set(common));
        if (!set) return argument_error(i, set.error().message());
        out.push_back(set->as_sequence().empty() ? Value::set(common, {}) : std::move(*set));
    }
    return out;
}

CallResult set_union(const Arguments& a) {
    auto sets = as_sets(a);
    if (!sets) return tl::unexpected(sets.error());
    Value::Sequence all;
    for (const Value& set : *sets) all.insert(all.end(), set.as_sequence().begin(), set.as_sequence().end());
    return Value::set(sets->front().type().element(), std::move(all));
}

CallResult set_intersection(const Arguments& a) {
    auto sets = as_sets(a);
    if (!sets) return tl::unexpected(sets.error());
    Value::Sequence all = sets->front().as_sequence();
    auto less = [](const Value& x, const Value& y) { return Value::compare(x, y) < 0; };
    for (const Value& set : *sets) {
        std::erase_if(all, [&](const Value& value) {
            return !std::binary_search(set.as_sequence().begin(), set.as_sequence().end(), value, less);
        });
    }
    return Value::set(sets->front().type().element(), std::move(all));
}

CallResult set_product(const Arguments& a) {
    if (a.size() < 2) return call_error("at least two arguments are required");
    uint64_t total = 1;
    bool sets = true;
    bool tuples = false;
    for (size_t i = 0; i < a.size(); ++i) {
        if (!a[i].type().is_sequence()) return argument_error(i, "a set or a list is required");
        sets = sets && a[i].kind() == Kind::Set;
        tuples = tuples || a[i].kind() == Kind::Tuple;
        total *= a[i].as_sequence().size();
        if (total * a.size() > 1u << 20) return call_error("the product has too many elements");
    }
    Value::Sequence rows;
    for (uint64_t row = 0; row < total; ++row) {
        Value::Sequence cells(a.size());
        uint64_t rest = row;
        for (size_t i = a.size(); i-- > 0;) {
            const Value::Sequence& elements = a[i].as_sequence();
            cells[i] = elements[rest % elements.size()];
            rest /= elements.size();
        }
        rows.push_back(Value::tuple(std::move(cells)));
    }
    if (tuples || rows.empty()) return Value::tuple(std::move(rows));
    Type type = rows[0].type();
    return sets ? Value::set(type, std::move(rows)) : Value::list(type, std::move(rows));
}

}  // namespace

void add_set_functions(Functions& table) {
    table["setunion"] = variadic({}, anything("sets"), Type::any(), set_union);
    table["setintersection"] = variadic({}, anything("sets"), Type::any(), set_intersection);
    table["setproduct"] = variadic({}, anything("sets"), Type::any(), set_product);
}

}  // namespace drover::hcl
