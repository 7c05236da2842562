// SPDX-License-Identifier: Apache-2.0
// yamldecode(): one YAML document. Block and flow collections, all scalar styles, anchors, aliases, merge
// keys, the core schema's types. Not: complex keys (`? `), several documents, tags beyond the core ones;
// these are errors that say so.
#include <algorithm>

#include <fmt/format.h>

#include "hcl/convert.h"
#include "hcl/function_tables.h"
#include "hcl/limits.h"
#include "hcl/scanner.h"

namespace drover::hcl {

namespace {

// Thrown and caught in this file only: a parser this recursive reads better without a check behind every
// call.
struct YamlError {
    std::string message;
};

class YamlReader {
 public:
    explicit YamlReader(std::string_view text) : text_(text) {}

    Value read_document() {
        if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
        skip_blank();
        while (peek() == '%' && column() == 0) {  // directives
            while (!done() && peek() != '\n') ++at_;
            skip_blank();
        }
        if (at_marker("---")) {
            at_ += 3;
            skip_blank();
        }
        Value value = at_end_marker() ? Value::null() : block_node(-1, false);
        skip_blank();
        if (at_marker("...")) {
            at_ += 3;
            skip_blank();
        }
        if (at_marker("---")) fail("only one document is allowed");
        if (!done()) fail("unexpected text: is its indentation right?");
        return value;
    }

 private:
    // --- characters
    bool done() const { return at_ >= text_.size(); }
    char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    bool blank_at(size_t ahead) const {
        char c = peek(ahead);
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || at_ + ahead >= text_.size();
    }
    int column() const {
        size_t line = text_.rfind('\n', at_ == 0 ? 0 : at_ - 1);
        if (at_ == 0 || line == std::string_view::npos) return static_cast<int>(at_);
        return static_cast<int>(at_ - line - 1);
    }
    bool at_marker(std::string_view marker) const {
        return text_.substr(at_, 3) == marker && column() == 0 && blank_at(3);
    }
    bool at_end_marker() const { return done() || at_marker("...") || at_marker("---"); }

    [[noreturn]] void fail(const std::string& message) const {
        auto line = 1 + std::count(text_.begin(),
                                   text_.begin() + static_cast<ptrdiff_t>(std::min(at_, text_.size())), '\n');
        throw YamlError{fmt::format("on line {}, column {}: {}", line, column() + 1, message)};
    }

    void skip_spaces() {
        while (peek() == ' ' || peek() == '\t') ++at_;
    }
    bool at_comment() const {
        return peek() == '#' &&
               (at_ == 0 || text_[at_ - 1] == ' ' || text_[at_ - 1] == '\t' || text_[at_ - 1] == '\n');
    }
    // Spaces and a comment up to the end of the line; true when nothing else stood there.
    bool skip_rest_of_line() {
        skip_spaces();
        if (at_comment()) {
            while (!done() && peek() != '\n') ++at_;
        }
        if (peek() == '\r' && peek(1) == '\n') ++at_;
        return done() || peek() == '\n';
    }
    void skip_blank() {
        while (skip_rest_of_line() && !done()) ++at_;
    }

    struct Deeper {
        explicit Deeper(YamlReader& r) : reader(r) {
            if (++reader.depth_ > kNestingMax) reader.fail("nested too deeply");
        }
        ~Deeper() { --reader.depth_; }
        Deeper(const Deeper&) = delete;
        YamlReader& reader;
    };

    Value paid(Value value) {
        if (value.weight() > kEvaluationCostMax || value.depth() > kValueDepthMax)
            fail("the document is too large once its aliases are followed");
        return value;
    }

