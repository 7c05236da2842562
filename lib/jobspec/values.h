// SPDX-License-Identifier: Apache-2.0
// HCL values <-> the model's free-form values. Only for lib/jobspec.
#pragma once
#include "hcl/value.h"
#include "model/fwd.h"

namespace drover::jobspec {

// InLists: an object becomes a list with that one object, unless it is an element of a list already. So
// Nomad's free-form bodies have always looked like to drivers and in the API.
enum class Objects { Plain, InLists };

// `value` is wholly known. Whole numbers become integers, others doubles or, when those would lose digits,
// text.
void to_model(const hcl::Value& value, Objects objects, model::Value& out);

}  // namespace drover::jobspec
