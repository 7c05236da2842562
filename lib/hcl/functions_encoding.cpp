// SPDX-License-Identifier: Apache-2.0
// base64, URL, JSON, CSV and YAML, both ways where the job file's functions have both.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "hcl/convert.h"
#include "hcl/function_tables.h"
#include "hcl/json_parser.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

void json_text(std::string_view text, std::string& out) {
    out += '"';
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
            case '<':
            case '>':
            case '&':  // as Go does, so that the text may stand in HTML
            case 0x2028:
            case 0x2029:
                out += fmt::format("\\u{:04x}", point.value);
                break;
            default:
                if (point.value < 0x20)
                    out += fmt::format("\\u{:04x}", point.value);
                else
                    append_utf8(out, point.value);
        }
        i += point.length;
    }
    out += '"';
}

void json_append(const Value& value, std::string& out) {
    if (!value.has_value()) {
        out += "null";
    } else if (value.type().is_sequence()) {
        out += '[';
        bool first = true;
        for (const Value& element : value.as_sequence()) {
            if (!std::exchange(first, false)) out += ',';
            json_append(element, out);
        }
        out += ']';
    } else if (value.type().is_mapping()) {
        out += '{';
        bool first = true;
        for (const auto& [name, element] : value.as_mapping()) {
            if (!std::exchange(first, false)) out += ',';
            json_text(name, out);
            out += ':';
            json_append(element, out);
        }
        out += '}';
    } else if (value.kind() == Kind::String) {
        json_text(value.as_string(), out);
    } else if (value.kind() == Kind::Bool) {
        out += value.as_bool() ? "true" : "false";
    } else {
        out += value.as_number().text();
    }
}

CallResult json_decode(const Arguments& a) {
    Diagnostics said;
    JsonPtr node = parse_json_node(a[0].as_string(), "", said);
    if (!node) {
        const Diagnostic& first = said[0];
        return argument_error(0, fmt::format("line {}, column {}: {}: {}", first.subject->start.line,
                                             first.subject->start.column, first.summary, first.detail));
    }
    return json_value(*node);
}

CallResult decode_base64(const Arguments& a) {
    std::optional<std::string> bytes = base64_decode(a[0].as_string());
    if (!bytes) return argument_error(0, "failed to decode base64 data");
    if (!is_valid_utf8(*bytes))
        return argument_error(0, "the result of decoding the provided string is not valid UTF-8");
    return Value(std::move(*bytes));
}

CallResult url_encode(const Arguments& a) {
    std::string out;
    for (char c : a[0].as_string()) {
        auto byte = static_cast<unsigned char>(c);
        bool plain = std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~';
        if (c == ' ')
            out += '+';
        else if (plain)
            out += c;
        else
            out += fmt::format("%{:02X}", static_cast<unsigned>(byte));
    }
    return Value(std::move(out));
}

struct CsvReader {
    const std::string& text;
    size_t at = 0;
    size_t line = 1;
    std::string error;

    // One record; nullopt at the end or after an error.
    std::optional<std::vector<std::string>> next() {
        while (at < text.size() &&
               (text[at] == '\n' || (text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n'))) {
            at += text[at] == '\r' ? 2 : 1;
            ++line;
        }
        if (at >= text.size()) return std::nullopt;
        std::vector<std::string> fields;
        while (true) {
            std::optional<std::string> field = text[at] == '"' ? quoted() : plain();
            if (!field) return std::nullopt;
            fields.push_back(std::move(*field));
            if (at < text.size() && text[at] == ',') {
                if (++at == text.size()) {
                    fields.emplace_back();
                    return fields;
                }
                continue;
            }
            if (at < text.size() && text[at] == '\r') ++at;
            if (at < text.size()) ++at, ++line;
            return fields;
        }
    }

    std::optional<std::string> plain() {
        size_t end = std::min(text.find_first_of(",\n", at), text.size());
        std::string field = text.substr(at, end - at);
        if (field.find('"') != std::string::npos) {
            error = fmt::format("line {}: bare \" in a field that is not quoted", line);
            return std::nullopt;
        }
        at = end;
        if (!field.empty() && field.back() == '\r') field.pop_back();
        return field;
    }

    std::optional<std::string> quoted() {
        std::string field;
        size_t start_line = line;
        for (++at; at < text.size(); ++at) {
            if (text[at] == '\n') ++line;
            if (text[at] != '"') {
                field += text[at];
            } else if (at + 1 < text.size() && text[at + 1] == '"') {
                field += text[at++];
            } else {
                ++at;
                bool ends = at >= text.size() || text[at] == ',' || text[at] == '\n' || text[at] == '\r';
                if (ends) return field;
                error = fmt::format("line {}: extraneous or missing \" in quoted field", line);
                return std::nullopt;
            }
        }
        error = fmt::format("line {}: quoted field is not closed", start_line);
        return std::nullopt;
    }
};

CallResult csv_decode(const Arguments& a) {
    CsvReader reader{a[0].as_string(), 0, 1, {}};
    auto header = reader.next();
    if (!header) return argument_error(0, reader.error.empty() ? "missing header line" : reader.error);
    std::map<std::string, Type> types;
    for (const std::string& name : *header) {
        if (!types.emplace(name, Type::string()).second)
            return argument_error(0, fmt::format("duplicate column name {}", quote(name)));
    }
    Value::Sequence rows;
    while (auto record = reader.next()) {
        if (record->size() != header->size()) {
            return argument_error(0, fmt::format("line {}: wrong number of fields: {} instead of {}",
                                                 reader.line - 1, record->size(), header->size()));
        }
        Value::Mapping row;
        for (size_t i = 0; i < header->size(); ++i) row.emplace((*header)[i], Value(std::move((*record)[i])));
        rows.push_back(Value::object(std::move(row)));
    }
    if (!reader.error.empty()) return argument_error(0, reader.error);
    return Value::list(Type::object(std::move(types)), std::move(rows));
}

}  // namespace

std::string json_encode(const Value& value) {
    std::string out;
    json_append(value, out);
    return out;
}

void add_encoding_functions(Functions& table) {
    Type s = Type::string();
    table["base64encode"] = function({text("str")}, s, [](const Arguments& a) -> CallResult {
        return Value(base64_encode(a[0].as_string()));
    });
    table["base64decode"] = function({text("str")}, s, decode_base64);
    table["urlencode"] = function({text("str")}, s, url_encode);
    table["jsonencode"] = function({anything("val", Parameter::AllowNull)}, s,
                                   [](const Arguments& a) -> CallResult { return Value(json_encode(a[0])); });
    table["jsondecode"] = function({text("str")}, Type::any(), json_decode);
    table["csvdecode"] = function({text("str")}, Type::any(), csv_decode);
    table["yamlencode"] =
        function({anything("value", Parameter::AllowNull)}, s, [](const Arguments& a) -> CallResult {
            Result<std::string> out = yaml_encode(a[0]);
            if (!out) return call_error(out.error().message());
            return Value(std::move(*out));
        });
    table["yamldecode"] = function({text("src")}, Type::any(), [](const Arguments& a) -> CallResult {
        Result<Value> out = yaml_decode(a[0].as_string());
        if (!out) return argument_error(0, out.error().message());
        return std::move(*out);
    });
}

}  // namespace drover::hcl
