// SPDX-License-Identifier: Apache-2.0
// Evaluation of names, operators, conditionals and calls. An error gives an unknown value, so that what is
// built on it stays silent and the user sees the first cause only.
#include <fmt/format.h>

#include "hcl/ast.h"
#include "hcl/convert.h"
#include "hcl/operations.h"

namespace drover::hcl {

const Value* EvalContext::find_variable(const std::string& name) const {
    for (const EvalContext* context = this; context; context = context->parent_) {
        auto found = context->variables.find(name);
        if (found != context->variables.end()) return &found->second;
    }
    return nullptr;
}

const Function* EvalContext::find_function(const std::string& name) const {
    for (const EvalContext* context = this; context; context = context->parent_) {
        if (!context->functions) continue;
        auto found = context->functions->find(name);
        if (found != context->functions->end()) return &found->second;
    }
    return nullptr;
}

std::vector<std::string> EvalContext::variable_names() const {
    std::vector<std::string> names;
    for (const EvalContext* context = this; context; context = context->parent_) {
        for (const auto& [name, unused] : context->variables) {
            if (name != ast::kSplatItem) names.push_back(name);
        }
    }
    return names;
}

std::vector<std::string> EvalContext::function_names() const {
    std::vector<std::string> names;
    for (const EvalContext* context = this; context; context = context->parent_) {
        if (!context->functions) continue;
        for (const auto& [name, unused] : *context->functions) names.push_back(name);
    }
    return names;
}

std::optional<Value> EvalContext::ask_unknown_root(const Traversal& traversal) const {
    for (const EvalContext* context = this; context; context = context->parent_) {
        if (context->unknown_root) return context->unknown_root(traversal);
    }
    return std::nullopt;
}

bool EvalContext::allows_variables() const {
    for (const EvalContext* context = this; context; context = context->parent_) {
        if (!context->variables_allowed) return false;
    }
    return true;
}

std::optional<Value> keep_literally(const Traversal& traversal) {
    return Value("${" + traversal.text + "}");
}

namespace ast {

Value Variable::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    const Value* root = context.find_variable(traversal.root());
    if (!root) {
        if (!context.allows_variables()) {
            diagnostics.error("Variables not allowed", "Variables may not be used here.", range());
            return Value::unknown();
        }
        if (std::optional<Value> answer = context.ask_unknown_root(traversal)) {
            return charge_value(context, *answer, range(), diagnostics) ? *answer : Value::unknown();
        }
        diagnostics.error("Unknown variable",
                          fmt::format("There is no variable named {}.{}", quote(traversal.root()),
                                      suggestion(traversal.root(), context.variable_names())),
                          traversal.steps.front().range, range());
        return Value::unknown();
    }
    Value value = *root;
    for (size_t i = 1; i < traversal.steps.size(); ++i) {
        size_t before = diagnostics.error_count();
        value = apply_step(value, traversal.steps[i], diagnostics);
        if (diagnostics.error_count() != before) return Value::unknown();
    }
    return value;
}

Value SplatItem::evaluate(const EvalContext& context, Diagnostics&) const {
    const Value* item = context.find_variable(kSplatItem);
    return item ? *item : Value::unknown();
}

Value Step::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    size_t before = diagnostics.error_count();
    Value value = source->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown();
    return apply_step(value, step, diagnostics);
}

Value Index::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    size_t before = diagnostics.error_count();
    Value value = source->evaluate(context, diagnostics);
    Value at = key->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown();
    return get_index(value, at, key->range(), diagnostics);
}

