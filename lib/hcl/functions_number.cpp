// SPDX-License-Identifier: Apache-2.0
// Functions over numbers. Exact wherever decimals are; log() and fractional powers go through double.
#include <cmath>

#include <fmt/format.h>

#include "hcl/function_tables.h"

namespace drover::hcl {

namespace {

CallResult from_optional(const std::optional<Number>& number) {
    if (!number) return call_error("the result is out of range");
    return Value(*number);
}

CallResult power(const Arguments& a) {
    const Number& base = a[0].as_number();
    std::optional<int64_t> exponent = a[1].as_number().to_int64();
    if (exponent && *exponent >= 0 && *exponent <= 4096) {
        Number result(1);
        Number factor = base;
        for (uint64_t left = static_cast<uint64_t>(*exponent); left > 0; left >>= 1) {
            std::optional<Number> product = left & 1 ? Number::multiply(result, factor) : result;
            std::optional<Number> square = left > 1 ? Number::multiply(factor, factor) : factor;
            if (!product || !square) return call_error("the result is out of range");
            result = *product;
            factor = *square;
        }
        return Value(result);
    }
    return from_optional(Number::from_double(std::pow(base.to_double(), a[1].as_number().to_double())));
}

CallResult logarithm(const Arguments& a) {
    return from_optional(
        Number::from_double(std::log(a[0].as_number().to_double()) / std::log(a[1].as_number().to_double())));
}

CallResult extreme(const Arguments& a, int wanted) {
    if (a.empty()) return call_error("must pass at least one number");
    const Value* best = &a[0];
    for (const Value& value : a) {
        if (Number::compare(value.as_number(), best->as_number()) == wanted) best = &value;
    }
    return *best;
}

CallResult parse_int_text(const Arguments& a) {
    if (a[0].kind() != Kind::String && a[0].kind() != Kind::Number) {
        return argument_error(0, "first argument must be a string or a number");
    }
    std::string written = a[0].kind() == Kind::String ? a[0].as_string() : a[0].as_number().text();
    std::optional<int64_t> base = a[1].as_number().to_int64();
    if (!base || *base < 2 || *base > 62)
        return argument_error(1, "base must be a whole number between 2 and 62 inclusive");
    std::optional<Number> number = Number::parse_integer(written, static_cast<int>(*base));
    if (!number)
        return argument_error(0, fmt::format("cannot parse {} as a base {} integer", quote(written), *base));
    return Value(*number);
}

}  // namespace

void add_number_functions(Functions& table) {
    Type n = Type::number();
    table["abs"] = function({number("num")}, n,
                            [](const Arguments& a) -> CallResult { return Value(a[0].as_number().abs()); });
    table["ceil"] = function({number("num")}, n,
                             [](const Arguments& a) -> CallResult { return Value(a[0].as_number().ceil()); });
    table["floor"] = function(
        {number("num")}, n, [](const Arguments& a) -> CallResult { return Value(a[0].as_number().floor()); });
    table["int"] = function({number("num")}, n, [](const Arguments& a) -> CallResult {
        return Value(a[0].as_number().truncate());
    });
    table["signum"] = function({number("num")}, n, [](const Arguments& a) -> CallResult {
        return Value::number(a[0].as_number().sign());
    });
    table["log"] = function({number("num"), number("base")}, n, logarithm);
    table["pow"] = function({number("num"), number("power")}, n, power);
    table["max"] = variadic({}, number("numbers"), n, [](const Arguments& a) { return extreme(a, 1); });
    table["min"] = variadic({}, number("numbers"), n, [](const Arguments& a) { return extreme(a, -1); });
    table["parseint"] = function({anything("number"), number("base")}, n, parse_int_text);
}

}  // namespace drover::hcl
