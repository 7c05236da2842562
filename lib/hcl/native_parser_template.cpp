// SPDX-License-Identifier: Apache-2.0
// Quoted strings, heredocs and bare templates: text with ${ } and %{ }. First a flat list of pieces, then
// trimming of white space (~ and <<-), then the tree.
#include <algorithm>

#include <fmt/format.h>

#include "hcl/native_parser.h"

namespace drover::hcl {

ExpressionPtr NativeParser::parse_quoted() {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    Token quote = read();
    Pos inside = scanner_.pos();
    int open_before = open_;
    std::vector<Piece> pieces;
    if (!parse_pieces(TemplateForm::Quoted, {}, pieces)) {
        // The brackets open inside the string are none of the enclosing item's business.
        open_ = open_before;
        ahead_.reset();
        if (!gave_up_) {
            scanner_.reset(inside);
            skip_quoted();
        }
        return nullptr;
    }
    scanner_.advance(1);
    previous_end_ = scanner_.pos();
    trim_pieces(pieces);
    return build_template(pieces, range(quote.start, previous_end_));
}

ExpressionPtr NativeParser::parse_heredoc() {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    Token introducer = read();
    bool indented = introducer.text[2] == '-';
    std::string_view marker = introducer.text.substr(indented ? 3 : 2);
    while (marker.back() == '\n' || marker.back() == '\r') marker.remove_suffix(1);
    Pos inside = scanner_.pos();
    int open_before = open_;
    std::vector<Piece> pieces;
    if (!parse_pieces(TemplateForm::Heredoc, marker, pieces)) {
        open_ = open_before;
        ahead_.reset();
        if (!gave_up_) {
            scanner_.reset(inside);
            skip_heredoc(introducer);
        }
        return nullptr;
    }
    size_t line = std::min(scanner_.rest().find('\n'), scanner_.rest().size());
    std::string_view last = scanner_.rest().substr(0, line);
    while (!last.empty() && last.back() == '\r') last.remove_suffix(1);
    scanner_.advance(last.size());
    previous_end_ = scanner_.pos();
    if (indented) remove_indentation(pieces);  // before ~ takes away the newlines that tell where lines begin
    trim_pieces(pieces);
    return build_template(pieces, range(introducer.start, previous_end_));
}

ExpressionPtr NativeParser::parse_whole_template() {
    Pos start = scanner_.pos();
    std::vector<Piece> pieces;
    if (!parse_pieces(TemplateForm::Bare, {}, pieces)) return nullptr;
    trim_pieces(pieces);
    return build_template(pieces, range(start, scanner_.pos()));
}

std::optional<std::string> NativeParser::parse_plain_string(const char* what) {
    Pos start = scanner_.pos();
    std::string text;
    while (true) {
        if (scanner_.at_end() || scanner_.peek() == '\n') {
            error("Invalid string literal",
                  fmt::format("A quoted {} must end on the line it starts on.", what),
                  range(start, scanner_.pos()));
            return std::nullopt;
        }
        char c = scanner_.peek();
        if (c == '"') {
            scanner_.advance(1);
            previous_end_ = scanner_.pos();
            return text;
        }
        if (hcl1_ && scanner_.looking_at("${")) {
            if (!copy_interpolation(text)) return std::nullopt;
        } else if (hcl1_ && (c == '$' || c == '%')) {
            text += c;
            scanner_.advance(1);
        } else if (scanner_.looking_at("$${") || scanner_.looking_at("%%{")) {
            text += scanner_.looking_at("$") ? "${" : "%{";
            scanner_.advance(3);
        } else if (scanner_.looking_at("${") || scanner_.looking_at("%{")) {
            Pos at = scanner_.pos();
            error("Invalid string literal",
                  fmt::format("Template sequences are not allowed in this string. To include a literal "
                              "\"{0}\", double it (as "
                              "\"{0}{0}\") to escape it.",
                              c),
                  range(at, at));
            scanner_.reset(start);
            skip_quoted();
            return std::nullopt;
        } else if (c == '\\') {
            if (!parse_escape(text)) {
                scanner_.reset(start);
                skip_quoted();
                return std::nullopt;
            }
        } else {
            size_t length = decode_utf8(scanner_.rest(), 0).length;
            if (length == 0) {
                report_bad_token(
                    {Tok::BadUtf8, scanner_.rest().substr(0, 1), scanner_.pos(), scanner_.pos()});
                scanner_.reset(start);
                skip_quoted();
                return std::nullopt;
            }
            text += scanner_.rest().substr(0, length);
            scanner_.advance(length);
        }
    }
}

bool NativeParser::parse_escape(std::string& text) {
    Pos start = scanner_.pos();
    char selector = scanner_.peek(1);
    size_t digits = selector == 'u' ? 4 : selector == 'U' ? 8 : 0;
    if (digits > 0) {
        uint32_t point = 0;
        for (size_t i = 0; i < digits; ++i) {
            char c = scanner_.peek(2 + i);
            uint32_t digit = c >= '0' && c <= '9'   ? static_cast<uint32_t>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a') + 10
                             : c >= 'A' && c <= 'F' ? static_cast<uint32_t>(c - 'A') + 10
                                                    : 16;
            if (digit == 16) {
                error("Invalid escape sequence",
                      fmt::format("The \\{} escape sequence must be followed by {} hexadecimal digits.",
                                  selector, digits == 4 ? "four" : "eight"),
                      range(start, start));
                return false;
            }
            point = point << 4 | digit;
        }
        if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
            error("Invalid escape sequence", "This is not the number of a Unicode character.",
                  range(start, start));
            return false;
        }
        append_utf8(text, point);
        scanner_.advance(2 + digits);
        return true;
    }
    switch (selector) {
        case 'n':
            text += '\n';
            break;
        case 'r':
            text += '\r';
            break;
        case 't':
            text += '\t';
            break;
        case '"':
            text += '"';
            break;
        case '\\':
            text += '\\';
            break;
        default: {
            scanner_.advance(1);
            std::string_view shown =
                scanner_.rest().substr(0, std::max<size_t>(decode_utf8(scanner_.rest(), 0).length, 1));
            if (shown.empty() || shown[0] == '\n' || !is_valid_utf8(shown)) {
                error("Invalid escape sequence",
                      "A backslash must be followed by an escape sequence selector character.",
                      range(start, scanner_.pos()));
            } else {
                Pos end = scanner_.pos();
                end.byte += shown.size();
                ++end.column;
                error("Invalid escape sequence",
                      fmt::format("The symbol {} is not a valid escape sequence selector.", quote(shown)),
                      range(start, end));
            }
            return false;
        }
    }
    scanner_.advance(2);
    return true;
}

