// SPDX-License-Identifier: Apache-2.0
// Expression: what stands right of `=`. Native syntax and JSON both make them; the kinds of the native syntax
// tree are in ast.h, which callers do not need. Immutable, shared by pointer, safe to read from several
// threads.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hcl/diagnostic.h"
#include "hcl/eval.h"

namespace drover::hcl {

class Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

// name(arguments...) seen without evaluating it.
struct StaticCall {
    std::string name;
    Range name_range;
    std::vector<ExpressionPtr> arguments;
};

class Expression {
 public:
    virtual ~Expression() = default;

    const Range& range() const { return range_; }

    // The value, or unknown (with errors added to `diagnostics`) when there is none. Never throws.
    virtual Value evaluate(const EvalContext& context, Diagnostics& diagnostics) const = 0;

    // Every variable traversal used, free of those a `for` inside binds.
    virtual void collect_variables(std::vector<Traversal>& out) const = 0;
    std::vector<Traversal> variables() const;

    // Static views, without evaluating; nullopt when the expression is not of that form.
    virtual std::optional<Traversal> as_traversal() const { return std::nullopt; }
    virtual std::optional<StaticCall> as_call() const { return std::nullopt; }
    virtual std::optional<std::vector<ExpressionPtr>> as_list() const { return std::nullopt; }
    virtual std::optional<std::vector<std::pair<ExpressionPtr, ExpressionPtr>>> as_map() const {
        return std::nullopt;
    }
    // The identifier when it is just one: `string` in a type expression.
    std::optional<std::string> as_keyword() const;

    // How deep the tree below is; the parser refuses more than kTreeDepthMax, so that recursion over it is
    // safe.
    uint32_t depth() const { return depth_; }

 protected:
    explicit Expression(Range range, uint32_t depth = 1) : range_(std::move(range)), depth_(depth) {}

 private:
    Range range_;
    uint32_t depth_ = 1;
};

// A fixed value, for defaults and tests.
ExpressionPtr literal(Value value, Range range = {});

// `list(object({a=string}))` as a Type. Errors: "Invalid type specification".
Type type_from_expression(const Expression& expression, Diagnostics& diagnostics);

// Converts and reports: "Incorrect attribute value type" with `Inappropriate value for attribute "x": ...` at
// the expression; unknown of `wanted` on error.
Value evaluate_as(const Expression& expression, const EvalContext& context, const Type& wanted,
                  const std::string& attribute_name, Diagnostics& diagnostics);

}  // namespace drover::hcl
