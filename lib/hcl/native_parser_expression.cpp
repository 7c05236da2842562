// SPDX-License-Identifier: Apache-2.0
// Expressions of the native syntax, by precedence: conditional, || && == < + *, unary, then terms with what
// follows them.
#include <fmt/format.h>

#include "hcl/native_parser.h"

namespace drover::hcl {

using ast::Operator;

namespace {

constexpr const char* kInvalidExpression = "Invalid expression";
constexpr const char* kInvalidFor = "Invalid 'for' expression";

struct BinaryOperator {
    Tok token;
    Operator op;
};
// Loosest first.
const std::vector<std::vector<BinaryOperator>> kLevels = {
    {{Tok::Or, Operator::Or}},
    {{Tok::And, Operator::And}},
    {{Tok::Equal, Operator::Equal}, {Tok::NotEqual, Operator::NotEqual}},
    {{Tok::Greater, Operator::Greater},
     {Tok::GreaterEqual, Operator::GreaterEqual},
     {Tok::Less, Operator::Less},
     {Tok::LessEqual, Operator::LessEqual}},
    {{Tok::Plus, Operator::Add}, {Tok::Minus, Operator::Subtract}},
    {{Tok::Star, Operator::Multiply}, {Tok::Slash, Operator::Divide}, {Tok::Percent, Operator::Modulo}},
};

}  // namespace

ExpressionPtr NativeParser::parse_whole_expression() {
    NewlineMode mode(*this, false);
    ExpressionPtr expression = parse_expression();
    if (!expression) return nullptr;
    Token rest = peek();
    if (rest.kind != Tok::End && !report_bad_token(rest)) {
        error("Extra characters after expression",
              "An expression was successfully parsed, but extra characters were found after it.",
              range(rest));
    }
    return expression;
}

ExpressionPtr NativeParser::parse_expression() {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    ExpressionPtr condition = parse_binary(0);
    if (!condition || peek().kind != Tok::Question) return condition;
    read();
    ExpressionPtr yes = parse_expression();
    if (!yes) return nullptr;
    if (peek().kind != Tok::Colon) {
        return fail(
            "Missing false expression in conditional",
            "The conditional operator (...?...:...) requires a false expression, delimited by a colon.",
            range(peek()));
    }
    read();
    ExpressionPtr no = parse_expression();
    if (!no) return nullptr;
    Range whole = Range::between(condition->range(), no->range());
    return make<ast::Conditional>(std::move(condition), std::move(yes), std::move(no), std::move(whole));
}

ExpressionPtr NativeParser::parse_binary(size_t level) {
    if (level == kLevels.size()) return parse_with_steps();
    ExpressionPtr left = parse_binary(level + 1);
    while (left) {
        const BinaryOperator* found = nullptr;
        for (const BinaryOperator& candidate : kLevels[level]) {
            if (peek().kind == candidate.token) found = &candidate;
        }
        if (!found) break;
        read();
        ExpressionPtr right = parse_binary(level + 1);
        if (!right) return nullptr;
        Range whole = Range::between(left->range(), right->range());
        left = make<ast::Binary>(found->op, std::move(left), std::move(right), std::move(whole));
    }
    return left;
}

ExpressionPtr NativeParser::parse_with_steps() {
    ExpressionPtr term = parse_term();
    return term ? parse_steps(std::move(term)) : nullptr;
}

ExpressionPtr NativeParser::parse_term() {
    Token token = peek();
    switch (token.kind) {
        case Tok::OpenParen:
            return parse_parentheses();
        case Tok::Number:
            return parse_number();
        case Tok::Identifier:
            return parse_name();
        case Tok::Quote:
            return parse_quoted();
        case Tok::Heredoc:
            return parse_heredoc();
        case Tok::Minus:
        case Tok::Bang:
            return parse_unary();
        case Tok::OpenBracket:
            return parse_tuple();
        case Tok::OpenBrace:
            return parse_object();
        case Tok::End:
            return fail("Missing expression",
                        "Expected the start of an expression, but found the end of the file.", range(token));
        case Tok::Less:
            if (scanner_.looking_at("<")) {
                return fail(
                    "Invalid expression",
                    "A heredoc starts with << or <<- and a marker, which must be followed by a newline.",
                    range(token));
            }
            [[fallthrough]];
        default:
            if (report_bad_token(token)) return nullptr;
            return fail(kInvalidExpression,
                        "Expected the start of an expression, but found an invalid expression token.",
                        range(token));
    }
}

ExpressionPtr NativeParser::parse_number() {
    Token token = read();
    std::optional<Number> number = Number::parse(token.text);
    if (!number)
        return fail("Invalid number literal", "Failed to recognize the value of this number literal.",
                    range(token));
    return std::make_shared<const ast::Literal>(Value(*number), range(token));
}

ExpressionPtr NativeParser::parse_name() {
    Token name = read();
    if (peek().kind == Tok::OpenParen) return parse_call(name);
    if (peek().kind == Tok::DoubleColon) {
        return fail("Invalid function name", "Functions here have no namespaces; write just the name.",
                    range(peek()));
    }
    if (name.text == "true") return std::make_shared<const ast::Literal>(Value::boolean(true), range(name));
    if (name.text == "false") return std::make_shared<const ast::Literal>(Value::boolean(false), range(name));
    if (name.text == "null") return std::make_shared<const ast::Literal>(Value::null(), range(name));
    Traversal traversal;
    traversal.steps.push_back({TraversalStep::Kind::Root, std::string(name.text), {}, range(name)});
    traversal.range = range(name);
    traversal.text = std::string(name.text);
    return std::make_shared<const ast::Variable>(std::move(traversal));
}

ExpressionPtr NativeParser::parse_call(const Token& name) {
    read();  // (
    ++open_;
    std::vector<ExpressionPtr> arguments;
    bool expand = false;
    {
        NewlineMode mode(*this, false);
        while (peek().kind != Tok::CloseParen) {
            ExpressionPtr argument = parse_expression();
            if (!argument) return nullptr;
            arguments.push_back(std::move(argument));
            if (peek().kind == Tok::Comma) {
                read();
                continue;
            }
            if (peek().kind == Tok::Ellipsis) {
                expand = true;
                read();
                if (peek().kind != Tok::CloseParen) {
                    return fail("Missing closing parenthesis",
                                "An expanded function argument (with ...) must be immediately followed by "
                                "closing parentheses.",
                                range(peek()));
                }
                break;
            }
            if (peek().kind == Tok::CloseParen) break;
            if (report_bad_token(peek())) return nullptr;
            return fail(peek().kind == Tok::End ? "Unterminated function call" : "Missing argument separator",
                        peek().kind == Tok::End
                            ? "There is no closing parenthesis for this function call before the end of the "
                              "file. This may be "
                              "caused by incorrect parenthesis nesting elsewhere in this file."
                            : "A comma is required to separate each function argument from the next.",
                        range(peek()));
        }
        read();
    }
    --open_;
    return make<ast::Call>(std::string(name.text), range(name), std::move(arguments), expand,
                           range(name.start, previous_end_));
}

ExpressionPtr NativeParser::parse_parentheses() {
    Token open = read();
    ++open_;
    ExpressionPtr inner;
    {
        NewlineMode mode(*this, false);
        inner = parse_expression();
        if (!inner) return nullptr;
        if (peek().kind != Tok::CloseParen) {
            if (report_bad_token(peek())) return nullptr;
            return fail("Unbalanced parentheses",
                        "Expected a closing parenthesis to terminate the expression.", range(peek()));
        }
        read();
    }
    --open_;
    return make<ast::Parentheses>(std::move(inner), range(open.start, previous_end_));
}

ExpressionPtr NativeParser::parse_unary() {
    Nested nested(*this);
    if (!nested.ok) return nullptr;
    Token token = read();
    ExpressionPtr operand = parse_with_steps();
    if (!operand) return nullptr;
    Range whole = Range::between(range(token), operand->range());
    return make<ast::Unary>(token.kind == Tok::Minus ? Operator::Negate : Operator::Not, std::move(operand),
                            std::move(whole));
}

bool NativeParser::expect_close(const Token& open, Tok close, const char* summary, const char* detail) {
    if (peek().kind == close) {
        read();
        --open_;
        return true;
    }
    if (report_bad_token(peek())) return false;
    if (peek().kind == Tok::End) {
        error("Unterminated expression",
              "There is no closing bracket for this expression before the end of the file. This may be "
              "caused by incorrect "
              "nesting elsewhere in this file.",
              range(open));
    } else {
        error(summary, detail, range(peek()));
    }
    return false;
}

ExpressionPtr NativeParser::parse_tuple() {
    Token open = read();
    ++open_;
    std::vector<ExpressionPtr> elements;
    {
        NewlineMode mode(*this, false);
        if (peek().kind == Tok::Identifier && peek().text == "for") return parse_for(open, Tok::CloseBracket);
        while (peek().kind != Tok::CloseBracket) {
            ExpressionPtr element = parse_expression();
            if (!element) return nullptr;
            elements.push_back(std::move(element));
            if (peek().kind != Tok::Comma) break;
            read();
        }
        if (!expect_close(open, Tok::CloseBracket, "Missing item separator",
                          "Expected a comma to mark the beginning of the next item.")) {
            return nullptr;
        }
    }
    return make<ast::TupleCons>(std::move(elements), range(open.start, previous_end_));
}

ExpressionPtr NativeParser::parse_object() {
    Token open = read();
    ++open_;
    ast::ObjectCons::Items items;
    uint32_t depth = 1;
    {
        NewlineMode mode(*this, true);
        while (peek().kind == Tok::Newline) read();
        if (peek().kind == Tok::Identifier && peek().text == "for") return parse_for(open, Tok::CloseBrace);
        while (true) {
            while (peek().kind == Tok::Newline) read();
            if (peek().kind == Tok::CloseBrace) break;
            if (!parse_object_item(items)) return nullptr;
            depth = std::max(depth, ast::depth_above(items.back().first, items.back().second));
            if (peek().kind == Tok::Comma || peek().kind == Tok::Newline)
                read();
            else
                break;
        }
        if (!expect_close(open, Tok::CloseBrace, "Missing attribute separator",
                          "Expected a newline or comma to mark the beginning of the next attribute.")) {
            return nullptr;
        }
    }
    return make<ast::ObjectCons>(std::move(items), depth, range(open.start, previous_end_));
}

bool NativeParser::parse_object_item(ast::ObjectCons::Items& items) {
    ExpressionPtr key = parse_expression();
    if (!key) return false;
    Token separator = peek();
    if (separator.kind != Tok::Assign && separator.kind != Tok::Colon) {
        if (report_bad_token(separator)) return false;
        if (separator.kind == Tok::Newline || separator.kind == Tok::Comma) {
            error("Missing attribute value",
                  "Expected an attribute value, introduced by an equals sign (\"=\").", range(separator));
        } else if (separator.kind == Tok::CloseBrace) {
            error("Missing attribute value",
                  "Expected an attribute value, introduced by an equals sign (\"=\"), before the closing "
                  "brace.",
                  range(separator));
        } else {
            error("Missing key/value separator",
                  "Expected an equals sign (\"=\") to mark the beginning of the attribute value.",
                  range(separator));
        }
        return false;
    }
    read();
    ExpressionPtr value = parse_expression();
    if (!value) return false;
    items.emplace_back(make<ast::ObjectKey>(std::move(key)), std::move(value));
    return items.back().first != nullptr;
}

// for k, v in collection :
bool NativeParser::parse_for_intro(ast::For& loop) {
    read();  // for
    auto name = [&](std::string& into) {
        if (peek().kind == Tok::Identifier) {
            into = std::string(read().text);
            return true;
        }
        if (!report_bad_token(peek())) {
            error(kInvalidFor, "For expression requires a variable name after 'for', and after a comma.",
                  range(peek()));
        }
        return false;
    };
    if (!name(loop.value_name)) return false;
    if (peek().kind == Tok::Comma) {
        read();
        loop.key_name = std::move(loop.value_name);
        if (!name(loop.value_name)) return false;
    }
    if (peek().kind != Tok::Identifier || peek().text != "in") {
        error(kInvalidFor, "For expression requires the 'in' keyword after its name declarations.",
              range(peek()));
        return false;
    }
    read();
    loop.collection = parse_expression();
    if (!loop.collection) return false;
    if (peek().kind != Tok::Colon) {
        if (!report_bad_token(peek())) {
            error(kInvalidFor, "For expression requires a colon after the collection expression.",
                  range(peek()));
        }
        return false;
    }
    read();
    return true;
}

ExpressionPtr NativeParser::parse_for(const Token& open, Tok close) {
    NewlineMode mode(*this, false);
    ast::For loop({}, 1);
    if (!parse_for_intro(loop)) return nullptr;
    loop.value = parse_expression();
    if (!loop.value) return nullptr;
    if (peek().kind == Tok::FatArrow) {
        if (close == Tok::CloseBracket) {
            return fail_here(kInvalidFor, "Key expression is not valid when building a tuple.");
        }
        read();
        loop.key = std::move(loop.value);
        loop.value = parse_expression();
        if (!loop.value) return nullptr;
    } else if (close == Tok::CloseBrace) {
        return fail_here(kInvalidFor, "Key expression is required when building an object.");
    }
    if (peek().kind == Tok::Ellipsis) {
        if (!loop.key)
            return fail_here(kInvalidFor, "Grouping ellipsis (...) cannot be used when building a tuple.");
        read();
        loop.group = true;
    }
    if (peek().kind == Tok::Identifier && peek().text == "if") {
        read();
        loop.condition = parse_expression();
        if (!loop.condition) return nullptr;
    }
    if (!expect_close(open, close, kInvalidFor, "Extra characters after the end of the 'for' expression."))
        return nullptr;
    uint32_t depth =
        std::max({ast::depth_above(loop.collection, loop.value), ast::depth_above(loop.key, loop.condition)});
    auto made = std::make_shared<ast::For>(range(open.start, previous_end_), depth);
    made->key_name = std::move(loop.key_name);
    made->value_name = std::move(loop.value_name);
    made->collection = std::move(loop.collection);
    made->key = std::move(loop.key);
    made->value = std::move(loop.value);
    made->condition = std::move(loop.condition);
    made->group = loop.group;
    return checked(std::move(made));
}

}  // namespace drover::hcl
