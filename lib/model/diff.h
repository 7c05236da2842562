// SPDX-License-Identifier: Apache-2.0
// What `job plan` and `job history -p` show: the difference of two jobs, by field and block. Pure.
#pragma once
#include "model/fwd.h"

namespace drover::model {

// Either side may be null (Added, Deleted). `contextual`: unchanged fields of changed blocks are listed too,
// as Type None.
JobDiff diff_jobs(const Job* before, const Job* after, bool contextual);

// Adds "forces create", "forces in-place update", "forces create/destroy update" and the groups' Updates
// counts.
void annotate_diff(JobDiff& diff, const PlanAnnotations& annotations);

}  // namespace drover::model