    // --- nodes
    struct Properties {
        std::string anchor, tag;
    };
    Properties properties() {
        Properties out;
        while (peek() == '&' || peek() == '!') {
            std::string& into = peek() == '&' ? out.anchor : out.tag;
            if (!into.empty()) fail("a node has at most one anchor and one tag");
            into = peek() == '!' ? "!" : "";
            ++at_;
            while (!blank_at(0) && std::string_view(",[]{}").find(peek()) == std::string_view::npos)
                into += text_[at_++];
            if (into.empty()) fail("an anchor needs a name");
            skip_spaces();
        }
        return out;
    }
    Value finish(const Properties& properties, Value value) {
        if (!properties.tag.empty()) value = tagged(properties.tag, value);
        if (!properties.anchor.empty()) anchors_[properties.anchor] = value;
        return paid(std::move(value));
    }
    Value tagged(const std::string& tag, const Value& value) {
        if (tag == "!!map" || tag == "!!seq") return value;
        Type wanted = tag == "!!str" || tag == "!"         ? Type::string()
                      : tag == "!!int" || tag == "!!float" ? Type::number()
                      : tag == "!!bool"                    ? Type::boolean()
                                                           : Type::any();
        if (tag == "!!null" && value.is_null()) return value;
        if (wanted.is_any()) fail(fmt::format("unsupported tag {}", tag));
        if (value.is_null() && wanted.kind() == Kind::String) return Value::string("");
        Result<Value> converted = convert(value, wanted);
        if (!converted) fail(fmt::format("not a {} as its tag says", wanted.friendly_name()));
        return std::move(*converted);
    }
    Value alias() {
        ++at_;
        std::string name;
        while (!blank_at(0) && std::string_view(",[]{}").find(peek()) == std::string_view::npos)
            name += text_[at_++];
        auto found = anchors_.find(name);
        if (found == anchors_.end())
            fail(fmt::format("there is no anchor {} before this alias", quote(name)));
        return found->second;
    }

    bool at_dash() const { return peek() == '-' && blank_at(1); }

    // A node of a block collection whose own indentation is `parent`; the cursor stands on it, or before it
    // on earlier lines. A sequence that is a mapping's value may stand at the mapping's own indentation.
    Value block_node(int parent, bool sequence_may_align) {
        Deeper deeper(*this);
        skip_blank();
        if (at_end_marker()) return Value::null();
        int indent = column();
        check_tabs();
        bool aligned = sequence_may_align && indent == parent && at_dash();
        if (indent <= parent && !aligned) return Value::null();
        Properties given = properties();
        if (!given.anchor.empty() || !given.tag.empty()) {
            if (skip_rest_of_line()) return finish(given, block_node(parent, sequence_may_align));
            if (!is_key_ahead()) return finish(given, inline_node(parent));
            // The properties belong to the first key of a mapping on this line.
            fail("an anchor or tag of a mapping must stand on the line before it");
        }
        if (at_dash()) return finish(given, block_sequence(column()));
        if (peek() == '?' && blank_at(1)) fail("complex keys (?) are not supported");
        if (is_key_ahead()) return finish(given, block_mapping(column()));
        return finish(given, inline_node(parent));
    }

    void check_tabs() const {
        size_t line_start = at_ - static_cast<size_t>(column());
        if (text_.substr(line_start, at_ - line_start).find_first_not_of(" -") == std::string_view::npos)
            return;
        if (text_.substr(line_start, at_ - line_start).find('\t') != std::string_view::npos)
            fail("tabs cannot indent");
    }

    // Whether what stands here is `key:` on one line.
    bool is_key_ahead() {
        size_t start = at_;
        bool found = false;
        if (peek() == '"' || peek() == '\'') {
            char quote_mark = peek();
            for (++at_; !done() && peek() != '\n' && peek() != quote_mark; ++at_) {
                if (quote_mark == '"' && peek() == '\\') ++at_;
            }
            if (peek() == quote_mark) {
                ++at_;
                skip_spaces();
                found = peek() == ':' && blank_at(1);
            }
        } else if (std::string_view("[]{},|>@`%").find(peek()) == std::string_view::npos) {
            for (; !done() && peek() != '\n'; ++at_) {
                if (peek() == ':' && blank_at(1)) {
                    found = true;
                    break;
                }
                if (at_comment()) break;
            }
        }
        at_ = start;
        return found;
    }

    std::string key() {
        Value name;
        if (peek() == '"')
            name = Value(double_quoted());
        else if (peek() == '\'')
            name = Value(single_quoted());
        else if (peek() == '*')
            name = alias();
        else {
            size_t start = at_;
            while (!(peek() == ':' && blank_at(1))) ++at_;
            std::string_view text = text_.substr(start, at_ - start);
            text = text.substr(0, text.find_last_not_of(" \t") + 1);
            if (text == "<<") merge_key_ = true;
            name = Value::string(text);
        }
        skip_spaces();
        if (!name.has_value() || !name.type().is_primitive()) fail("a key must be a scalar");
        if (peek() != ':') fail("a colon is expected behind the key");
        ++at_;
        return convert(name, Type::string())->as_string();
    }

