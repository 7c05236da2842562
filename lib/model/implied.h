// SPDX-License-Identifier: Apache-2.0
// The constraints that a job's use of features implies, appended to its groups where users can see them.
// Called by canonicalize(); idempotent.
#pragma once
#include "model/fwd.h"

namespace drover::model {

void add_implied_constraints(Job& job);

}  // namespace drover::model
