// SPDX-License-Identifier: Apache-2.0
// format() and formatlist(): printf with Go's verbs over HCL's values.
#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/function_tables.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

constexpr size_t kWidthMax = 10000;

struct Verb {
    char letter = 'v';
    bool plus = false, minus = false, sharp = false, space = false, zero = false;
    std::optional<size_t> width, precision;
    size_t argument = 0;  // from 0
    std::string text;     // as written
};

using Text = tl::expected<std::string, std::string>;

// "%[2]-5.1f" at format[at]; moves `at` behind it. `next` is the argument used when none is named.
tl::expected<Verb, std::string> read_verb(const std::string& format, size_t& at, size_t& next) {
    Verb verb;
    size_t start = at++;
    auto read_size = [&]() -> std::optional<size_t> {
        size_t value = 0;
        bool any = false;
        for (; at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])); ++at, any = true) {
            value = std::min<size_t>(value * 10 + static_cast<size_t>(format[at] - '0'), 1u << 30);
        }
        return any ? std::optional<size_t>(value) : std::nullopt;
    };
    for (; at < format.size(); ++at) {
        if (format[at] == '+')
            verb.plus = true;
        else if (format[at] == '-')
            verb.minus = true;
        else if (format[at] == '#')
            verb.sharp = true;
        else if (format[at] == ' ')
            verb.space = true;
        else if (format[at] == '0')
            verb.zero = true;
        else
            break;
    }
    verb.width = read_size();
    if (at < format.size() && format[at] == '.') {
        ++at;
        verb.precision = read_size().value_or(0);
    }
    if (at < format.size() && format[at] == '[') {
        ++at;
        std::optional<size_t> index = read_size();
        if (!index || *index == 0 || at >= format.size() || format[at] != ']') {
            return tl::unexpected(
                fmt::format("invalid argument index at offset {} in the format string", start));
        }
        ++at;
        next = *index - 1;
    }
    if (at >= format.size())
        return tl::unexpected(fmt::format("unterminated verb at offset {} in the format string", start));
    verb.letter = format[at];
    size_t length = std::max<size_t>(decode_utf8(format, at).length, 1);
    verb.text = format.substr(start, at + length - start);
    at += length;
    if (verb.width.value_or(0) > kWidthMax || verb.precision.value_or(0) > kWidthMax) {
        return tl::unexpected(
            fmt::format("width or precision of {} is larger than {}", quote(verb.text), kWidthMax));
    }
    if (verb.letter != '%') verb.argument = next++;
    return verb;
}

std::string padded(const Verb& verb, const std::string& text) {
    size_t count = characters(text).size();
    if (count >= verb.width.value_or(0)) return text;
    std::string fill(*verb.width - count, ' ');
    return verb.minus ? text + fill : fill + text;
}

// Sign, zero fill and width around the digits of a number.
std::string padded_number(const Verb& verb, bool negative, const std::string& digits) {
    std::string sign = negative ? "-" : verb.plus ? "+" : verb.space ? " " : "";
    size_t count = sign.size() + digits.size();
    if (verb.zero && !verb.minus && count < verb.width.value_or(0))
        return sign + std::string(*verb.width - count, '0') + digits;
    return padded(verb, sign + digits);
}

// A whole number in another base, by short division of its decimal digits.
std::string in_base(const Number& number, unsigned base, bool upper) {
    std::string digits = number.text();
    std::string out;
    do {
        unsigned rest = 0;
        for (char& digit : digits) {
            unsigned value = rest * 10 + static_cast<unsigned>(digit - '0');
            digit = static_cast<char>('0' + value / base);
            rest = value % base;
        }
        out += (upper ? "0123456789ABCDEF" : "0123456789abcdef")[rest];
        digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    } while (!digits.empty());
    return {out.rbegin(), out.rend()};
}

Text format_integer(const Verb& verb, const Number& number) {
    if (!number.is_integer()) return tl::unexpected(std::string("an integer is required"));
    unsigned base = verb.letter == 'b' ? 2 : verb.letter == 'o' ? 8 : verb.letter == 'd' ? 10 : 16;
    std::string digits = base == 10 ? number.abs().text() : in_base(number.abs(), base, verb.letter == 'X');
    if (verb.sharp && base == 16) digits = (verb.letter == 'X' ? "0X" : "0x") + digits;
    if (verb.sharp && base == 8) digits = "0" + digits;
    return padded_number(verb, number.is_negative(), digits);
}

std::string fixed_digits(const Number& number, size_t precision) {
    std::string digits = number.abs().rounded(static_cast<int64_t>(precision)).text();
    size_t point = digits.find('.');
    size_t have = point == std::string::npos ? 0 : digits.size() - point - 1;
    if (precision > 0 && point == std::string::npos) digits += '.';
    return digits + std::string(precision - std::min(have, precision), '0');
}

Text format_float(const Verb& verb, const Number& number) {
    double magnitude = std::abs(number.to_double());
    bool upper = verb.letter == 'E' || verb.letter == 'G';
    std::string digits;
    if (verb.letter == 'f') {
        digits = fixed_digits(number, verb.precision.value_or(6));
    } else if (verb.letter == 'e' || verb.letter == 'E') {
        digits = fmt::format("{:.{}e}", magnitude, static_cast<int>(verb.precision.value_or(6)));
    } else if (verb.precision) {
        digits = fmt::format("{:.{}g}", magnitude, static_cast<int>(std::max<size_t>(*verb.precision, 1)));
    } else {
        bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e21);
        digits = plain ? number.abs().text() : fmt::format("{}", magnitude);
    }
    return padded_number(verb, number.is_negative(), upper ? to_upper_text(digits) : digits);
}