bool NativeParser::copy_interpolation(std::string& text) {
    std::string_view rest = scanner_.rest();
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 1; i < rest.size() && rest[i] != '\n'; ++i) {
        if (quoted && rest[i] == '\\')
            ++i;
        else if (rest[i] == '"')
            quoted = !quoted;
        else if (!quoted && rest[i] == '{')
            ++depth;
        else if (!quoted && rest[i] == '}' && --depth == 0) {
            if (!is_valid_utf8(rest.substr(0, i + 1))) break;
            text += rest.substr(0, i + 1);
            scanner_.advance(i + 1);
            return true;
        }
    }
    error("Unterminated interpolation", "No closing brace was found on this line for this \"${\".",
          range(scanner_.pos(), scanner_.pos()));
    return false;
}

bool NativeParser::at_heredoc_end(std::string_view marker) const {
    std::string_view line = scanner_.rest();
    line = line.substr(0, std::min(line.find('\n'), line.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
        line.remove_suffix(1);
    return line == marker;
}

// Up to the closing quote (not taken), the heredoc's last line (not taken), or the end of a bare template.
bool NativeParser::parse_pieces(TemplateForm form, std::string_view marker, std::vector<Piece>& pieces) {
    std::string text;
    Pos text_start = scanner_.pos();
    auto flush = [&] {
        if (!text.empty()) {
            Piece piece;
            piece.text = std::exchange(text, {});
            piece.range = range(text_start, scanner_.pos());
            pieces.push_back(std::move(piece));
        }
        text_start = scanner_.pos();
    };
    Pos start = scanner_.pos();
    bool line_start = form == TemplateForm::Heredoc;
    while (true) {
        if (line_start && at_heredoc_end(marker) && !scanner_.at_end()) break;
        if (scanner_.at_end()) {
            if (form == TemplateForm::Bare) break;
            if (form == TemplateForm::Quoted) {
                error("Unterminated template string", "No closing marker was found for the string.",
                      range(start, start));
            } else {
                error("Unterminated template string",
                      fmt::format(
                          "No closing marker was found for the heredoc: a line with just {} is expected.",
                          quote(marker)),
                      range(start, start));
            }
            return false;
        }
        line_start = false;
        char c = scanner_.peek();
        if (form == TemplateForm::Quoted && c == '"') break;
        if (hcl1_ && scanner_.looking_at("${")) {
            if (!copy_interpolation(text)) return false;
        } else if (hcl1_ && (c == '$' || c == '%')) {
            text += c;
            scanner_.advance(1);
        } else if (scanner_.looking_at("$${") || scanner_.looking_at("%%{")) {
            text += c;
            text += '{';
            scanner_.advance(3);
        } else if (scanner_.looking_at("${") || scanner_.looking_at("%{")) {
            flush();
            if (!parse_sequence(pieces)) return false;
            text_start = scanner_.pos();
        } else if (form == TemplateForm::Quoted && c == '\\') {
            if (!parse_escape(text)) return false;
        } else if (form == TemplateForm::Quoted && c == '\n') {
            error("Invalid multi-line string",
                  "Quoted strings may not be split over multiple lines. To produce a multi-line string, "
                  "either use the \\n escape "
                  "to represent a newline character or use the \"heredoc\" multi-line template syntax.",
                  range(start, scanner_.pos()));
            return false;
        } else {
            size_t length = decode_utf8(scanner_.rest(), 0).length;
            if (length == 0) {
                report_bad_token(
                    {Tok::BadUtf8, scanner_.rest().substr(0, 1), scanner_.pos(), scanner_.pos()});
                return false;
            }
            text += scanner_.rest().substr(0, length);
            scanner_.advance(length);
            if (c == '\n') {
                flush();  // ~ trims within one line, and <<- looks at where lines begin
                line_start = form == TemplateForm::Heredoc;
            }
        }
    }
    flush();
    return true;
}

// ${ expression } or %{ directive }, with its ~ marks.
bool NativeParser::parse_sequence(std::vector<Piece>& pieces) {
    Piece piece;
    Pos start = scanner_.pos();
    bool directive = scanner_.peek() == '%';
    scanner_.advance(2);
    if (scanner_.peek() == '~') {
        piece.trim_before = true;
        scanner_.advance(1);
    }
    ++open_;
    NewlineMode mode(*this, false);
    if (directive) {
        if (!parse_directive(piece)) return false;
    } else {
        if (peek().kind == Tok::CloseBrace) {
            error("Missing expression", "An interpolation sequence needs an expression between its braces.",
                  range(peek()));
            return false;
        }
        piece.kind = Piece::Kind::Value;
        piece.expression = parse_expression();
        if (!piece.expression) return false;
    }
    if (peek().kind == Tok::Tilde) {
        piece.trim_after = true;
        read();
    }
    if (peek().kind != Tok::CloseBrace) {
        if (report_bad_token(peek())) return false;
        if (directive) {
            error("Extra characters in template directive",
                  "Expected a closing brace to end the template directive, but found extra characters.",
                  range(peek()));
        } else {
            error("Extra characters after interpolation expression",
                  "Expected a closing brace to end the interpolation expression, but found extra "
                  "characters.\n\nThis can happen "
                  "when you include interpolation syntax for another language, such as shell scripting, but "
                  "forget to escape the "
                  "interpolation start token. If this is an embedded sequence for another language, escape "
                  "it by starting with "
                  "\"$${\" instead of just \"${\".",
                  range(peek()));
        }
        return false;
    }
    read();
    --open_;
    piece.range = range(start, previous_end_);
    pieces.push_back(std::move(piece));
    return true;
}

bool NativeParser::parse_directive(Piece& piece) {
    Token keyword = peek();
    if (keyword.kind != Tok::Identifier) {
        error("Invalid template directive",
              "A template directive keyword (\"if\", \"for\", etc) is expected at the beginning of a %{ "
              "sequence.",
              range(keyword));
        return false;
    }
    if (keyword.text == "for") {
        piece.kind = Piece::Kind::For;
        ast::For loop({}, 1);
        // The introduction is that of a for expression without its colon.
        read();
        if (peek().kind == Tok::Identifier) loop.value_name = std::string(read().text);
        if (!loop.value_name.empty() && peek().kind == Tok::Comma) {
            read();
            loop.key_name = std::exchange(loop.value_name, {});
            if (peek().kind == Tok::Identifier) loop.value_name = std::string(read().text);
        }
        if (loop.value_name.empty() || peek().kind != Tok::Identifier || peek().text != "in") {
            error("Invalid 'for' directive",
                  "A 'for' directive needs a variable name (or two, with a comma), then the 'in' keyword.",
                  range(peek()));
            return false;
        }
        read();
        piece.key_name = std::move(loop.key_name);
        piece.value_name = std::move(loop.value_name);
        piece.expression = parse_expression();
        return piece.expression != nullptr;
    }
    read();
    if (keyword.text == "if") {
        piece.kind = Piece::Kind::If;
        piece.expression = parse_expression();
        return piece.expression != nullptr;
    }
    if (keyword.text == "else")
        piece.kind = Piece::Kind::Else;
    else if (keyword.text == "endif")
        piece.kind = Piece::Kind::EndIf;
    else if (keyword.text == "endfor")
        piece.kind = Piece::Kind::EndFor;
    else {
        error("Invalid template control keyword",
              fmt::format("{} is not a valid template control keyword.", quote(keyword.text)),
              range(keyword));
        return false;
    }
    return true;
}

}  // namespace drover::hcl