Value Conditional::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    size_t before = diagnostics.error_count();
    Value chosen = condition->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown();
    // Both are evaluated: the result's type must not depend on the condition. Only the chosen one may
    // complain.
    Diagnostics yes_said, no_said;
    Value if_yes = yes->evaluate(context, yes_said);
    Value if_no = no->evaluate(context, no_said);
    Type type = unify({if_yes.type(), if_no.type()});
    bool all_any = if_yes.type().is_any() || if_no.type().is_any();
    if (type.is_any() && !all_any) {
        diagnostics.error(
            "Inconsistent conditional result types",
            fmt::format(
                "The true and false result expressions must have consistent types. The 'true' value is "
                "{}, but the 'false' value is {}.",
                if_yes.type().friendly_name(), if_no.type().friendly_name()),
            range());
        return Value::unknown();
    }
    if (chosen.is_null()) {
        diagnostics.error("Null condition",
                          "The condition value is null. Conditions must either be true or false.",
                          condition->range());
        return Value::unknown();
    }
    Result<Value> as_bool = convert(chosen, Type::boolean());
    if (!as_bool) {
        diagnostics.error(
            "Incorrect condition type",
            fmt::format("The condition expression must be of type bool: {}.", as_bool.error().message()),
            condition->range());
        return Value::unknown();
    }
    if (!as_bool->is_known()) return Value::unknown(type);
    bool yes_wins = as_bool->as_bool();
    diagnostics.append(yes_wins ? std::move(yes_said) : std::move(no_said));
    if (diagnostics.error_count() != before) return Value::unknown(type);
    Result<Value> result = convert(yes_wins ? if_yes : if_no, type);
    if (result) return std::move(*result);
    diagnostics.error(
        "Inconsistent conditional result types",
        fmt::format("The chosen value cannot be converted to the common type: {}.", result.error().message()),
        range());
    return Value::unknown(type);
}

namespace {

Type operand_type(Operator op) {
    switch (op) {
        case Operator::Or:
        case Operator::And:
        case Operator::Not:
            return Type::boolean();
        case Operator::Equal:
        case Operator::NotEqual:
            return Type::any();
        default:
            return Type::number();
    }
}

Type result_type(Operator op) {
    switch (op) {
        case Operator::Add:
        case Operator::Subtract:
        case Operator::Multiply:
        case Operator::Divide:
        case Operator::Modulo:
        case Operator::Negate:
            return Type::number();
        default:
            return Type::boolean();
    }
}

// The operand as the operator needs it; unknown when it is, or (with an error) when it cannot be.
Value operand(Operator op, const ExpressionPtr& expression, std::string_view which,
              const EvalContext& context, Diagnostics& diagnostics) {
    size_t before = diagnostics.error_count();
    Value value = expression->evaluate(context, diagnostics);
    if (diagnostics.error_count() != before) return Value::unknown();
    if (operand_type(op).is_any()) return value;
    if (value.is_null()) {
        diagnostics.error("Operation failed", "Error during operation: argument must not be null.",
                          expression->range());
        return Value::unknown();
    }
    Result<Value> converted = convert(value, operand_type(op));
    if (converted) return std::move(*converted);
    diagnostics.error("Invalid operand",
                      fmt::format("Unsuitable value for {}operand: {}.", which, converted.error().message()),
                      expression->range());
    return Value::unknown();
}

std::optional<Value> equal(const Value& left, const Value& right) {
    if (left.is_null() && right.is_null()) return Value::boolean(true);
    if (!left.is_wholly_known() || !right.is_wholly_known()) return std::nullopt;
    return Value::boolean(left == right);
}

// nullopt: the result cannot be represented, or division by zero.
std::optional<Value> calculate(Operator op, const Number& a, const Number& b) {
    auto wrap = [](std::optional<Number> n) { return n ? std::optional<Value>(*n) : std::nullopt; };
    switch (op) {
        case Operator::Add:
            return wrap(Number::add(a, b));
        case Operator::Subtract:
            return wrap(Number::subtract(a, b));
        case Operator::Multiply:
            return wrap(Number::multiply(a, b));
        case Operator::Divide:
            return wrap(Number::divide(a, b));
        case Operator::Modulo:
            return wrap(Number::remainder(a, b));
        case Operator::Less:
            return Value::boolean(Number::compare(a, b) < 0);
        case Operator::LessEqual:
            return Value::boolean(Number::compare(a, b) <= 0);
        case Operator::Greater:
            return Value::boolean(Number::compare(a, b) > 0);
        default:
            return Value::boolean(Number::compare(a, b) >= 0);
    }
}

}  // namespace