Text format_as_is(const Verb& verb, const Value& value) {
    if (!verb.sharp && value.has_value() && value.kind() == Kind::String)
        return padded(verb, value.as_string());
    return padded(verb, json_encode(value));
}

Text format_text(const Verb& verb, const Value& value) {
    Result<Value> text = convert(value, Type::string());
    if (!text) return tl::unexpected(text.error().message());
    std::string out = text->as_string();
    if (verb.precision) {
        std::string cut;
        std::vector<std::string> all = characters(out);
        for (size_t i = 0; i < std::min(all.size(), *verb.precision); ++i) cut += all[i];
        out = cut;
    }
    return padded(verb, verb.letter == 'q' ? json_encode(Value(out)) : out);
}

Text format_one(const Verb& verb, const Value& value) {
    if (verb.letter == 'v') return format_as_is(verb, value);
    if (value.is_null()) return tl::unexpected(std::string("null value cannot be formatted"));
    if (verb.letter == 's' || verb.letter == 'q') return format_text(verb, value);
    if (verb.letter == 't') {
        Result<Value> as_bool = convert(value, Type::boolean());
        if (!as_bool) return tl::unexpected(as_bool.error().message());
        return padded(verb, as_bool->as_bool() ? "true" : "false");
    }
    static constexpr std::string_view kNumeric = "bcdoxXeEfgG";
    if (kNumeric.find(verb.letter) == std::string_view::npos)
        return tl::unexpected(std::string("unrecognized format verb"));
    if ((verb.letter == 'x' || verb.letter == 'X') && value.kind() == Kind::String) {
        std::string hex;
        for (char c : value.as_string()) {
            hex += fmt::format(fmt::runtime(verb.letter == 'x' ? "{:02x}" : "{:02X}"),
                               static_cast<unsigned>(static_cast<unsigned char>(c)));
        }
        return padded(verb, hex);
    }
    Result<Value> as_number = convert(value, Type::number());
    if (!as_number) return tl::unexpected(as_number.error().message());
    const Number& number = as_number->as_number();
    if (verb.letter == 'c') {
        std::optional<uint64_t> point = number.to_uint64();
        if (!point || *point > 0x10FFFF)
            return tl::unexpected(std::string("a Unicode character number is required"));
        std::string out;
        append_utf8(out, static_cast<uint32_t>(*point));
        return padded(verb, out);
    }
    bool integral = std::string_view("bdoxX").find(verb.letter) != std::string_view::npos;
    return integral ? format_integer(verb, number) : format_float(verb, number);
}

tl::expected<std::string, CallError> format_values(const std::string& format,
                                                   const std::vector<Value>& values) {
    std::string out;
    size_t next = 0, used = 0;
    for (size_t at = 0; at < format.size();) {
        if (format[at] != '%') {
            size_t end = std::min(format.find('%', at), format.size());
            out += format.substr(at, end - at);
            at = end;
            continue;
        }
        size_t start = at;
        tl::expected<Verb, std::string> verb = read_verb(format, at, next);
        if (!verb) return argument_error(0, verb.error());
        if (verb->letter == '%') {
            out += '%';
            continue;
        }
        if (verb->argument >= values.size()) {
            return argument_error(
                0, fmt::format("not enough arguments for {} at {}: need index {} but have {} total",
                               quote(verb->text), start, verb->argument + 1, values.size()));
        }
        used = std::max(used, verb->argument + 1);
        Text text = format_one(*verb, values[verb->argument]);
        if (!text) {
            return argument_error(verb->argument + 1, fmt::format("unsupported value for {} at {}: {}",
                                                                  quote(verb->text), start, text.error()));
        }
        out += *text;
        if (out.size() > kFunctionBytesMax) return call_error("the result is too large");
    }
    if (used < values.size()) {
        return call_error(used == 0 ? std::string("too many arguments; no verbs in format string")
                                    : fmt::format("too many arguments; only {} used by format string", used));
    }
    return out;
}

CallResult format(const Arguments& a) {
    auto text = format_values(a[0].as_string(), std::vector<Value>(a.begin() + 1, a.end()));
    if (!text) return tl::unexpected(text.error());
    return Value(std::move(*text));
}

// Once for each element of the list arguments, which must be of one length; other arguments stay the same.
CallResult format_list(const Arguments& a) {
    std::optional<size_t> rows;
    for (size_t i = 1; i < a.size(); ++i) {
        if (a[i].is_null() || !a[i].type().is_sequence()) continue;
        size_t count = a[i].as_sequence().size();
        if (rows && *rows != count) {
            return argument_error(
                i,
                fmt::format(
                    "argument {} has length {}, which is inconsistent with an earlier argument of length {}",
                    i, count, *rows));
        }
        rows = count;
    }
    Value::Sequence out;
    size_t bytes = 0;
    for (size_t row = 0; row < rows.value_or(1); ++row) {
        std::vector<Value> values;
        for (size_t i = 1; i < a.size(); ++i) {
            bool list = !a[i].is_null() && a[i].type().is_sequence();
            values.push_back(list ? a[i].as_sequence()[row] : a[i]);
        }
        auto text = format_values(a[0].as_string(), values);
        if (!text)
            return call_error(fmt::format("error on format iteration {}: {}", row, text.error().message));
        bytes += text->size();
        if (bytes > kFunctionBytesMax) return call_error("the result is too large");
        out.push_back(Value(std::move(*text)));
    }
    return Value::list(Type::string(), std::move(out));
}

}  // namespace

void add_format_functions(Functions& table) {
    Parameter rest = anything("args", Parameter::AllowNull);
    table["format"] = variadic({text("format")}, rest, Type::string(), format);
    table["formatlist"] = variadic({text("format")}, rest, Type::list(Type::string()), format_list);
}

}  // namespace drover::hcl
