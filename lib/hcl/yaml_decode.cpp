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
#include "hcl/yaml_text.h"

namespace drover::hcl {

namespace {

class YamlReader : YamlText {
 public:
    explicit YamlReader(std::string_view text) : YamlText(text) {}

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
