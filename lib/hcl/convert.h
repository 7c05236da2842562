// SPDX-License-Identifier: Apache-2.0
// Conversion of values between types, as HCL's callers (variables, attributes, operators, plugins' specs)
// expect it.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "hcl/value.h"

namespace drover::hcl {

// The value as `wanted`, or InvalidArgument with a reason like "a number is required", `attribute "a" is
// required`, "element 2: a bool is required". Strings that hold numbers or bools convert; bools and numbers
// become strings; tuples become lists and sets; objects become maps and narrower objects; no scalar becomes a
// collection.
Result<Value> convert(const Value& value, const Type& wanted);

// The one type all can be converted to, or any when there is none (any with an empty list).
Type unify(const std::vector<Type>& types);

}  // namespace drover::hcl
