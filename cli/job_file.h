// SPDX-License-Identifier: Apache-2.0
// Reading a job file for run, plan and validate: HCL, its JSON variant or API JSON (-json), from a path or
// "-" (stdin), with -var, -var-file and NOMAD_VAR_*. The flags are those that the three verbs share.
#pragma once
#include <optional>
#include <string>

#include "cli/support.h"

namespace drover::model {
class Job;
class JobSubmission;
}  // namespace drover::model

namespace drover::cli {

// Flags that a verb declares to take part.
std::vector<Flag> job_file_flags();

// The error text is what follows "Error getting job struct: ".
Status read_job_file(Invocation& in, const std::string& path, model::Job& job,
                     model::JobSubmission& submission);

// -namespace or the environment, when the job does not say its own; the query parameters for requests about
// it.
api::QueryParams job_scope(const model::Job& job, const api::Client& client);

}  // namespace drover::cli
