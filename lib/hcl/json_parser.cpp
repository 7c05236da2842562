// SPDX-License-Identifier: Apache-2.0
// The JSON reader: strict RFC 8259, bounded nesting, one error with its place. Positions through the Scanner.
#include "hcl/json_parser.h"

#include <fmt/format.h>

#include "hcl/limits.h"
#include "hcl/scanner.h"

namespace drover::hcl {

const char* JsonNode::kind_name() const {
    switch (kind) {
        case Kind::Null:
            return "null";
        case Kind::Bool:
            return "a boolean";
        case Kind::Number:
            return "a number";
        case Kind::String:
            return "a string";
        case Kind::Array:
            return "an array";
        case Kind::Object:
            return "an object";
    }
    return "a value";
}

namespace {

class JsonReader {
 public:
    JsonReader(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
               JsonStrings strings)
        : in_(text, filename, {}), diagnostics_(diagnostics), strings_(strings) {}

    JsonPtr read_all() {
        JsonPtr node = read_value();
        if (!node) return nullptr;
        skip_space();
        if (!in_.at_end())
            return fail("Extraneous data after value", "Extra characters appear after the JSON value.",
                        here());
        return node;
    }

 private:
    std::nullptr_t fail(std::string summary, std::string detail, Range range) {
        diagnostics_.error(std::move(summary), std::move(detail), std::move(range));
        return nullptr;
    }
    Range here() {
        Pos start = in_.pos();
        Pos end = start;
        if (!in_.at_end()) ++end.byte, ++end.column;
        return in_.range(start, end);
    }
    void skip_space() {
        while (in_.peek() == ' ' || in_.peek() == '\t' || in_.peek() == '\n' || in_.peek() == '\r')
            in_.advance(1);
    }

    JsonPtr read_value() {
        if (nesting_ >= kNestingMax) {
            return fail("Nesting too deep",
                        fmt::format("Arrays and objects may be nested at most {} levels deep.", kNestingMax),
                        here());
        }
        skip_space();
        char c = in_.peek();
        if (in_.at_end())
            return fail("Missing JSON value",
                        "A JSON value must start with a brace, a bracket, a number, a string, or a keyword.",
                        here());
        ++nesting_;
        JsonPtr out = c == '{'   ? read_object()
                      : c == '[' ? read_array()
                      : c == '"' ? read_string_node()
                                 : read_scalar();
        --nesting_;
        return out;
    }

    JsonPtr read_scalar() {
        Pos start = in_.pos();
        size_t length = 0;
        std::string_view rest = in_.rest();
        while (length < rest.size() &&
               rest.substr(length, 1).find_first_of(" \t\r\n,:]}[{\"") == std::string_view::npos)
            ++length;
        std::string_view word = rest.substr(0, length);
        auto node = new_node();
        in_.advance(length);
        node->range = in_.range(start, in_.pos());
        if (word == "null") return node;
        if (word == "true" || word == "false") {
            node->kind = JsonNode::Kind::Bool;
            node->boolean = word == "true";
            return node;
        }
        if (!word.empty() && (word[0] == '-' || (word[0] >= '0' && word[0] <= '9'))) {
            std::string_view digits = word.substr(word[0] == '-' ? 1 : 0);
            bool bad = digits.empty() || digits[0] < '0' || digits[0] > '9' ||
                       (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9');
            size_t point = digits.find('.');
            bad = bad || (point != std::string_view::npos &&
                          (point + 1 >= digits.size() || digits[point + 1] < '0' || digits[point + 1] > '9'));
            std::optional<Number> number = bad ? std::nullopt : Number::parse(word);
            if (!number)
                return fail("Invalid JSON number",
                            "There is a syntax error at the given position, or the number is out of range.",
                            node->range);
            node->kind = JsonNode::Kind::Number;
            node->number = *number;
            return node;
        }
        if (word.empty())
            return fail("Invalid JSON value",
                        "A JSON value must start with a brace, a bracket, a number, a string, or a keyword.",
                        here());
        if (word[0] == '\'')
            return fail("Invalid JSON value", "JSON strings are enclosed in double quotes (\").",
                        node->range);
        if (!is_valid_utf8(word))
            return fail("Invalid character encoding", "JSON must be UTF-8.", node->range);
        return fail("Invalid JSON keyword", fmt::format("{} is not a valid JSON keyword.", quote(word)),
                    node->range);
    }

    std::optional<uint32_t> hex4(size_t at) {
        uint32_t out = 0;
        for (size_t i = 0; i < 4; ++i) {
            char c = in_.peek(at + i);
            if (c >= '0' && c <= '9')
                out = out << 4 | static_cast<uint32_t>(c - '0');
            else if (c >= 'a' && c <= 'f')
                out = out << 4 | (static_cast<uint32_t>(c - 'a') + 10);
            else if (c >= 'A' && c <= 'F')
                out = out << 4 | (static_cast<uint32_t>(c - 'A') + 10);
            else
                return std::nullopt;
        }
        return out;
    }

    bool read_escape(std::string& out) {
        char selector = in_.peek(1);
        static constexpr std::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
        size_t simple = selector == '\0' ? std::string_view::npos : kFrom.find(selector);
        if (simple != std::string_view::npos) {
            out += kTo[simple];
            in_.advance(2);
            return true;
        }
        std::optional<uint32_t> unit = selector == 'u' ? hex4(2) : std::nullopt;
        if (!unit) {
            fail("Invalid escape sequence",
                 "A backslash must be followed by one of \"\\/bfnrt, or u and four hexadecimal digits.",
                 here());
            return false;
        }
        in_.advance(6);
        if (*unit >= 0xD800 && *unit < 0xDC00 && in_.peek() == '\\' && in_.peek(1) == 'u') {
            std::optional<uint32_t> low = hex4(2);
            if (low && *low >= 0xDC00 && *low < 0xE000) {
                unit = 0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00);
                in_.advance(6);
            }
        }
        append_utf8(out, *unit);  // a lone half becomes the replacement character
        return true;
    }

