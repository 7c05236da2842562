// SPDX-License-Identifier: Apache-2.0
#include "server-lite/rpc/filter.h"

#include <google/protobuf/message.h>
#include <re2/re2.h>

#include "base/strings.h"

namespace drover::server {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct Filter::Node {
    enum Kind { And, Or, Not, Equal, NotEqual, In, NotIn, Matches, NotMatches, Empty, NotEmpty } kind = And;
    std::vector<std::string> selector;
    std::string value;
    std::shared_ptr<re2::RE2> pattern;
    std::vector<std::shared_ptr<const Node>> parts;
};

namespace {

using Node = Filter::Node;
using NodePtr = std::shared_ptr<const Node>;

constexpr size_t kDepthMax = 64;
constexpr size_t kBytesMax = 64 << 10;

struct Token {
    enum Kind { Word, Text, Symbol, End } kind = End;
    std::string text;
    size_t at = 0;
};

class Parser {
 public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<NodePtr> run() {
        DROVER_CHECK(tokenize());
        DROVER_TRY(auto node, either(0));
        if (now().kind != Token::End) return unexpected("the end");
        return node;
    }

 private:
    Error bad(std::string_view what, size_t at) const {
        return make_error(Code::InvalidArgument, "failed to read filter expression: {} at column {}", what,
                          at + 1);
    }
    Error unexpected(std::string_view wanted) const {
        return bad(fmt::format("found {}, expected {}",
                               now().kind == Token::End ? "the end" : "\"" + now().text + "\"", wanted),
                   now().at);
    }

