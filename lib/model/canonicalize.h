// SPDX-License-Identifier: Apache-2.0
// Fills in what a job file leaves out. Called by the API on submitted jobs and by tests; idempotent; never
// refuses anything (that is validate.h).
#pragma once
#include <string>

#include "model/fwd.h"

namespace drover::model {

// The first layer: what Nomad's api package fills in (`/v1/jobs/parse` with Canonicalize).
void canonicalize_api(Job& job);

struct CanonicalizeOptions {
    std::string node_pool = "default";  // of the namespace
    int64_t priority_default = 50;
};

// Both layers: the job as it is stored. Datacenters, node pool, update and reschedule policies by job type,
// restart policies of tasks, ports, resources, the default identity, implied constraints.
void canonicalize(Job& job, const CanonicalizeOptions& options = {});

}  // namespace drover::model
