// SPDX-License-Identifier: Apache-2.0
// What may follow a term: .name, [key], .0, and the two splats.
#include <algorithm>

#include "hcl/native_parser.h"

namespace drover::hcl {

ExpressionPtr NativeParser::parse_steps(ExpressionPtr from) {
    while (from) {
        if (peek().kind == Tok::Dot)
            from = parse_dot(std::move(from));
        else if (peek().kind == Tok::OpenBracket)
            from = parse_bracket(std::move(from));
        else
            break;
    }
    return from;
}

namespace {

// A static step, added to a name's traversal where there is one.
ExpressionPtr add_step(const ExpressionPtr& from, TraversalStep step, const Range& whole,
                       std::string_view text, bool& too_deep) {
    if (const auto* variable = dynamic_cast<const ast::Variable*>(from.get())) {
        Traversal traversal = variable->traversal;
        too_deep = traversal.steps.size() >= kTreeDepthMax;
        traversal.steps.push_back(std::move(step));
        traversal.range = whole;
        traversal.text = std::string(text);
        return std::make_shared<const ast::Variable>(std::move(traversal));
    }
    return std::make_shared<const ast::Step>(from, std::move(step), whole);
}

}  // namespace

ExpressionPtr NativeParser::parse_dot(ExpressionPtr from) {
    Token dot = read();
    Token next = peek();
    if (next.kind == Tok::Star) return parse_attribute_splat(std::move(from), dot);
    if (next.kind == Tok::Number) return parse_legacy_index(std::move(from), dot);
    if (next.kind != Tok::Identifier) {
        if (report_bad_token(next)) return nullptr;
        return fail("Invalid attribute name", "An attribute name is required after a dot.", range(next));
    }
    read();
    TraversalStep step{
        TraversalStep::Kind::Attribute, std::string(next.text), {}, range(dot.start, next.end)};
    Pos start = from->range().start;
    bool too_deep = false;
    ExpressionPtr out = add_step(from, std::move(step), range(start, next.end),
                                 scanner_.text_between(start, next.end), too_deep);
    if (too_deep) return fail("Expression too complex", "This reference has too many steps.", out->range());
    return checked(std::move(out));
}

// x.0 and x.0.1: what old configurations write for x[0] and x[0][1].
ExpressionPtr NativeParser::parse_legacy_index(ExpressionPtr from, const Token& dot) {
    Token number = read();
    std::string_view text = number.text;
    while (from) {
        size_t end = std::min(text.find('.'), text.size());
        std::optional<Number> key = Number::parse(text.substr(0, end));
        if (!key || text.substr(0, end).find_first_not_of("0123456789") != std::string_view::npos ||
            end == 0) {
            return fail("Invalid legacy index syntax",
                        "When using the legacy index syntax, each step must be a whole number.",
                        range(number));
        }
        TraversalStep step{TraversalStep::Kind::Index, {}, Value(*key), range(dot.start, number.end)};
        Pos start = from->range().start;
        bool too_deep = false;
        from = add_step(from, std::move(step), range(start, number.end),
                        scanner_.text_between(start, number.end), too_deep);
        if (too_deep)
            return fail("Expression too complex", "This reference has too many steps.", from->range());
        from = checked(std::move(from));
        if (end == text.size()) break;
        text.remove_prefix(end + 1);
    }
    return from;
}

// x.*.a.b: only names (and legacy indexes) belong to what is done to each element.
ExpressionPtr NativeParser::parse_attribute_splat(ExpressionPtr from, const Token& dot) {
    Token star = read();
    Range marker = range(dot.start, star.end);
    ExpressionPtr each = std::make_shared<const ast::SplatItem>(marker);
    while (each && peek().kind == Tok::Dot) {
        Token next_dot = read();
        if (peek().kind == Tok::Star) {
            return fail(
                "Nested splat expression not allowed",
                "A splat expression (*) cannot be used inside another attribute-only splat expression.",
                range(peek()));
        }
        ahead_.reset();
        scanner_.reset(next_dot.start);
        each = parse_dot(std::move(each));
    }
    if (!each) return nullptr;
    Range whole = range(from->range().start, previous_end_);
    return make<ast::Splat>(std::move(from), std::move(each), std::move(marker), std::move(whole));
}

ExpressionPtr NativeParser::parse_bracket(ExpressionPtr from) {
    Token open = read();
    ++open_;
    ExpressionPtr key;
    Token close;
    {
        NewlineMode mode(*this, false);
        if (peek().kind == Tok::Star) {
            read();
            if (peek().kind != Tok::CloseBracket) {
                return fail("Missing close bracket on splat index",
                            "The star for a full splat operator must be immediately "
                            "followed by a closing bracket (\"]\").",
                            range(peek()));
            }
            close = read();
        } else {
            key = parse_expression();
            if (!key) return nullptr;
            if (peek().kind != Tok::CloseBracket) {
                if (report_bad_token(peek())) return nullptr;
                return fail("Missing close bracket on index",
                            "The index operator must end with a closing bracket (\"]\").", range(peek()));
            }
            close = read();
        }
    }
    --open_;
    Pos start = from->range().start;
    if (!key) {
        Range marker = range(open.start, close.end);
        Nested nested(*this);
        if (!nested.ok) return nullptr;
        ExpressionPtr each = parse_steps(std::make_shared<const ast::SplatItem>(marker));
        if (!each) return nullptr;
        return make<ast::Splat>(std::move(from), std::move(each), std::move(marker),
                                range(start, previous_end_));
    }
    std::optional<Value> fixed;
    if (const auto* value = dynamic_cast<const ast::Literal*>(key.get())) {
        if (value->value.kind() == Kind::Number) fixed = value->value;
    } else if (const auto* text = dynamic_cast<const ast::Template*>(key.get())) {
        if (std::optional<std::string> plain = text->literal_text()) fixed = Value(*plain);
    }
    if (!fixed) return make<ast::Index>(std::move(from), std::move(key), range(start, close.end));
    TraversalStep step{TraversalStep::Kind::Index, {}, *fixed, range(open.start, close.end)};
    bool too_deep = false;
    ExpressionPtr out = add_step(from, std::move(step), range(start, close.end),
                                 scanner_.text_between(start, close.end), too_deep);
    if (too_deep) return fail("Expression too complex", "This reference has too many steps.", out->range());
    return checked(std::move(out));
}

}  // namespace drover::hcl