    Status tokenize() {
        static constexpr std::string_view kSymbols = "()[].";
        for (size_t i = 0; i < text_.size();) {
            const char c = text_[i];
            const size_t start = i;
            if (std::isspace(static_cast<unsigned char>(c))) {
                ++i;
            } else if (c == '"' || c == '`') {
                std::string value;
                for (++i; i < text_.size() && text_[i] != c; ++i) {
                    if (c == '"' && text_[i] == '\\' && i + 1 < text_.size()) ++i;
                    value.push_back(text_[i]);
                }
                if (i++ >= text_.size()) return bad("a text without its end", start);
                tokens_.push_back({Token::Text, std::move(value), start});
            } else if (text_.substr(i, 2) == "==" || text_.substr(i, 2) == "!=") {
                tokens_.push_back({Token::Symbol, std::string(text_.substr(i, 2)), start});
                i += 2;
            } else if (kSymbols.find(c) != kSymbols.npos) {
                tokens_.push_back({Token::Symbol, std::string(1, c), start});
                ++i;
            } else {
                while (i < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[i])) ||
                                            text_[i] == '_' || text_[i] == '-' || text_[i] == '/'))
                    ++i;
                if (i == start) return bad(fmt::format("found \"{}\"", c), start);
                tokens_.push_back({Token::Word, std::string(text_.substr(start, i - start)), start});
            }
        }
        tokens_.push_back({Token::End, "", text_.size()});
        return {};
    }

    const Token& now() const { return tokens_[next_]; }
    bool take(Token::Kind kind, std::string_view text) {
        if (now().kind != kind || now().text != text) return false;
        ++next_;
        return true;
    }
    bool word(std::string_view text) { return take(Token::Word, text); }

    Result<NodePtr> either(size_t depth) {
        if (depth > kDepthMax) return bad("nested too deeply", now().at);
        DROVER_TRY(auto first, both(depth));
        while (word("or")) {
            DROVER_TRY(auto second, both(depth));
            first = join_nodes(Node::Or, std::move(first), std::move(second));
        }
        return first;
    }

    Result<NodePtr> both(size_t depth) {
        DROVER_TRY(auto first, one(depth));
        while (word("and")) {
            DROVER_TRY(auto second, one(depth));
            first = join_nodes(Node::And, std::move(first), std::move(second));
        }
        return first;
    }

    static NodePtr join_nodes(Node::Kind kind, NodePtr a, NodePtr b) {
        Node node;
        node.kind = kind;
        node.parts = {std::move(a), std::move(b)};
        return std::make_shared<const Node>(std::move(node));
    }

    Result<NodePtr> one(size_t depth) {
        if (depth > kDepthMax) return bad("nested too deeply", now().at);
        if (word("not")) {
            DROVER_TRY(auto inner, one(depth + 1));
            Node node;
            node.kind = Node::Not;
            node.parts = {std::move(inner)};
            return std::make_shared<const Node>(std::move(node));
        }
        if (take(Token::Symbol, "(")) {
            DROVER_TRY(auto inner, either(depth + 1));
            if (!take(Token::Symbol, ")")) return unexpected("\")\"");
            return inner;
        }
        return match();
    }

    Result<NodePtr> match() {
        Node node;
        // value in Selector
        if (now().kind == Token::Text ||
            (now().kind == Token::Word && tokens_[next_ + 1].kind == Token::Word &&
             (tokens_[next_ + 1].text == "in" || tokens_[next_ + 1].text == "not") && !contains_ahead())) {
            node.value = tokens_[next_++].text;
            const bool inverted = word("not");
            if (!word("in")) return unexpected("\"in\"");
            node.kind = inverted ? Node::NotIn : Node::In;
            DROVER_CHECK(selector(node));
            return std::make_shared<const Node>(std::move(node));
        }
        DROVER_CHECK(selector(node));
        if (word("is")) {
            node.kind = word("not") ? Node::NotEmpty : Node::Empty;
            if (!word("empty")) return unexpected("\"empty\"");
            return std::make_shared<const Node>(std::move(node));
        }
        if (take(Token::Symbol, "=="))
            node.kind = Node::Equal;
        else if (take(Token::Symbol, "!="))
            node.kind = Node::NotEqual;
        else if (word("contains"))
            node.kind = Node::In;
        else if (word("matches"))
            node.kind = Node::Matches;
        else if (word("not")) {
            if (word("contains"))
                node.kind = Node::NotIn;
            else if (word("matches"))
                node.kind = Node::NotMatches;
            else
                return unexpected("\"contains\" or \"matches\"");
        } else {
            return unexpected("a comparison (==, !=, contains, matches, is empty)");
        }
        if (now().kind != Token::Text && now().kind != Token::Word) return unexpected("a value");
        node.value = tokens_[next_++].text;
        if (node.kind == Node::Matches || node.kind == Node::NotMatches) {
            re2::RE2::Options options;
            options.set_log_errors(false);
            node.pattern = std::make_shared<re2::RE2>(node.value, options);
            if (!node.pattern->ok())
                return bad(fmt::format("\"{}\" is no regular expression", node.value), now().at);
        }
        return std::make_shared<const Node>(std::move(node));
    }

    // `Name not matches x` and `Name not contains x` begin like `web not in Tags`.
    bool contains_ahead() const {
        return tokens_[next_ + 1].text == "not" && tokens_[next_ + 2].text != "in";
    }

    Status selector(Node& node) {
        if (now().kind != Token::Word) return unexpected("a field");
        node.selector.push_back(tokens_[next_++].text);
        for (;;) {
            if (take(Token::Symbol, ".")) {
                if (now().kind != Token::Word) return unexpected("a field");
                node.selector.push_back(tokens_[next_++].text);
            } else if (take(Token::Symbol, "[")) {
                if (now().kind != Token::Text) return unexpected("a key in quotes");
                node.selector.push_back(tokens_[next_++].text);
                if (!take(Token::Symbol, "]")) return unexpected("\"]\"");
            } else {
                return {};
            }
        }
    }

    std::string_view text_;
    std::vector<Token> tokens_;
    size_t next_ = 0;
};

// What a selector stands for: texts of a scalar, a list or a map's keys. `found` is false for a key that a
// map lacks.
struct Found {
    bool found = true;
    bool list = false;
    std::vector<std::string> texts;
};

std::string scalar(const Message& message, const FieldDescriptor& field, int index) {
    const auto& r = *message.GetReflection();
    const bool repeated = index >= 0;
    switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
            return repeated ? r.GetRepeatedString(message, &field, index) : r.GetString(message, &field);
        case FieldDescriptor::CPPTYPE_BOOL:
            return (repeated ? r.GetRepeatedBool(message, &field, index) : r.GetBool(message, &field))
                       ? "true"
                       : "false";
        case FieldDescriptor::CPPTYPE_INT32:
            return std::to_string(repeated ? r.GetRepeatedInt32(message, &field, index)
                                           : r.GetInt32(message, &field));
        case FieldDescriptor::CPPTYPE_INT64:
            return std::to_string(repeated ? r.GetRepeatedInt64(message, &field, index)
                                           : r.GetInt64(message, &field));
        case FieldDescriptor::CPPTYPE_UINT32:
            return std::to_string(repeated ? r.GetRepeatedUInt32(message, &field, index)
                                           : r.GetUInt32(message, &field));
        case FieldDescriptor::CPPTYPE_UINT64:
            return std::to_string(repeated ? r.GetRepeatedUInt64(message, &field, index)
                                           : r.GetUInt64(message, &field));
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return fmt::format(
                "{}", repeated ? r.GetRepeatedDouble(message, &field, index) : r.GetDouble(message, &field));
        default:
            return "";
    }
}

