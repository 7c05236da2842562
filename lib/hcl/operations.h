// SPDX-License-Identifier: Apache-2.0
// What can be done with values where expressions meet them: attributes, indexes, iteration, payment of the
// budget. Used by evaluation, JSON expressions, dynamic blocks and functions. Pure.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "hcl/eval.h"
#include "hcl/expression.h"

namespace drover::hcl {

// value.name; unknown of any type after an error.
Value get_attribute(const Value& value, const std::string& name, const Range& range,
                    Diagnostics& diagnostics);
// value[key].
Value get_index(const Value& value, const Value& key, const Range& range, Diagnostics& diagnostics);
Value apply_step(const Value& value, const TraversalStep& step, Diagnostics& diagnostics);
bool has_index(const Value& value, const Value& key);

// Keys and values of a list, set, tuple (keys are numbers, or the elements of a set), map or object.
// The value must be iterable and known.
bool is_iterable(const Type& type);
std::vector<std::pair<Value, Value>> iterate(const Value& value);

// Pays for one step of evaluation, or for a value just made; false, with an error, when the
// context's budget is used up or the value is nested too deeply.
bool charge_step(const EvalContext& context, const Expression& expression, Diagnostics& diagnostics);
bool charge_value(const EvalContext& context, const Value& value, const Range& range,
                  Diagnostics& diagnostics);

// The error of a used up budget, once in `diagnostics`.
void report_exhausted(const Range& range, Diagnostics& diagnostics);

// `Did you mean "x"?` with a space before it, or nothing.
std::string suggestion(const std::string& given, const std::vector<std::string>& known);

}  // namespace drover::hcl
