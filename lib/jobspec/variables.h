// SPDX-License-Identifier: Apache-2.0
// The `variable`, `variables` and `locals` blocks of a job file and the values given from outside. Only for
// lib/jobspec.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "hcl/body.h"
#include "hcl/eval.h"
#include "jobspec/job.h"

namespace drover::jobspec {

// All values as one object, for `var`. Variables without a value are unknown in it, and named in `unset`.
struct Variables {
    hcl::Value values;
    std::vector<std::string> unset;
};

// `functions` is what defaults and given values may call.
Variables resolve_variables(const std::vector<const hcl::Block*>& variable_blocks,
                            const std::vector<const hcl::Block*>& variables_blocks, const JobSource& source,
                            const hcl::Functions& functions, hcl::Diagnostics& diagnostics);

// Evaluates all locals in the order of their dependencies. `context` knows `var`; the result is for `local`.
hcl::Value resolve_locals(const std::vector<const hcl::Block*>& blocks, const hcl::EvalContext& context,
                          hcl::Diagnostics& diagnostics);

// Errors for each use of a variable that has no value, at its first place in `body` (as written, with blocks
// inside).
void report_unset(const hcl::Body& body, const std::vector<std::string>& unset,
                  hcl::Diagnostics& diagnostics);

}  // namespace drover::jobspec
