// SPDX-License-Identifier: Apache-2.0
// See reader.h.
#include "model/json/reader.h"

namespace drover::model::json {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

void append_utf8(std::string& out, uint32_t code) {
    auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

// protobuf strings must be UTF-8; broken bytes become U+FFFD, as Go's decoder does.
std::string valid_utf8(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
        size_t length = utf8_length(text, i);
        if (length == 0) {
            out += "\xEF\xBF\xBD";
            i++;
        } else {
            out.append(text.substr(i, length));
            i += length;
        }
    }
    return out;
}

}  // namespace

size_t utf8_length(std::string_view text, size_t at) {
    auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    auto tail = [&](size_t i) { return (byte(i) & 0xC0u) == 0x80u; };
    unsigned lead = byte(at);
    unsigned second = byte(at + 1);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return tail(at + 1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (lead == 0xE0 && second < 0xA0) return 0;
        if (lead == 0xED && second > 0x9F) return 0;  // surrogates
        return tail(at + 1) && tail(at + 2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (lead == 0xF0 && second < 0x90) return 0;
        if (lead == 0xF4 && second > 0x8F) return 0;
        return tail(at + 1) && tail(at + 2) && tail(at + 3) ? 4 : 0;
    }
    return 0;
}

Error Reader::fail(std::string_view expected) {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at_ && i < text_.size(); i++) {
        column++;
        if (text_[i] == '\n') line++, column = 1;
    }
    std::string found = "the end of the text";
    if (at_ < text_.size()) {
        auto c = static_cast<unsigned char>(text_[at_]);
        found = c >= 0x20 && c < 0x7F ? fmt::format("'{}'", static_cast<char>(c))
                                      : fmt::format("byte 0x{:02x}", c);
    }
    return make_error(Code::InvalidArgument, "invalid JSON at line {}, column {}: expected {}, found {}",
                      line, column, expected, found);
}

void Reader::space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r'))
        at_++;
}

Reader::Kind Reader::peek() {
    space();
    if (at_ >= text_.size()) return Kind::Broken;
    switch (text_[at_]) {
        case 'n':
            return Kind::Null;
        case 't':
        case 'f':
            return Kind::Bool;
        case '"':
            return Kind::String;
        case '[':
            return Kind::List;
        case '{':
            return Kind::Object;
        default:
            return text_[at_] == '-' || is_digit(text_[at_]) ? Kind::Number : Kind::Broken;
    }
}

std::string Reader::describe() {
    constexpr size_t kShown = 40;
    switch (peek()) {
        case Kind::Null:
            return "null";
        case Kind::Bool:
            return "a boolean";
        case Kind::List:
            return "a list";
        case Kind::Object:
            return "an object";
        case Kind::Broken:
            return "no JSON value";
        case Kind::Number: {
            Reader copy = *this;
            auto token = copy.number();
            return token ? fmt::format("number {}", token->substr(0, kShown)) : "a number";
        }
        case Kind::String: {
            Reader copy = *this;
            auto token = copy.string();
            if (!token || token->size() > kShown) return "a string";
            return fmt::format("string \"{}\"", *token);
        }
    }
    return "no JSON value";
}

Status Reader::literal(std::string_view word) {
    space();
    if (text_.substr(at_, word.size()) != word) return fail(fmt::format("'{}'", word));
    at_ += word.size();
    return {};
}

Status Reader::null() {
    return literal("null");
}

Result<bool> Reader::boolean() {
    space();
    bool value = at_ < text_.size() && text_[at_] == 't';
    DROVER_CHECK(literal(value ? "true" : "false"));
    return value;
}

Result<std::string_view> Reader::number() {
    space();
    size_t start = at_;
    auto at = [&](size_t i) { return i < text_.size() ? text_[i] : '\0'; };
    if (at(at_) == '-') at_++;
    if (!is_digit(at(at_))) return fail("a digit");
    if (at(at_) == '0')
        at_++;
    else
        while (is_digit(at(at_))) at_++;
    if (is_digit(at(at_))) return fail("no digit after a leading zero");
    if (at(at_) == '.') {
        at_++;
        if (!is_digit(at(at_))) return fail("a digit");
        while (is_digit(at(at_))) at_++;
    }
    if (at(at_) == 'e' || at(at_) == 'E') {
        at_++;
        if (at(at_) == '+' || at(at_) == '-') at_++;
        if (!is_digit(at(at_))) return fail("a digit");
        while (is_digit(at(at_))) at_++;
    }
    return text_.substr(start, at_ - start);
}