    // Behind the opening quote afterwards; nullopt after an error.
    std::optional<std::string> read_string() {
        Pos start = in_.pos();
        in_.advance(1);
        std::string out;
        while (true) {
            char c = in_.peek();
            if (in_.at_end() || c == '\n') {
                fail("Unclosed string",
                     "There is no closing quote for this string before the end of its line.",
                     in_.range(start, in_.pos()));
                return std::nullopt;
            }
            if (c == '"') {
                in_.advance(1);
                return out;
            }
            if (c == '\\') {
                if (!read_escape(out)) return std::nullopt;
                continue;
            }
            size_t length = decode_utf8(in_.rest(), 0).length;
            if (length == 0 || static_cast<unsigned char>(c) < 0x20) {
                fail("Invalid character in string",
                     "Control characters must be escaped, and the text must be UTF-8.", here());
                return std::nullopt;
            }
            out += in_.rest().substr(0, length);
            in_.advance(length);
        }
    }

    JsonPtr read_string_node() {
        Pos start = in_.pos();
        std::optional<std::string> text = read_string();
        if (!text) return nullptr;
        auto node = new_node();
        node->kind = JsonNode::Kind::String;
        node->text = std::move(*text);
        node->range = in_.range(start, in_.pos());
        return node;
    }

    // After an item: takes a comma, or the closing bracket (sets `done`). False after an error.
    bool after_item(char close, const char* what, const Range& open, bool& done) {
        skip_space();
        if (in_.peek() == close) {
            done = true;
            return true;
        }
        if (in_.at_end()) {
            fail(fmt::format("Unclosed {}", what),
                 fmt::format("There is no closing bracket for this {} before the end of the text.", what),
                 open);
            return false;
        }
        if (in_.peek() != ',') {
            fail("Missing comma", fmt::format("A comma must separate the items of an {}.", what), here());
            return false;
        }
        Pos comma = in_.pos();
        in_.advance(1);
        skip_space();
        if (in_.peek() != close) return true;
        fail("Trailing comma", fmt::format("JSON does not allow a comma after the last item of an {}.", what),
             in_.range(comma, comma));
        return false;
    }

    JsonPtr finish(std::shared_ptr<JsonNode> node, const Pos& start) {
        Pos close = in_.pos();
        in_.advance(1);
        node->close_range = in_.range(close, in_.pos());
        node->range = in_.range(start, in_.pos());
        return node;
    }

    JsonPtr read_array() {
        Pos start = in_.pos();
        auto node = new_node();
        node->kind = JsonNode::Kind::Array;
        node->open_range = here();
        in_.advance(1);
        skip_space();
        for (bool done = in_.peek() == ']'; !done;) {
            JsonPtr element = read_value();
            if (!element) return nullptr;
            node->elements.push_back(std::move(element));
            if (!after_item(']', "array", node->open_range, done)) return nullptr;
        }
        return finish(std::move(node), start);
    }

    JsonPtr read_object() {
        Pos start = in_.pos();
        auto node = new_node();
        node->kind = JsonNode::Kind::Object;
        node->open_range = here();
        in_.advance(1);
        skip_space();
        for (bool done = in_.peek() == '}'; !done;) {
            skip_space();
            if (in_.peek() != '"')
                return fail("Invalid object property name", "A JSON object property name must be a string.",
                            here());
            JsonMember member;
            Pos name = in_.pos();
            std::optional<std::string> text = read_string();
            if (!text) return nullptr;
            member.name = std::move(*text);
            member.name_range = in_.range(name, in_.pos());
            skip_space();
            if (in_.peek() != ':')
                return fail("Missing property value colon",
                            "A colon must separate a property's name from its value.", here());
            in_.advance(1);
            member.value = read_value();
            if (!member.value) return nullptr;
            node->members.push_back(std::move(member));
            if (!after_item('}', "object", node->open_range, done)) return nullptr;
        }
        return finish(std::move(node), start);
    }

    std::shared_ptr<JsonNode> new_node() const {
        auto node = std::make_shared<JsonNode>();
        node->strings = strings_;
        return node;
    }

    Scanner in_;
    Diagnostics& diagnostics_;
    JsonStrings strings_;
    uint32_t nesting_ = 0;
};

}  // namespace

JsonPtr parse_json_node(std::string_view text, const std::string& filename, Diagnostics& diagnostics,
                        JsonStrings strings) {
    return JsonReader(text, filename, diagnostics, strings).read_all();
}

Value json_value(const JsonNode& node) {
    switch (node.kind) {
        case JsonNode::Kind::Null:
            return Value::null();
        case JsonNode::Kind::Bool:
            return Value::boolean(node.boolean);
        case JsonNode::Kind::Number:
            return Value(node.number);
        case JsonNode::Kind::String:
            return Value(node.text);
        case JsonNode::Kind::Array: {
            Value::Sequence elements;
            for (const JsonPtr& element : node.elements) elements.push_back(json_value(*element));
            return Value::tuple(std::move(elements));
        }
        case JsonNode::Kind::Object: {
            Value::Mapping attributes;
            for (const JsonMember& member : node.members)
                attributes.insert_or_assign(member.name, json_value(*member.value));
            return Value::object(std::move(attributes));
        }
    }
    return Value();
}

}  // namespace drover::hcl