Result<Found> look_up(const Message& message, const std::vector<std::string>& selector, size_t part) {
    const FieldDescriptor* field = nullptr;
    for (int i = 0; i < message.GetDescriptor()->field_count() && !field; ++i)
        if (message.GetDescriptor()->field(i)->json_name() == selector[part])
            field = message.GetDescriptor()->field(i);
    if (!field)
        return make_error(
            Code::InvalidArgument, "failed to read filter expression: there is no field \"{}\"",
            join(std::vector<std::string>(selector.begin(), selector.begin() + static_cast<long>(part) + 1),
                 "."));
    const auto& r = *message.GetReflection();
    const bool last = part + 1 == selector.size();
    Found out;
    if (field->is_map()) {
        const auto* value = field->message_type()->map_value();
        for (int i = 0; i < r.FieldSize(message, field); ++i) {
            const auto& entry = r.GetRepeatedMessage(message, field, i);
            const auto key = scalar(entry, *field->message_type()->map_key(), -1);
            if (last)
                out.texts.push_back(key);
            else if (key == selector[part + 1]) {
                if (value->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && part + 2 < selector.size())
                    return look_up(entry.GetReflection()->GetMessage(entry, value), selector, part + 2);
                out.texts.push_back(scalar(entry, *value, -1));
                return out;
            }
        }
        out.list = last;
        out.found = last;
        return out;
    }
    if (field->is_repeated()) {
        out.list = true;
        for (int i = 0; i < r.FieldSize(message, field); ++i) {
            if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
                out.texts.push_back(scalar(message, *field, i));
            else if (last)
                out.texts.emplace_back();
            else {
                DROVER_TRY(auto inner, look_up(r.GetRepeatedMessage(message, field, i), selector, part + 1));
                out.texts.insert(out.texts.end(), inner.texts.begin(), inner.texts.end());
            }
        }
        return out;
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        if (!last) return look_up(r.GetMessage(message, field), selector, part + 1);
        out.list = true;
        if (r.HasField(message, field)) out.texts.emplace_back();
        return out;
    }
    if (!last)
        return make_error(Code::InvalidArgument, "failed to read filter expression: \"{}\" has no fields",
                          selector[part]);
    out.texts.push_back(scalar(message, *field, -1));
    return out;
}

Result<bool> evaluate(const Node& node, const Message& message) {
    if (node.kind == Node::And || node.kind == Node::Or) {
        DROVER_TRY(const bool first, evaluate(*node.parts[0], message));
        if (first == (node.kind == Node::Or)) return bool(first);
        return evaluate(*node.parts[1], message);
    }
    if (node.kind == Node::Not) {
        DROVER_TRY(const bool inner, evaluate(*node.parts[0], message));
        return !inner;
    }
    DROVER_TRY(const Found found, look_up(message, node.selector, 0));
    auto any = [&](auto&& test) { return std::any_of(found.texts.begin(), found.texts.end(), test); };
    const bool is_empty = found.list ? found.texts.empty() : found.texts.empty() || found.texts[0].empty();
    switch (node.kind) {
        case Node::Equal:
            return any([&](const std::string& t) { return t == node.value; });
        case Node::NotEqual:
            return !any([&](const std::string& t) { return t == node.value; });
        case Node::In:
        case Node::NotIn: {
            const bool in = any([&](const std::string& t) {
                return found.list ? t == node.value : t.find(node.value) != std::string::npos;
            });
            return in == (node.kind == Node::In);
        }
        case Node::Matches:
        case Node::NotMatches: {
            const bool matches =
                any([&](const std::string& t) { return re2::RE2::PartialMatch(t, *node.pattern); });
            return matches == (node.kind == Node::Matches);
        }
        case Node::Empty:
            return is_empty;
        default:
            return !is_empty;
    }
}

}  // namespace

Result<Filter> Filter::parse(std::string_view text) {
    Filter filter;
    if (trim(text).empty()) return filter;
    if (text.size() > kBytesMax)
        return make_error(Code::InvalidArgument, "failed to read filter expression: longer than {} bytes",
                          kBytesMax);
    DROVER_TRY(filter.root_, Parser(text).run());
    return filter;
}

Result<bool> Filter::matches(const Message& message) const {
    if (!root_) return true;
    return evaluate(*root_, message);
}

}  // namespace drover::server
