// SPDX-License-Identifier: Apache-2.0
// Every rule a job must keep, with the texts that Nomad's users know. Called by the API (validate, plan,
// register) on a canonicalized job. Pure: whether namespaces, node pools and regions exist is the server's
// question.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "model/fwd.h"

namespace drover::model {

struct ValidateOptions {
    int64_t priority_max = 100;
    int64_t count_max = 50000;  // summed over the groups
};

// The top-level errors, each with its nested ones; empty when the job is fine.
std::vector<std::string> validation_errors(const Job& job, const ValidateOptions& options = {});

// InvalidArgument with the text `N errors occurred:\n\t* ...\n\n`.
Status validate(const Job& job, const ValidateOptions& options = {});

// `N warning(s):\n\n* ...`, empty when there is nothing to say. May be called before and after
// canonicalize(): what is deprecated is seen either way.
std::vector<std::string> job_warnings(const Job& job);
std::string format_warnings(const std::vector<std::string>& warnings);

// go-multierror's list text, and its single form "1 error occurred:\n\t* ...\n\n".
std::string format_errors(const std::vector<std::string>& errors);

}  // namespace drover::model