    void add_member(Value::Mapping& into, Value::Mapping& merged, const std::string& name, bool merge,
                    Value value) {
        if (!merge) {
            if (!into.emplace(name, std::move(value)).second)
                fail(fmt::format("the key {} stands here twice", quote(name)));
            return;
        }
        Value::Sequence sources =
            value.has_value() && value.type().is_sequence() ? value.as_sequence() : Value::Sequence{value};
        for (const Value& source : sources) {
            if (!source.has_value() || !source.type().is_mapping())
                fail("a merge key (<<) needs a mapping, or a sequence of them");
            merged.insert(source.as_mapping().begin(), source.as_mapping().end());
        }
    }

    Value block_mapping(int indent) {
        Value::Mapping out, merged;
        do {
            merge_key_ = false;
            std::string name = key();
            bool merge = merge_key_;
            skip_spaces();
            Value value;
            if (skip_rest_of_line()) {
                value = block_node(indent, true);
            } else {
                Properties given = properties();
                bool alone = skip_rest_of_line();
                value = finish(given, alone && !(given.anchor.empty() && given.tag.empty())
                                          ? block_node(indent, true)
                                          : inline_node(indent));
            }
            add_member(out, merged, name, merge, std::move(value));
            skip_blank();
            if (!at_end_marker() && column() > indent) fail("unexpected indentation");
        } while (!at_end_marker() && column() == indent && !at_dash() && expect_key());
        out.insert(merged.begin(), merged.end());
        return Value::object(std::move(out));
    }
    bool expect_key() {
        if (!is_key_ahead()) fail("a key with a colon is expected here");
        return true;
    }

    Value block_sequence(int indent) {
        Value::Sequence out;
        while (!at_end_marker() && column() == indent && at_dash()) {
            ++at_;
            out.push_back(block_node(indent, false));
            skip_blank();
            if (!at_end_marker() && column() > indent) fail("unexpected indentation");
        }
        return Value::tuple(std::move(out));
    }

    // A scalar, alias or flow collection that starts on this line, then the end of the line.
    Value inline_node(int parent) {
        Value value;
        char c = peek();
        if (c == '|' || c == '>') return block_scalar(parent);
        if (c == '[' || c == '{')
            value = flow_node();
        else if (c == '"')
            value = Value(double_quoted());
        else if (c == '\'')
            value = Value(single_quoted());
        else if (c == '*')
            value = alias();
        else
            return plain_lines(parent);
        if (!skip_rest_of_line()) fail("unexpected text behind the value");
        return value;
    }

    // --- scalars
    Value plain_lines(int parent) {
        if (std::string_view("@`%,]}").find(peek()) != std::string_view::npos)
            fail(fmt::format("a plain value cannot start with {}", peek()));
        std::string out = plain_line();
        while (true) {
            size_t back = at_;
            if (!skip_rest_of_line() || done() || at_comment_line(back)) break;
            size_t newlines = 0;
            while (!done() && peek() == '\n') {
                ++at_;
                ++newlines;
                while (peek() == ' ' || peek() == '\t') ++at_;
                if (peek() == '\r') ++at_;
            }
            if (done() || column() <= parent || peek() == '#' || at_end_marker() || is_key_ahead()) {
                at_ = back;
                break;
            }
            out += newlines > 1 ? std::string(newlines - 1, '\n') : " ";
            out += plain_line();
        }
        if (!skip_rest_of_line()) fail("unexpected text; a value with \": \" or \" #\" in it must be quoted");
        return plain_value(out);
    }
    bool at_comment_line(size_t from) const {
        return text_.substr(from, at_ - from).find('#') != std::string_view::npos;
    }
    std::string plain_line() {
        size_t start = at_;
        while (!done() && peek() != '\n' && !at_comment() && !(peek() == ':' && blank_at(1))) ++at_;
        std::string_view line = text_.substr(start, at_ - start);
        return std::string(line.substr(0, line.find_last_not_of(" \t\r") + 1));
    }

