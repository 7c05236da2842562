// SPDX-License-Identifier: Apache-2.0
#include "cli/go_template.h"

#include "base/strings.h"
#include "cli/format.h"
#include "model/json/json.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

using model::Value;

constexpr int kDepthMax = 64;
constexpr size_t kOutputBytesMax = 64u << 20;

// ---- text -> nodes
// -----------------------------------------------------------------------------------------------------

struct Node {
    enum Kind { Text, Print, If, Range, With } kind = Text;
    std::string text;  // literal text, or the pipeline
    std::vector<Node> body;
    std::vector<Node> otherwise;
};

struct Piece {
    bool action = false;
    std::string text;
};

Result<std::vector<Piece>> cut(std::string_view text) {
    std::vector<Piece> pieces;
    bool trim_next = false;
    while (!text.empty()) {
        auto open = text.find("{{");
        std::string literal(text.substr(0, open));
        if (trim_next) literal.erase(0, std::min(literal.size(), literal.find_first_not_of(" \t\r\n")));
        trim_next = false;
        if (open == std::string_view::npos) {
            pieces.push_back({false, literal});
            break;
        }
        auto close = text.find("}}", open);
        if (close == std::string_view::npos)
            return make_error(Code::InvalidArgument, "template: unclosed action");
        auto inside = text.substr(open + 2, close - open - 2);
        if (inside.size() >= 2 && inside[0] == '-' && inside[1] == ' ') {
            inside.remove_prefix(1);
            while (!literal.empty() && std::isspace(static_cast<unsigned char>(literal.back())))
                literal.pop_back();
        }
        if (inside.size() >= 2 && inside.back() == '-' && inside[inside.size() - 2] == ' ') {
            inside.remove_suffix(1);
            trim_next = true;
        }
        if (!literal.empty()) pieces.push_back({false, literal});
        auto action = trim(inside);
        if (!starts_with(action, "/*")) pieces.push_back({true, std::string(action)});
        text.remove_prefix(close + 2);
    }
    return pieces;
}

bool keyword(const std::string& text, std::string_view word, std::string& rest) {
    if (!starts_with(text, word)) return false;
    if (text.size() > word.size() && text[word.size()] != ' ') return false;
    rest = std::string(trim(std::string_view(text).substr(word.size())));
    return true;
}

class Builder {
 public:
    explicit Builder(std::vector<Piece> pieces) : pieces_(std::move(pieces)) {}

    Result<std::vector<Node>> build() {
        std::string ended_by;
        DROVER_TRY(auto nodes, list(0, ended_by));
        if (!ended_by.empty())
            return make_error(Code::InvalidArgument, "template: unexpected {{{{{}}}}}", ended_by);
        return nodes;
    }

 private:
    // Up to the end of the pieces, or to {{end}} or {{else}}, which is named in `ended_by`.
    Result<std::vector<Node>> list(int depth, std::string& ended_by) {
        if (depth > kDepthMax) return make_error(Code::InvalidArgument, "template: nested too deeply");
        std::vector<Node> nodes;
        while (at_ < pieces_.size()) {
            auto piece = std::move(pieces_[at_++]);
            if (!piece.action) {
                nodes.push_back({Node::Text, std::move(piece.text), {}, {}});
                continue;
            }
            if (piece.text == "end" || starts_with(piece.text, "else")) {
                ended_by = piece.text;
                return nodes;
            }
            DROVER_TRY(auto node, action(piece.text, depth));
            nodes.push_back(std::move(node));
        }
        ended_by.clear();
        return nodes;
    }

    Result<Node> action(const std::string& text, int depth) {
        Node node{Node::Print, text, {}, {}};
        std::string pipeline;
        if (keyword(text, "if", pipeline))
            node.kind = Node::If;
        else if (keyword(text, "range", pipeline))
            node.kind = Node::Range;
        else if (keyword(text, "with", pipeline))
            node.kind = Node::With;
        else
            return node;
        node.text = pipeline;
        std::string ended_by;
        DROVER_TRY(node.body, list(depth + 1, ended_by));
        if (ended_by == "else") {
            DROVER_TRY(node.otherwise, list(depth + 1, ended_by));
        } else if (std::string nested; keyword(ended_by, "else", nested) && !nested.empty()) {
            DROVER_TRY(auto inner, action(nested, depth + 1));
            node.otherwise.push_back(std::move(inner));
            return node;  // the inner one has taken the {{end}}
        }
        if (ended_by != "end")
            return make_error(Code::InvalidArgument, "template: unexpected EOF, {{{{end}}}} is missing");
        return node;
    }

