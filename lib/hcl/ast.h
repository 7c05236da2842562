// SPDX-License-Identifier: Apache-2.0
// The kinds of expressions of the native syntax. Made by the parser, read by nobody else: callers use
// expression.h. Each node's evaluate() lives in evaluate.cpp (or templates.cpp, collections.cpp), its static
// views in ast.cpp.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "hcl/expression.h"

namespace drover::hcl::ast {

inline uint32_t depth_above(const ExpressionPtr& a) {
    return a ? a->depth() + 1 : 1;
}
inline uint32_t depth_above(const ExpressionPtr& a, const ExpressionPtr& b) {
    return std::max(depth_above(a), depth_above(b));
}
inline uint32_t depth_above(const std::vector<ExpressionPtr>& all) {
    uint32_t depth = 1;
    for (const ExpressionPtr& expression : all) depth = std::max(depth, depth_above(expression));
    return depth;
}

// The name under which a splat's current element is bound; no identifier can be this.
inline constexpr const char* kSplatItem = "*";

struct Literal : Expression {
    Literal(Value v, Range r) : Expression(std::move(r)), value(std::move(v)) {}
    Value evaluate(const EvalContext&, Diagnostics&) const override { return value; }
    void collect_variables(std::vector<Traversal>&) const override {}
    Value value;
};

// a.b["c"], from a root name.
struct Variable : Expression {
    Variable(Traversal t) : Expression(t.range), traversal(std::move(t)) {}  // NOLINT
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override { out.push_back(traversal); }
    std::optional<Traversal> as_traversal() const override { return traversal; }
    Traversal traversal;
};

// The element a splat is at.
struct SplatItem : Expression {
    explicit SplatItem(Range r) : Expression(std::move(r)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>&) const override {}
};

// source.name or source[literal].
struct Step : Expression {
    Step(ExpressionPtr s, TraversalStep t, Range r)
        : Expression(std::move(r), depth_above(s)), source(std::move(s)), step(std::move(t)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override { source->collect_variables(out); }
    ExpressionPtr source;
    TraversalStep step;
};

// source[key].
struct Index : Expression {
    Index(ExpressionPtr s, ExpressionPtr k, Range r)
        : Expression(std::move(r), depth_above(s, k)), source(std::move(s)), key(std::move(k)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    ExpressionPtr source, key;
};

// source.* or source[*], with `each` done to every element (bound as kSplatItem).
struct Splat : Expression {
    Splat(ExpressionPtr s, ExpressionPtr e, Range m, Range r)
        : Expression(std::move(r), depth_above(s, e)),
          source(std::move(s)),
          each(std::move(e)),
          marker(std::move(m)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    ExpressionPtr source, each;
    Range marker;
};

struct Call : Expression {
    Call(std::string n, Range nr, std::vector<ExpressionPtr> a, bool expand, Range r)
        : Expression(std::move(r), depth_above(a)),
          name(std::move(n)),
          name_range(std::move(nr)),
          arguments(std::move(a)),
          expand_last(expand) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    std::optional<StaticCall> as_call() const override { return StaticCall{name, name_range, arguments}; }
    std::string name;
    Range name_range;
    std::vector<ExpressionPtr> arguments;
    bool expand_last;  // f(list...)
};

struct Conditional : Expression {
    Conditional(ExpressionPtr c, ExpressionPtr y, ExpressionPtr n, Range r)
        : Expression(std::move(r), std::max(depth_above(c), depth_above(y, n))),
          condition(std::move(c)),
          yes(std::move(y)),
          no(std::move(n)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    ExpressionPtr condition, yes, no;
};

enum class Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Negate,
    Not,
};

struct Binary : Expression {
    Binary(Operator o, ExpressionPtr l, ExpressionPtr r, Range range)
        : Expression(std::move(range), depth_above(l, r)), op(o), left(std::move(l)), right(std::move(r)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    Operator op;
    ExpressionPtr left, right;
};

struct Unary : Expression {
    Unary(Operator o, ExpressionPtr x, Range range)
        : Expression(std::move(range), depth_above(x)), op(o), operand(std::move(x)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override { operand->collect_variables(out); }
    Operator op;
    ExpressionPtr operand;
};

// ( inner ): kept because it makes an object key an expression.
struct Parentheses : Expression {
    Parentheses(ExpressionPtr x, Range r) : Expression(std::move(r), depth_above(x)), inner(std::move(x)) {}
    Value evaluate(const EvalContext& c, Diagnostics& d) const override { return inner->evaluate(c, d); }
    void collect_variables(std::vector<Traversal>& out) const override { inner->collect_variables(out); }
    ExpressionPtr inner;
};

struct TupleCons : Expression {
    TupleCons(std::vector<ExpressionPtr> e, Range r)
        : Expression(std::move(r), depth_above(e)), elements(std::move(e)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    std::optional<std::vector<ExpressionPtr>> as_list() const override { return elements; }
    std::vector<ExpressionPtr> elements;
};

// A key in { key = value }: a bare name stands for itself.
struct ObjectKey : Expression {
    explicit ObjectKey(ExpressionPtr x) : Expression(x->range(), depth_above(x)), wrapped(std::move(x)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    std::optional<Traversal> as_traversal() const override { return wrapped->as_traversal(); }
    ExpressionPtr wrapped;
};

struct ObjectCons : Expression {
    using Items = std::vector<std::pair<ExpressionPtr, ExpressionPtr>>;
    ObjectCons(Items i, uint32_t depth, Range r) : Expression(std::move(r), depth), items(std::move(i)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    std::optional<Items> as_map() const override { return items; }
    Items items;
};

struct For : Expression {
    For(Range r, uint32_t depth) : Expression(std::move(r), depth) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    std::string key_name;  // may be empty
    std::string value_name;
    ExpressionPtr collection;
    ExpressionPtr key;  // null: makes a tuple
    ExpressionPtr value;
    ExpressionPtr condition;  // may be null
    bool group = false;
};

// Parts one after the other, as one string.
struct Template : Expression {
    Template(std::vector<ExpressionPtr> p, Range r)
        : Expression(std::move(r), depth_above(p)), parts(std::move(p)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override;
    // The text when there is nothing to evaluate.
    std::optional<std::string> literal_text() const;
    std::vector<ExpressionPtr> parts;
};

// "${x}": the value itself, whatever its type.
struct TemplateWrap : Expression {
    TemplateWrap(ExpressionPtr x, Range r) : Expression(std::move(r), depth_above(x)), inner(std::move(x)) {}
    Value evaluate(const EvalContext& c, Diagnostics& d) const override { return inner->evaluate(c, d); }
    void collect_variables(std::vector<Traversal>& out) const override { inner->collect_variables(out); }
    ExpressionPtr inner;
};

// The strings of a tuple, joined: what a %{ for } makes.
struct TemplateJoin : Expression {
    explicit TemplateJoin(ExpressionPtr x) : Expression(x->range(), depth_above(x)), tuple(std::move(x)) {}
    Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const override;
    void collect_variables(std::vector<Traversal>& out) const override { tuple->collect_variables(out); }
    ExpressionPtr tuple;
};

}  // namespace drover::hcl::ast