    Value plain_value(const std::string& text) {
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

    // The line break of a quoted scalar: one becomes a space, more become one less.
    void fold(std::string& out) {
        out.erase(out.find_last_not_of(" \t\r") + 1);
        size_t newlines = 0;
        while (!done() && (peek() == '\n' || peek() == ' ' || peek() == '\t' || peek() == '\r'))
            newlines += text_[at_++] == '\n';
        out += newlines > 1 ? std::string(newlines - 1, '\n') : " ";
    }

    std::string single_quoted() {
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

    std::string double_quoted() {
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

    void escape(std::string& out) {
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

    // | and >, with their indentation and chomping marks.
    Value block_scalar(int parent) {
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
            bool keeps_break =
                !folded || i + 1 == count || is_indented(lines[i]) || is_indented(lines[i + 1]);
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
    static bool is_indented(const std::string& line) {
        return !line.empty() && (line[0] == ' ' || line[0] == '\t');
    }

    std::vector<std::string> block_lines(int parent, int indent) {
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

    // --- flow
    Value flow_node() {
        Deeper deeper(*this);
        skip_blank();
        Properties given = properties();
        skip_blank();
        switch (peek()) {
            case '[':
                return finish(given, flow_sequence());
            case '{':
                return finish(given, flow_mapping());
            case '"':
                return finish(given, Value(double_quoted()));
            case '\'':
                return finish(given, Value(single_quoted()));
            case '*':
                return finish(given, alias());
            default:
                return finish(given, plain_value(flow_plain()));
        }
    }
    std::string flow_plain() {
        std::string out;
        while (!done() && std::string_view(",[]{}").find(peek()) == std::string_view::npos && !at_comment()) {
            bool colon = peek() == ':' &&
                         (blank_at(1) || std::string_view(",[]{}").find(peek(1)) != std::string_view::npos);
            if (colon) break;
            if (peek() == '\n')
                fold(out);
            else
                out += text_[at_++];
        }
        return out.substr(0, out.find_last_not_of(" \t\r") + 1);
    }
    bool flow_colon() {
        skip_blank();
        if (peek() != ':') return false;
        ++at_;
        return true;
    }
    bool flow_comma(char close) {
        skip_blank();
        if (peek() == ',') {
            ++at_;
            skip_blank();
            return true;
        }
        if (peek() != close)
            fail(done() ? "a bracket is not closed" : "a comma or a closing bracket is expected");
        return false;
    }
    std::string key_text(const Value& value) {
        if (value.is_null()) return "null";
        Result<Value> text = convert(value, Type::string());
        if (!text) fail("a key must be a scalar");
        return text->as_string();
    }
    Value flow_sequence() {
        ++at_;
        Value::Sequence out;
        skip_blank();
        while (peek() != ']') {
            if (done()) fail("a bracket is not closed");
            Value value = flow_node();
            if (flow_colon()) value = Value::object({{key_text(value), flow_node()}});
            out.push_back(std::move(value));
            if (!flow_comma(']')) break;
        }
        ++at_;
        return Value::tuple(std::move(out));
    }
    Value flow_mapping() {
        ++at_;
        Value::Mapping out, merged;
        skip_blank();
        while (peek() != '}') {
            if (done()) fail("a bracket is not closed");
            size_t start = at_;
            std::string name = key_text(flow_node());
            bool merge = name == "<<" && text_[start] == '<';
            Value value = flow_colon() ? flow_node() : Value::null();
            add_member(out, merged, name, merge, std::move(value));
            if (!flow_comma('}')) break;
        }
        ++at_;
        out.insert(merged.begin(), merged.end());
        return Value::object(std::move(out));
    }

    std::string_view text_;
    size_t at_ = 0;
    uint32_t depth_ = 0;
    bool merge_key_ = false;
    std::map<std::string, Value> anchors_;
};

}  // namespace

Result<Value> yaml_decode(std::string_view text) {
    try {
        return YamlReader(text).read_document();
    } catch (const YamlError& error) {
        return Error(Code::InvalidArgument, error.message);
    }
}

}  // namespace drover::hcl
