// SPDX-License-Identifier: Apache-2.0
// yamlencode(): block style, strings always quoted (several lines: literal), keys sorted.
#include <algorithm>

#include <fmt/format.h>

#include "hcl/function_tables.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (size_t i = 0; i < text.size();) {
        CodePoint point = decode_utf8(text, i);
        if (point.length == 0) point = {0xFFFD, 1};
        switch (point.value) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\r':
                out += "\\r";
                break;
            case '\t':
                out += "\\t";
                break;
            default:
                if (point.value < 0x20 || point.value == 0x7F)
                    out += fmt::format("\\x{:02X}", point.value);
                else if (point.value == 0xFEFF || point.value == 0x2028 || point.value == 0x2029)
                    out += fmt::format("\\u{:04X}", point.value);
                else
                    append_utf8(out, point.value);
        }
        i += point.length;
    }
    return out + "\"";
}

// Text of several lines that a literal block can show: nothing that needs escapes, no white space that would
// be lost.
bool fits_literal(const std::string& text) {
    if (text.find('\n') == std::string::npos || text[0] == '\n' || text[0] == ' ' || text[0] == '\t')
        return false;
    return std::all_of(text.begin(), text.end(), [](char c) {
        auto byte = static_cast<unsigned char>(c);
        return byte >= 0x20 ? byte != 0x7F : c == '\n' || c == '\t';
    });
}

std::string literal_block(const std::string& text, size_t indent) {
    bool ends = text.back() == '\n';
    bool keeps = text.size() > 1 && ends && text[text.size() - 2] == '\n';
    std::string out = keeps ? "|+" : ends ? "|" : "|-";
    size_t start = 0;
    std::string body = ends ? text.substr(0, text.size() - 1) : text;
    while (true) {
        size_t end = body.find('\n', start);
        std::string line = body.substr(start, end == std::string::npos ? end : end - start);
        out += "\n";
        if (!line.empty()) out += std::string(indent, ' ') + line;
        if (end == std::string::npos) return out;
        start = end + 1;
    }
}

bool is_empty(const Value& value) {
    return (value.type().is_sequence() && value.as_sequence().empty()) ||
           (value.type().is_mapping() && value.as_mapping().empty());
}

bool is_block(const Value& value) {
    return value.has_value() && !value.type().is_primitive() && !is_empty(value);
}

std::string scalar(const Value& value, size_t indent) {
    if (!value.has_value()) return "null";
    if (value.kind() == Kind::Bool) return value.as_bool() ? "true" : "false";
    if (value.kind() == Kind::Number) return value.as_number().text();
    if (value.kind() == Kind::String) {
        return fits_literal(value.as_string()) ? literal_block(value.as_string(), indent + 2)
                                               : quoted(value.as_string());
    }
    return value.type().is_sequence() ? "[]" : "{}";
}

// The lines of a collection, the first one where the cursor stands. False when too large.
bool append_block(const Value& value, size_t indent, std::string& out) {
    if (out.size() > kFunctionBytesMax) return false;
    bool first = true;
    auto start_line = [&] {
        if (!std::exchange(first, false)) out += std::string(indent, ' ');
    };
    if (value.type().is_sequence()) {
        for (const Value& element : value.as_sequence()) {
            start_line();
            out += "- ";
            if (is_block(element)) {
                if (!append_block(element, indent + 2, out)) return false;
            } else {
                out += scalar(element, indent) + "\n";
            }
        }
        return true;
    }
    for (const auto& [name, element] : value.as_mapping()) {
        start_line();
        out += quoted(name) + ":";
        if (!is_block(element)) {
            out += " " + scalar(element, indent) + "\n";
            continue;
        }
        // A sequence stands at its key's own indentation.
        size_t inner = element.type().is_sequence() ? indent : indent + 2;
        out += "\n" + std::string(inner, ' ');
        if (!append_block(element, inner, out)) return false;
    }
    return true;
}

}  // namespace

Result<std::string> yaml_encode(const Value& value) {
    if (!is_block(value)) return scalar(value, 0) + "\n";
    std::string out;
    if (!append_block(value, 0, out)) return Error(Code::ResourceExhausted, "the result is too large");
    return out;
}

}  // namespace drover::hcl
