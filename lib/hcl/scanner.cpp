// SPDX-License-Identifier: Apache-2.0
// The tokens of HCL's native syntax. Positions are counted in advance(), once for every byte of the source.
#include "hcl/scanner.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace drover::hcl {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool starts_identifier(uint32_t c) {
    // Beyond ASCII every letter-like character may be in a name; punctuation and spaces of the common blocks
    // may not.
    if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    if (c < 0xC0) return c == 0xAA || c == 0xB5 || c == 0xBA;
    if (c == 0xD7 || c == 0xF7 || c == 0x3000 || c == 0xFEFF) return false;
    return !(c >= 0x2000 && c <= 0x2BFF) && !(c >= 0x3001 && c <= 0x3004) && !(c >= 0xE000 && c <= 0xF8FF) &&
           !(c >= 0x1F000 && c <= 0x1FAFF);
}

bool continues_identifier(uint32_t c) {
    return starts_identifier(c) || c == '-' || (c >= '0' && c <= '9') || (c >= 0x300 && c <= 0x36F);
}

}  // namespace

Scanner::Scanner(std::string_view text, std::string filename, Pos start)
    : text_(text), filename_(std::move(filename)), base_(start.byte), pos_(start) {
    if (start.byte == 0 && looking_at("\xEF\xBB\xBF")) {  // a byte order mark says nothing in UTF-8
        offset_ = 3;
        pos_.byte = 3;
    }
}

void Scanner::advance(size_t bytes) {
    size_t stop = std::min(offset_ + bytes, text_.size());
    while (offset_ < stop) {
        char c = text_[offset_];
        if (c == '\n') {
            ++pos_.line;
            pos_.column = 1;
            previous_ = '\n';
            ++offset_;
        } else if (static_cast<unsigned char>(c) < 0x80) {
            ++pos_.column;
            previous_ = static_cast<unsigned char>(c);
            ++offset_;
        } else {
            CodePoint point = decode_utf8(text_, offset_);
            if (point.length == 0) point = {0xFFFD, 1};
            if (!joins_previous(previous_, point.value)) ++pos_.column;
            previous_ = point.value;
            offset_ += point.length;
        }
    }
    pos_.byte = base_ + offset_;
}

void Scanner::reset(const Pos& pos) {
    DROVER_ASSERT(pos.byte >= base_ && pos.byte - base_ <= text_.size());
    offset_ = pos.byte - base_;
    pos_ = pos;
    previous_ = 0;
}

std::string_view Scanner::text_between(const Pos& from, const Pos& to) const {
    return text_.substr(from.byte - base_, to.byte - from.byte);
}

bool Scanner::skip_blank() {
    while (!at_end()) {
        char c = peek();
        if (c == ' ' || c == '\t' || (c == '\r' && peek(1) == '\n')) {
            advance(1);
        } else if (c == '#' || looking_at("//")) {
            size_t end = rest().find('\n');
            advance(end == std::string_view::npos ? rest().size() : end);
        } else if (looking_at("/*")) {
            size_t end = rest().find("*/", 2);
            advance(end == std::string_view::npos ? rest().size() : end + 2);
        } else {
            return true;
        }
    }
    return false;
}

Token Scanner::take(Tok kind, size_t bytes) {
    Token token;
    token.kind = kind;
    token.text = rest().substr(0, bytes);
    token.start = pos_;
    advance(bytes);
    token.end = pos_;
    return token;
}

size_t Scanner::identifier_length(size_t at) const {
    size_t length = 0;
    while (true) {
        CodePoint point = decode_utf8(text_, at + length);
        if (point.length == 0) return length;
        if (length == 0 ? !starts_identifier(point.value) : !continues_identifier(point.value)) return length;
        length += point.length;
    }
}

size_t Scanner::number_length() const {
    size_t length = 0;
    while (is_digit(peek(length))) ++length;
    if (peek(length) == '.' && is_digit(peek(length + 1))) {
        ++length;
        while (is_digit(peek(length))) ++length;
    }
    if (peek(length) == 'e' || peek(length) == 'E') {
        size_t digits = length + 1;
        if (peek(digits) == '+' || peek(digits) == '-') ++digits;
        if (is_digit(peek(digits))) {
            length = digits;
            while (is_digit(peek(length))) ++length;
        }
    }
    return length;
}

Token Scanner::next() {
    if (!skip_blank()) return take(Tok::End, 0);
    char c = peek();
    if (c == '\n') return take(Tok::Newline, 1);
    if (is_digit(c)) return take(Tok::Number, number_length());
    if (size_t length = identifier_length(offset_)) return take(Tok::Identifier, length);
    if (c == '"') return take(Tok::Quote, 1);
    if (looking_at("<<")) {
        size_t at = peek(2) == '-' ? 3 : 2;
        size_t length = identifier_length(offset_ + at);
        size_t end = at + length;
        if (peek(end) == '\r') ++end;
        if (length > 0 && peek(end) == '\n') return take(Tok::Heredoc, end + 1);
    }
    static constexpr std::pair<std::string_view, Tok> kOperators[] = {
        {"...", Tok::Ellipsis},    {"==", Tok::Equal},    {"!=", Tok::NotEqual},  {"<=", Tok::LessEqual},
        {">=", Tok::GreaterEqual}, {"&&", Tok::And},      {"||", Tok::Or},        {"=>", Tok::FatArrow},
        {"::", Tok::DoubleColon},  {"{", Tok::OpenBrace}, {"}", Tok::CloseBrace}, {"[", Tok::OpenBracket},
        {"]", Tok::CloseBracket},  {"(", Tok::OpenParen}, {")", Tok::CloseParen}, {"=", Tok::Assign},
        {"<", Tok::Less},          {">", Tok::Greater},   {"+", Tok::Plus},       {"-", Tok::Minus},
        {"*", Tok::Star},          {"/", Tok::Slash},     {"%", Tok::Percent},    {"!", Tok::Bang},
        {"?", Tok::Question},      {":", Tok::Colon},     {",", Tok::Comma},      {".", Tok::Dot},
        {"&", Tok::Ampersand},     {"|", Tok::Pipe},      {"~", Tok::Tilde},      {"^", Tok::Caret},
        {"'", Tok::Apostrophe},    {"`", Tok::Backtick},  {";", Tok::Semicolon}};
    for (const auto& [text, kind] : kOperators) {
        if (looking_at(text)) return take(kind, text.size());
    }
    CodePoint point = decode_utf8(text_, offset_);
    if (point.length == 0) return take(Tok::BadUtf8, 1);
    return take(Tok::Invalid, point.length);
}

}  // namespace drover::hcl
