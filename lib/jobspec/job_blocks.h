// SPDX-License-Identifier: Apache-2.0
// What job files have that reflection alone cannot do: short forms of constraints, ports sorted by kind,
// blocks inherited by tasks, and the few defaults that belong to the parser. Only for lib/jobspec.
#pragma once
#include "hcl/body.h"
#include "hcl/eval.h"
#include "jobspec/decode.h"
#include "model/fwd.h"

namespace drover::jobspec {

// Fills `job` from the body of a `job` block whose dynamic blocks are expanded.
void decode_job(const hcl::Body& body, const hcl::EvalContext& context, model::Job& job,
                hcl::Diagnostics& diagnostics);

}  // namespace drover::jobspec