    std::vector<Piece> pieces_;
    size_t at_ = 0;
};

// ---- values
// --------------------------------------------------------------------------------------------------------------

bool truth(const Value& value) {
    switch (value.kind_case()) {
        case Value::kBoolValue:
            return value.bool_value();
        case Value::kIntValue:
            return value.int_value() != 0;
        case Value::kDoubleValue:
            return value.double_value() != 0;
        case Value::kStringValue:
            return !value.string_value().empty();
        case Value::kListValue:
            return !value.list_value().values().empty();
        case Value::kMapValue:
            return !value.map_value().fields().empty();
        case Value::kNumberText:
            return true;
        default:
            return false;
    }
}

// As Go's %v prints it.
std::string plain(const Value& value) {
    switch (value.kind_case()) {
        case Value::kStringValue:
            return value.string_value();
        case Value::kListValue: {
            std::vector<std::string> items;
            for (const auto& item : value.list_value().values()) items.push_back(plain(item));
            return "[" + join(items, " ") + "]";
        }
        case Value::kMapValue: {
            std::map<std::string, std::string> items;
            for (const auto& [key, item] : value.map_value().fields()) items[key] = plain(item);
            std::string out = "map[";
            for (const auto& [key, item] : items)
                out += fmt::format("{}{}:{}", out.size() > 4 ? " " : "", key, item);
            return out + "]";
        }
        case Value::kNullValue:
        case Value::KIND_NOT_SET:
            return "<nil>";
        default:
            return model::json::encode_value(value);
    }
}

Value text_value(std::string text) {
    Value value;
    value.set_string_value(std::move(text));
    return value;
}

Value bool_value(bool yes) {
    Value value;
    value.set_bool_value(yes);
    return value;
}

class Runner {
 public:
    Runner(const Value& root, std::string& out) : root_(root), out_(out) {}

    Status run(const std::vector<Node>& nodes, const Value& dot) {
        for (const auto& node : nodes) DROVER_CHECK(run_one(node, dot));
        return {};
    }

 private:
    Status run_one(const Node& node, const Value& dot) {
        if (out_.size() > kOutputBytesMax)
            return make_error(Code::ResourceExhausted, "template: the output is too long");
        if (node.kind == Node::Text) return out_ += node.text, Status();
        DROVER_TRY(auto value, pipeline(node.text, dot, 0));
        if (node.kind == Node::Print) return out_ += plain(value), Status();
        if (node.kind == Node::If) return run(truth(value) ? node.body : node.otherwise, dot);
        if (node.kind == Node::With) return truth(value) ? run(node.body, value) : run(node.otherwise, dot);
        if (!truth(value)) return run(node.otherwise, dot);
        if (value.kind_case() == Value::kListValue) {
            for (const auto& item : value.list_value().values()) DROVER_CHECK(run(node.body, item));
            return {};
        }
        if (value.kind_case() != Value::kMapValue)
            return make_error(Code::InvalidArgument, "template: range can't iterate over {}", plain(value));
        std::map<std::string, const Value*> sorted;
        for (const auto& [key, item] : value.map_value().fields()) sorted[key] = &item;
        for (const auto& [key, item] : sorted) DROVER_CHECK(run(node.body, *item));
        return {};
    }