Value Binary::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    size_t before = diagnostics.error_count();
    Value a = operand(op, left, "left ", context, diagnostics);
    Value b = operand(op, right, "right ", context, diagnostics);
    Value unknown = Value::unknown(result_type(op));
    if (diagnostics.error_count() != before) return unknown;
    if (op == Operator::Equal || op == Operator::NotEqual) {
        if (!context.budget().spend(std::min(a.weight(), b.weight()))) {
            report_exhausted(range(), diagnostics);
            return unknown;
        }
        std::optional<Value> same = equal(a, b);
        if (!same) return unknown;
        return Value::boolean(same->as_bool() == (op == Operator::Equal));
    }
    if (!a.is_known() || !b.is_known()) return unknown;
    if (op == Operator::And) return Value::boolean(a.as_bool() && b.as_bool());
    if (op == Operator::Or) return Value::boolean(a.as_bool() || b.as_bool());
    bool divides = op == Operator::Divide || op == Operator::Modulo;
    if (divides && b.as_number().is_zero()) {
        diagnostics.error("Division by zero", "Cannot divide by zero.", right->range(), range());
        return unknown;
    }
    // Long division costs the most; the digits of both sides say how much.
    context.budget().spend(a.as_number().digit_count() + b.as_number().digit_count() +
                           (divides ? kNumberDigitsMax : 0));
    std::optional<Value> result = calculate(op, a.as_number(), b.as_number());
    if (result) return *result;
    diagnostics.error("Operation failed", "Error during operation: the result is out of range.", range());
    return unknown;
}

Value Unary::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    Value value = ast::operand(op, operand, "unary ", context, diagnostics);
    if (!value.is_known()) return Value::unknown(result_type(op));
    return op == Operator::Not ? Value::boolean(!value.as_bool()) : Value(-value.as_number());
}

namespace {

struct Argument {
    Value value;
    Range range;
};

// The evaluated arguments, the last one spread out if so written; nullopt after an error.
std::optional<std::vector<Argument>> gather_arguments(const Call& call, const EvalContext& context,
                                                      Diagnostics& diagnostics, bool& unknown) {
    std::vector<Argument> out;
    size_t before = diagnostics.error_count();
    for (size_t i = 0; i < call.arguments.size(); ++i) {
        const Expression& expression = *call.arguments[i];
        Value value = expression.evaluate(context, diagnostics);
        if (!call.expand_last || i + 1 < call.arguments.size()) {
            out.push_back({std::move(value), expression.range()});
            continue;
        }
        if (diagnostics.error_count() != before) break;
        if (value.is_null()) {
            diagnostics.error("Invalid expanding argument value",
                              "The expanding argument (indicated by ...) must not be null.",
                              expression.range());
        } else if (!value.type().is_sequence() && !value.type().is_any()) {
            diagnostics.error(
                "Invalid expanding argument value",
                "The expanding argument (indicated by ...) must be of a tuple, list, or set type.",
                expression.range());
        } else if (!value.is_known()) {
            unknown = true;
        } else {
            for (const Value& element : value.as_sequence()) out.push_back({element, expression.range()});
        }
    }
    if (diagnostics.error_count() != before) return std::nullopt;
    return out;
}

bool right_count(const Call& call, const Function& function, size_t given, Diagnostics& diagnostics) {
    size_t wanted = function.parameters.size();
    if (given < wanted) {
        Range end = call.range();
        end.start = end.end;
        if (end.start.byte > 0 && end.start.column > 1) --end.start.byte, --end.start.column;
        diagnostics.error(
            "Not enough function arguments",
            fmt::format("Function {} expects {}{} argument(s). Missing value for {}.", quote(call.name),
                        function.variadic ? "at least " : "", wanted, quote(function.parameters[given].name)),
            end, call.range());
        return false;
    }
    if (given > wanted && !function.variadic) {
        Range extra = wanted < call.arguments.size() ? call.arguments[wanted]->range() : call.range();
        diagnostics.error("Too many function arguments",
                          fmt::format("Function {} expects only {} argument(s).", quote(call.name), wanted),
                          extra, call.range());
        return false;
    }
    return true;
}

// The argument as its parameter wants it; false after an error. Sets `unknown` when the call must not be
// made.
bool fit_argument(Argument& argument, const Parameter& parameter, const Call& call, bool& unknown,
                  Diagnostics& diagnostics) {
    auto refuse = [&](const std::string& why) {
        diagnostics.error("Invalid function argument",
                          fmt::format("Invalid value for {} parameter: {}.", quote(parameter.name), why),
                          argument.range, call.range());
        return false;
    };
    if (argument.value.is_null() && !(parameter.flags & Parameter::AllowNull))
        return refuse("argument must not be null");
    Result<Value> converted = convert(argument.value, parameter.type);
    if (!converted) return refuse(converted.error().message());
    argument.value = std::move(*converted);
    if (!argument.value.is_wholly_known() && !(parameter.flags & Parameter::AllowUnknown)) unknown = true;
    return true;
}

}  // namespace

