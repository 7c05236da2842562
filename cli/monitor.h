// SPDX-License-Identifier: Apache-2.0
// Following an evaluation, and the deployment it belongs to, until they are done: what job run, stop, eval,
// revert and alloc stop show. Lines are "    <time>: ..." with "==> <time>: ..." for the turning points.
#pragma once
#include <string>

#include "cli/support.h"

namespace drover::cli {

// 0 everything was placed (and the deployment succeeded), 1 an error or a failed deployment, 2 not everything
// was placed.
int monitor_eval(Invocation& in, api::Client& client, const std::string& eval_id);

// Shows the deployment at each change until it ends; its last status, or an error. On a terminal the block is
// redrawn. `line_prefix` stands before the blank line that separates the blocks.
Result<std::string> monitor_deployment(Invocation& in, api::Client& client, const std::string& deployment_id,
                                       std::string_view line_prefix);

}  // namespace drover::cli
