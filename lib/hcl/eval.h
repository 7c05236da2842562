// SPDX-License-Identifier: Apache-2.0
// What an expression is evaluated in: variables, functions, limits, and a hook for names nobody knows.
// A context must outlive the evaluations that use it; it is not changed by them (the budget is, so one thread
// per root).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hcl/diagnostic.h"
#include "hcl/limits.h"
#include "hcl/value.h"

namespace drover::hcl {

class Expression;
class EvalContext;

// One step of a traversal: the root name, `.name`, or `[key]`.
struct TraversalStep {
    enum class Kind { Root, Attribute, Index };
    Kind kind = Kind::Root;
    std::string name;  // Root, Attribute
    Value key;         // Index: a known string or number
    Range range;
};

// A static path like var.tags["a"][0].
struct Traversal {
    std::vector<TraversalStep> steps;
    Range range;       // whole
    std::string text;  // as written in the source: `attr.cpu.arch`

    const std::string& root() const { return steps.front().name; }
    bool is_relative() const { return steps.empty() || steps.front().kind != TraversalStep::Kind::Root; }
};

// How a function takes its arguments.
struct Parameter {
    std::string name;
    Type type;
    enum Flags : unsigned { None = 0, AllowNull = 1, AllowUnknown = 2 };
    unsigned flags = None;
};

// Why a call failed, and which argument is to blame (nullopt: the call as a whole).
struct CallError {
    std::string message;
    std::optional<size_t> argument;
};
using CallResult = tl::expected<Value, CallError>;

struct Function {
    std::vector<Parameter> parameters;
    std::optional<Parameter> variadic;  // takes zero or more further arguments
    // Arguments are converted to the parameters' types; nulls and unknowns only where allowed (a call with
    // another unknown argument gives unknown without being made). `result` is what an unknown result has as
    // type.
    std::function<CallResult(const std::vector<Value>& arguments)> call;
    Type result;
    // Instead of `call`: gets the expressions unevaluated (try, can, convert).
    std::function<CallResult(const std::vector<const Expression*>& arguments, const EvalContext& context)>
        lazy_call;
};
using Functions = std::map<std::string, Function>;

// Keeps evaluation of hostile input bounded: every step and every byte produced is paid from it.
class Budget {
 public:
    explicit Budget(uint64_t cost_max = kEvaluationCostMax) : left_(cost_max) {}
    // False when used up, from then on.
    bool spend(uint64_t cost) {
        if (left_ < cost)
            left_ = 0;
        else
            left_ -= cost;
        return left_ > 0;
    }
    bool exhausted() const { return left_ == 0; }

 private:
    uint64_t left_;
};

class EvalContext {
 public:
    EvalContext() : budget_(std::make_shared<Budget>()) {}
    // A context inside `parent`, which must outlive it: names found here hide the parent's.
    explicit EvalContext(const EvalContext* parent) : parent_(parent), budget_(parent->budget_) {}

    std::map<std::string, Value> variables;
    const Functions* functions = nullptr;  // not owned; nullptr: look in the parent

    // Asked for a traversal whose root no context knows. A returned value is the result of the whole
    // traversal; nullopt: the usual "Unknown variable" error. Job files answer with the text "${" +
    // traversal.text + "}".
    std::function<std::optional<Value>(const Traversal& traversal)> unknown_root;
    // Set where variables make no sense at all: the error is then "Variables not allowed".
    bool variables_allowed = true;

    const EvalContext* parent() const { return parent_; }
    Budget& budget() const { return *budget_; }
    void set_budget(uint64_t cost_max) { budget_ = std::make_shared<Budget>(cost_max); }

    const Value* find_variable(const std::string& name) const;
    const Function* find_function(const std::string& name) const;
    std::vector<std::string> variable_names() const;  // of this and all parents
    std::vector<std::string> function_names() const;
    std::optional<Value> ask_unknown_root(const Traversal& traversal) const;
    bool allows_variables() const;

 private:
    const EvalContext* parent_ = nullptr;
    std::shared_ptr<Budget> budget_;
};

// The hook of job files: a traversal nobody knows becomes its own source text, `${attr.cpu.arch}`.
std::optional<Value> keep_literally(const Traversal& traversal);

}  // namespace drover::hcl
