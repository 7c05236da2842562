// SPDX-License-Identifier: Apache-2.0
// The entry points of parsing native syntax and of choosing between it and JSON.
#include "hcl/parser.h"

#include <fmt/format.h>

#include "hcl/json_parser.h"
#include "hcl/limits.h"
#include "hcl/native_parser.h"

namespace drover::hcl {

namespace {

bool too_large(std::string_view text, const std::string& filename, Diagnostics& diagnostics) {
    if (text.size() <= kSourceBytesMax) return false;
    diagnostics.error(
        "Source too large",
        fmt::format("The text has {} bytes; at most {} are read.", text.size(), kSourceBytesMax),
        Range{filename, {}, {}});
    return true;
}

BodyPtr empty_body(const std::string& filename) {
    auto body = std::make_shared<NativeBody>();
    body->end_range.filename = filename;
    return body;
}

}  // namespace

File parse_native(std::string_view text, const std::string& filename, Diagnostics& diagnostics) {
    File file{empty_body(filename), std::string(text), filename};
    if (too_large(text, filename, diagnostics)) return file;
    file.body = NativeParser(file.source, filename, diagnostics).parse_file();
    return file;
}

File parse_json(std::string_view text, const std::string& filename, Diagnostics& diagnostics) {
    File file{empty_body(filename), std::string(text), filename};
    if (too_large(text, filename, diagnostics)) return file;
    if (BodyPtr body = parse_json_body(file.source, filename, diagnostics, JsonStrings::Templates))
        file.body = std::move(body);
    return file;
}

namespace {

bool looks_like_json(std::string_view text) {
    size_t first = text.find_first_not_of(" \t\r\n");
    return first != std::string_view::npos && text[first] == '{';
}

}  // namespace

File parse_hcl1(std::string_view text, const std::string& filename, Diagnostics& diagnostics) {
    File file{empty_body(filename), std::string(text), filename};
    if (too_large(text, filename, diagnostics)) return file;
    if (!looks_like_json(text)) {
        file.body = NativeParser(file.source, filename, diagnostics, {}, Dialect::Hcl1).parse_file();
    } else if (BodyPtr body = parse_json_body(file.source, filename, diagnostics, JsonStrings::Plain)) {
        file.body = std::move(body);
    }
    return file;
}

File parse(std::string_view text, const std::string& filename, Diagnostics& diagnostics) {
    return looks_like_json(text) ? parse_json(text, filename, diagnostics)
                                 : parse_native(text, filename, diagnostics);
}

ExpressionPtr parse_expression(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                               Pos start) {
    if (too_large(text, filename, diagnostics)) return nullptr;
    return NativeParser(text, filename, diagnostics, start).parse_whole_expression();
}

ExpressionPtr parse_template(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                             Pos start) {
    if (too_large(text, filename, diagnostics)) return nullptr;
    return NativeParser(text, filename, diagnostics, start).parse_whole_template();
}

bool is_identifier(std::string_view text) {
    if (text.empty()) return false;
    Scanner scanner(text, {}, {});
    return scanner.next().kind == Tok::Identifier && scanner.at_end();
}

}  // namespace drover::hcl
