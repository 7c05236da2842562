// SPDX-License-Identifier: Apache-2.0
// Scalars of YAML, and the errors with their place.
#include "hcl/yaml_text.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "hcl/function_tables.h"
#include "hcl/scanner.h"

namespace drover::hcl {

bool YamlText::blank_at(size_t ahead) const {
    char c = peek(ahead);
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || at_ + ahead >= text_.size();
}

int YamlText::column() const {
    size_t line = text_.rfind('\n', at_ == 0 ? 0 : at_ - 1);
    if (at_ == 0 || line == std::string_view::npos) return static_cast<int>(at_);
    return static_cast<int>(at_ - line - 1);
}

bool YamlText::at_marker(std::string_view marker) const {
    return text_.substr(at_, 3) == marker && column() == 0 && blank_at(3);
}

void YamlText::fail(const std::string& message) const {
    auto line = 1 + std::count(text_.begin(),
                               text_.begin() + static_cast<ptrdiff_t>(std::min(at_, text_.size())), '\n');
    throw YamlError{fmt::format("on line {}, column {}: {}", line, column() + 1, message)};
}

void YamlText::skip_spaces() {
    while (peek() == ' ' || peek() == '\t') ++at_;
}

bool YamlText::at_comment() const {
    return peek() == '#' &&
           (at_ == 0 || text_[at_ - 1] == ' ' || text_[at_ - 1] == '\t' || text_[at_ - 1] == '\n');
}

bool YamlText::skip_rest_of_line() {
    skip_spaces();
    if (at_comment()) {
        while (!done() && peek() != '\n') ++at_;
    }
    if (peek() == '\r' && peek(1) == '\n') ++at_;
    return done() || peek() == '\n';
}

void YamlText::skip_blank() {
    while (skip_rest_of_line() && !done()) ++at_;
}

Value YamlText::plain_value(const std::string& text) {
    if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
        return Value::null();
    if (text == "true" || text == "True" || text == "TRUE") return Value::boolean(true);
    if (text == "false" || text == "False" || text == "FALSE") return Value::boolean(false);
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
        if (auto number = Number::parse_integer(text.substr(2), text[1] == 'x' ? 16 : 8))
            return Value(*number);
    }
    if (std::string_view("0123456789+-.").find(text[0]) != std::string_view::npos) {
        if (auto number = Number::parse(text)) return Value(*number);
        std::string word = to_lower_text(text);
        if (word == ".inf" || word == "+.inf" || word == "-.inf" || word == ".nan")
            fail("infinity and NaN cannot be represented");
    }
    return Value(text);
}

void YamlText::fold(std::string& out) {
    out.erase(out.find_last_not_of(" \t\r") + 1);
    size_t newlines = 0;
    while (!done() && (peek() == '\n' || peek() == ' ' || peek() == '\t' || peek() == '\r'))
        newlines += text_[at_++] == '\n';
    out += newlines > 1 ? std::string(newlines - 1, '\n') : " ";
}

std::string YamlText::single_quoted() {
    std::string out;
    for (++at_; !done();) {
        if (peek() == '\'' && peek(1) == '\'') {
            out += '\'';
            at_ += 2;
        } else if (peek() == '\'') {
            ++at_;
            return out;
        } else if (peek() == '\n') {
            fold(out);
        } else {
            out += text_[at_++];
        }
    }
    fail("the quoted text does not end");
}

std::string YamlText::double_quoted() {
    std::string out;
    for (++at_; !done();) {
        char c = peek();
        if (c == '"') {
            ++at_;
            return out;
        }
        if (c == '\n')
            fold(out);
        else if (c == '\\')
            escape(out);
        else
            out += text_[at_++];
    }
    fail("the quoted text does not end");
}