Result<uint32_t> Reader::hex4() {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++, at_++) {
        char c = at_ < text_.size() ? text_[at_] : '\0';
        uint32_t digit = 0;
        if (is_digit(c))
            digit = static_cast<uint32_t>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<uint32_t>(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<uint32_t>(c - 'A' + 10);
        else
            return fail("a hexadecimal digit");
        code = code << 4 | digit;
    }
    return code;
}

Status Reader::escape(std::string& out) {
    if (at_ >= text_.size()) return fail("an escaped character");
    char c = text_[at_];
    at_++;
    switch (c) {
        case '"':
        case '\\':
        case '/':
            out += c;
            return {};
        case 'b':
            out += '\b';
            return {};
        case 'f':
            out += '\f';
            return {};
        case 'n':
            out += '\n';
            return {};
        case 'r':
            out += '\r';
            return {};
        case 't':
            out += '\t';
            return {};
        case 'u':
            break;
        default:
            at_--;
            return fail("one of \"\\/bfnrtu after a backslash");
    }
    DROVER_TRY(uint32_t code, hex4());
    if (code >= 0xD800 && code < 0xE000) {
        uint32_t low = 0;
        if (code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
            size_t before = at_;
            at_ += 2;
            DROVER_TRY(low, hex4());
            if (low < 0xDC00 || low >= 0xE000) at_ = before, low = 0;
        }
        code = low == 0 ? 0xFFFD : 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
    return {};
}

Result<std::string> Reader::string() {
    space();
    if (at_ >= text_.size() || text_[at_] != '"') return fail("a string");
    at_++;
    std::string out;
    unsigned char bits = 0;  // of all bytes, to know plain ASCII
    while (true) {
        size_t start = at_;
        for (; at_ < text_.size(); at_++) {
            auto c = static_cast<unsigned char>(text_[at_]);
            if (c == '"' || c == '\\' || c < 0x20) break;
            bits = static_cast<unsigned char>(bits | c);
        }
        out.append(text_.substr(start, at_ - start));
        if (at_ >= text_.size()) return fail("the closing quote");
        if (text_[at_] == '"') break;
        if (text_[at_] != '\\') return fail("an escape sequence instead of a control character");
        at_++;
        DROVER_CHECK(escape(out));
    }
    at_++;
    if (bits < 0x80) return out;
    return valid_utf8(out);
}

Status Reader::begin(char bracket) {
    space();
    if (at_ >= text_.size() || text_[at_] != bracket) return fail(fmt::format("'{}'", bracket));
    if (++depth_ > kDepthMax)
        return make_error(Code::InvalidArgument, "JSON is nested more than {} levels deep", kDepthMax);
    at_++;
    return {};
}

Result<bool> Reader::more(char closing, bool first) {
    space();
    if (at_ < text_.size() && text_[at_] == closing) {
        at_++;
        depth_--;
        return false;
    }
    if (first) return true;
    if (at_ >= text_.size() || text_[at_] != ',') return fail(fmt::format("',' or '{}'", closing));
    at_++;
    space();
    if (at_ < text_.size() && text_[at_] == closing) return fail("a value after the comma");
    return true;
}

Result<std::string> Reader::key() {
    DROVER_TRY(std::string name, string());
    space();
    if (at_ >= text_.size() || text_[at_] != ':') return fail("':'");
    at_++;
    return name;
}

Status Reader::skip() {
    switch (peek()) {
        case Kind::Null:
            return null();
        case Kind::Bool: {
            DROVER_CHECK(boolean());
            return {};
        }
        case Kind::Number: {
            DROVER_CHECK(number());
            return {};
        }
        case Kind::String: {
            DROVER_CHECK(string());
            return {};
        }
        case Kind::Broken:
            return fail("a value");
        default:
            break;
    }
    bool object = text_[at_] == '{';
    char closing = object ? '}' : ']';
    DROVER_CHECK(begin(text_[at_]));
    for (bool first = true;; first = false) {
        DROVER_TRY(bool more_items, more(closing, first));
        if (!more_items) return {};
        if (object) DROVER_CHECK(key());
        DROVER_CHECK(skip());
    }
}

Status Reader::end() {
    space();
    if (at_ < text_.size()) return fail("nothing more");
    return {};
}

}  // namespace drover::model::json