    // Words, quoted strings and parenthesised groups of one command; '|' on its own separates commands.
    static Result<std::vector<std::string>> words(std::string_view text) {
        std::vector<std::string> out;
        for (size_t i = 0; i < text.size();) {
            if (std::isspace(static_cast<unsigned char>(text[i]))) {
                ++i;
                continue;
            }
            size_t start = i;
            int depth = 0;
            char quote = 0;
            for (; i < text.size(); ++i) {
                char c = text[i];
                if (quote) {
                    if (c == '\\' && quote == '"')
                        ++i;
                    else if (c == quote)
                        quote = 0;
                    continue;
                }
                if (c == '"' || c == '`')
                    quote = c;
                else if (c == '(')
                    ++depth;
                else if (c == ')')
                    --depth;
                else if (depth == 0 &&
                         (std::isspace(static_cast<unsigned char>(c)) || (c == '|' && i > start)))
                    break;
                else if (depth == 0 && c == '|') {
                    ++i;
                    break;
                }
            }
            if (quote || depth != 0)
                return make_error(Code::InvalidArgument, "template: unterminated string or parenthesis in {}",
                                  text);
            out.emplace_back(text.substr(start, std::min(i, text.size()) - start));
        }
        return out;
    }

    Result<Value> pipeline(std::string_view text, const Value& dot, int depth) {
        if (depth > kDepthMax) return make_error(Code::InvalidArgument, "template: nested too deeply");
        DROVER_TRY(auto all, words(text));
        if (all.empty()) return make_error(Code::InvalidArgument, "template: missing value for command");
        std::optional<Value> last;
        std::vector<std::string> command;
        all.emplace_back("|");
        for (auto& word : all) {
            if (word != "|") {
                command.push_back(std::move(word));
                continue;
            }
            DROVER_TRY(last, run_command(command, last, dot, depth));
            command.clear();
        }
        return *last;
    }

    Result<Value> run_command(const std::vector<std::string>& words, const std::optional<Value>& piped,
                              const Value& dot, int depth) {
        if (words.empty()) return make_error(Code::InvalidArgument, "template: missing value for command");
        std::vector<Value> args;
        for (size_t i = 1; i < words.size(); ++i) {
            DROVER_TRY(auto value, operand(words[i], dot, depth));
            args.push_back(std::move(value));
        }
        if (piped) args.push_back(*piped);
        bool is_name = std::isalpha(static_cast<unsigned char>(words[0][0])) && words[0] != "true" &&
                       words[0] != "false" && words[0] != "nil";
        if (is_name) return call(words[0], args);
        if (!args.empty())
            return make_error(Code::InvalidArgument, "template: can't give argument to non-function {}",
                              words[0]);
        return operand(words[0], dot, depth);
    }

    Result<Value> operand(const std::string& word, const Value& dot, int depth) {
        if (word[0] == '"') {
            auto parsed = model::json::parse_value(word);
            if (!parsed) return make_error(Code::InvalidArgument, "template: bad string {}", word);
            return *parsed;
        }
        if (word[0] == '`') return text_value(word.substr(1, word.size() - 2));
        if (word[0] == '(') {
            auto close = word.rfind(')');
            DROVER_TRY(auto inner, pipeline(std::string_view(word).substr(1, close - 1), dot, depth + 1));
            return fields(inner, word.substr(close + 1));
        }
        if (word[0] == '.') return fields(dot, word);
        if (word[0] == '$') return fields(root_, word.substr(1));
        if (word == "true" || word == "false") return bool_value(word == "true");
        if (word == "nil") return Value();
        if (auto number = parse_int(word)) {
            Value value;
            value.set_int_value(*number);
            return value;
        }
        return make_error(Code::InvalidArgument, "template: function \"{}\" not defined", word);
    }

    static Result<Value> fields(const Value& from, std::string_view path) {
        const Value* at = &from;
        for (const auto& name : split(path, '.')) {
            if (name.empty()) continue;
            if (at->kind_case() != Value::kMapValue)
                return make_error(
                    Code::InvalidArgument, "template: can't evaluate field {} in {}", name,
                    at->kind_case() == Value::kListValue ? "a list" : "a value that has no fields");
            const auto& fields = at->map_value().fields();
            auto it = fields.find(name);
            if (it == fields.end())
                return make_error(Code::InvalidArgument, "template: can't evaluate field {}", name);
            at = &it->second;
        }
        return *at;
    }

