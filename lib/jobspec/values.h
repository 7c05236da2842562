// SPDX-License-Identifier: Apache-2.0
// HCL values <-> the model's free-form values. Only for lib/jobspec.
#pragma once
#include "hcl/value.h"
#include "model/fwd.h"

namespace drover::jobspec {

// `value` is wholly known. Whole numbers become integers, others doubles or, when those would lose digits,
// text.
void to_model(const hcl::Value& value, model::Value& out);

}  // namespace drover::jobspec