Value Call::evaluate(const EvalContext& context, Diagnostics& diagnostics) const {
    if (!charge_step(context, *this, diagnostics)) return Value::unknown();
    const Function* function = context.find_function(name);
    if (!function) {
        std::vector<std::string> known = context.function_names();
        if (known.empty()) {
            diagnostics.error("Function calls not allowed", "Functions may not be called here.", range());
        } else {
            diagnostics.error(
                "Call to unknown function",
                fmt::format("There is no function named {}.{}", quote(name), suggestion(name, known)),
                name_range, range());
        }
        return Value::unknown();
    }
    auto failed = [&](CallError error, const Range& where) {
        if (!error.message.empty() && error.message.back() == '.') error.message.pop_back();  // one follows
        if (context.budget().exhausted()) {
            report_exhausted(range(), diagnostics);
            return Value::unknown(function->result);
        }
        if (error.argument) {
            const Parameter& parameter = *error.argument < function->parameters.size()
                                             ? function->parameters[*error.argument]
                                             : *function->variadic;
            diagnostics.error(
                "Invalid function argument",
                fmt::format("Invalid value for {} parameter: {}.", quote(parameter.name), error.message),
                where, range());
        } else {
            diagnostics.error("Error in function call",
                              fmt::format("Call to function {} failed: {}.", quote(name), error.message),
                              range());
        }
        return Value::unknown(function->result);
    };
    if (function->lazy_call) {
        std::vector<const Expression*> expressions;
        for (const ExpressionPtr& argument : arguments) expressions.push_back(argument.get());
        if (!right_count(*this, *function, expressions.size(), diagnostics)) return Value::unknown();
        CallResult result = function->lazy_call(expressions, context);
        return result ? *result : failed(result.error(), range());
    }
    bool unknown = false;
    std::optional<std::vector<Argument>> given = gather_arguments(*this, context, diagnostics, unknown);
    if (!given) return Value::unknown(function->result);
    if (!unknown && !right_count(*this, *function, given->size(), diagnostics))
        return Value::unknown(function->result);
    uint64_t weight = 0;
    for (size_t i = 0; i < given->size(); ++i) {
        bool fixed = i < function->parameters.size();
        if (!fixed && !function->variadic) break;
        const Parameter& parameter = fixed ? function->parameters[i] : *function->variadic;
        weight += (*given)[i].value.weight();
        if (!fit_argument((*given)[i], parameter, *this, unknown, diagnostics))
            return Value::unknown(function->result);
    }
    if (unknown) return Value::unknown(function->result);
    if (!context.budget().spend(weight)) {
        report_exhausted(range(), diagnostics);
        return Value::unknown(function->result);
    }
    std::vector<Value> values;
    for (const Argument& argument : *given) values.push_back(argument.value);
    CallResult result = function->call(values);
    if (!result) {
        std::optional<size_t> blamed = result.error().argument;
        return failed(result.error(), blamed && *blamed < given->size() ? (*given)[*blamed].range : range());
    }
    return charge_value(context, *result, range(), diagnostics) ? std::move(*result)
                                                                : Value::unknown(function->result);
}

}  // namespace ast
}  // namespace drover::hcl