void YamlText::escape(std::string& out) {
    static const std::map<char, std::string> kSimple = {{'0', std::string(1, '\0')},
                                                        {'a', "\a"},
                                                        {'b', "\b"},
                                                        {'t', "\t"},
                                                        {'\t', "\t"},
                                                        {'n', "\n"},
                                                        {'v', "\v"},
                                                        {'f', "\f"},
                                                        {'r', "\r"},
                                                        {'e', "\x1b"},
                                                        {' ', " "},
                                                        {'"', "\""},
                                                        {'/', "/"},
                                                        {'\\', "\\"},
                                                        {'N', "\xC2\x85"},
                                                        {'_', "\xC2\xA0"},
                                                        {'L', "\xE2\x80\xA8"},
                                                        {'P', "\xE2\x80\xA9"}};
    char c = peek(1);
    if (c == '\n') {  // an escaped line break joins the lines
        at_ += 2;
        skip_spaces();
        return;
    }
    auto simple = kSimple.find(c);
    if (simple != kSimple.end() && at_ + 1 < text_.size()) {
        out += simple->second;
        at_ += 2;
        return;
    }
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    std::optional<Number> point =
        digits ? Number::parse_integer(text_.substr(std::min(at_ + 2, text_.size()), digits), 16)
               : std::nullopt;
    if (!point || point->is_negative() || point->to_uint64().value_or(UINT64_MAX) > 0x10FFFF)
        fail("this escape sequence is not valid");
    append_utf8(out, static_cast<uint32_t>(*point->to_uint64()));
    at_ += 2 + digits;
}

Value YamlText::block_scalar(int parent) {
    bool folded = text_[at_++] == '>';
    char chomp = 0;
    int indent = -1;
    for (; peek() == '+' || peek() == '-' || (peek() >= '1' && peek() <= '9'); ++at_) {
        if (peek() == '+' || peek() == '-')
            chomp = peek();
        else
            indent = std::max(parent, 0) + (peek() - '0');
    }
    if (!skip_rest_of_line()) fail("unexpected text behind | or >");
    std::vector<std::string> lines = block_lines(parent, indent);
    size_t trailing = 0;
    while (trailing < lines.size() && lines[lines.size() - 1 - trailing].empty()) ++trailing;
    std::string out;
    size_t count = lines.size() - trailing;
    for (size_t i = 0; i < count; ++i) {
        out += lines[i];
        bool keeps_break = !folded || i + 1 == count || is_indented(lines[i]) || is_indented(lines[i + 1]);
        if (lines[i].empty() && folded && i + 1 < count) {
            out += '\n';
        } else if (keeps_break) {
            if (i + 1 < count) out += '\n';
        } else if (!lines[i + 1].empty()) {
            out += ' ';
        }
    }
    if (chomp == '+')
        out += std::string(trailing + (count > 0 ? 1 : 0), '\n');
    else if (chomp != '-' && count > 0)
        out += '\n';
    return Value(std::move(out));
}

bool YamlText::is_indented(const std::string& line) {
    return !line.empty() && (line[0] == ' ' || line[0] == '\t');
}

std::vector<std::string> YamlText::block_lines(int parent, int indent) {
    std::vector<std::string> lines;
    while (!done()) {
        size_t start = at_ + 1;  // behind the newline the cursor stands on
        size_t end = std::min(text_.find('\n', start), text_.size());
        if (start >= text_.size()) {
            at_ = text_.size();
            break;
        }
        std::string_view line = text_.substr(start, end - start);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        size_t spaces = std::min(line.find_first_not_of(' '), line.size());
        bool empty = spaces == line.size();
        if (!empty) {
            if (indent < 0) indent = static_cast<int>(spaces);
            bool marker = spaces == 0 && (line.substr(0, 3) == "---" || line.substr(0, 3) == "...");
            if (static_cast<int>(spaces) < indent || indent <= parent || marker) break;
        }
        auto cut = static_cast<size_t>(std::max(indent, 0));
        lines.emplace_back(line.size() > cut ? line.substr(cut) : "");
        at_ = end;
    }
    return lines;
}

}  // namespace drover::hcl