    static Result<Value> call(const std::string& name, const std::vector<Value>& args) {
        auto wrong = [&] {
            return make_error(Code::InvalidArgument, "template: wrong arguments for {}", name);
        };
        std::vector<std::string> texts;
        for (const auto& arg : args) texts.push_back(plain(arg));
        if (name == "print") return text_value(join(texts, ""));
        if (name == "println") return text_value(join(texts, " ") + "\n");
        if (name == "json" || name == "toJSON")
            return args.size() == 1 ? Result<Value>(text_value(model::json::encode_value(args[0]))) : wrong();
        if (name == "eq" || name == "ne")
            return args.size() == 2 ? Result<Value>(bool_value((texts[0] == texts[1]) == (name == "eq")))
                                    : wrong();
        if (name == "not") return args.size() == 1 ? Result<Value>(bool_value(!truth(args[0]))) : wrong();
        if (name == "and" || name == "or") {
            if (args.empty()) return wrong();
            for (const auto& arg : args)
                if (truth(arg) == (name == "or")) return arg;
            return args.back();
        }
        if (name == "len") return args.size() == 1 ? length(args[0]) : wrong();
        if (name == "index") return args.size() >= 2 ? index(args) : wrong();
        if (name == "printf") return args.empty() ? wrong() : print_format(texts, args);
        return make_error(Code::InvalidArgument, "template: function \"{}\" not defined", name);
    }

    static Result<Value> length(const Value& of) {
        Value value;
        if (of.kind_case() == Value::kListValue)
            value.set_int_value(of.list_value().values_size());
        else if (of.kind_case() == Value::kMapValue)
            value.set_int_value(static_cast<int64_t>(of.map_value().fields().size()));
        else if (of.kind_case() == Value::kStringValue)
            value.set_int_value(static_cast<int64_t>(of.string_value().size()));
        else if (!truth(of))
            value.set_int_value(0);
        else
            return make_error(Code::InvalidArgument, "template: len of {}", plain(of));
        return value;
    }

    static Result<Value> index(const std::vector<Value>& args) {
        Value at = args[0];
        for (size_t i = 1; i < args.size(); ++i) {
            if (at.kind_case() == Value::kListValue && args[i].kind_case() == Value::kIntValue) {
                auto position = args[i].int_value();
                if (position < 0 || position >= at.list_value().values_size())
                    return make_error(Code::InvalidArgument, "template: index out of range: {}", position);
                Value next = at.list_value().values(static_cast<int>(position));
                at = std::move(next);
            } else if (at.kind_case() == Value::kMapValue) {
                auto it = at.map_value().fields().find(plain(args[i]));
                Value next = it == at.map_value().fields().end() ? Value() : it->second;
                at = std::move(next);
            } else {
                return make_error(Code::InvalidArgument, "template: can't index {}", plain(at));
            }
        }
        return at;
    }

    static Result<Value> print_format(const std::vector<std::string>& texts, const std::vector<Value>& args) {
        std::string out;
        size_t next = 1;
        const auto& format = texts[0];
        for (size_t i = 0; i < format.size(); ++i) {
            if (format[i] != '%' || i + 1 == format.size()) {
                out += format[i];
                continue;
            }
            char verb = format[++i];
            if (verb == '%') {
                out += '%';
            } else if (next >= args.size()) {
                out += fmt::format("%!{}(MISSING)", verb);
            } else if (verb == 'q') {
                out += quoted(texts[next++]);
            } else if (verb == 's' || verb == 'd' || verb == 'v' || verb == 't') {
                out += texts[next++];
            } else {
                return make_error(Code::InvalidArgument,
                                  "template: printf: %{} is not supported: %s %d %v %q %t are", verb);
            }
        }
        return text_value(std::move(out));
    }

    const Value& root_;
    std::string& out_;
};

}  // namespace

Result<std::string> render_template(std::string_view text, const model::Value& data) {
    DROVER_TRY(auto pieces, cut(text));
    DROVER_TRY(auto nodes, Builder(std::move(pieces)).build());
    std::string out;
    DROVER_CHECK(Runner(data, out).run(nodes, data));
    return out;
}

}  // namespace drover::cli
