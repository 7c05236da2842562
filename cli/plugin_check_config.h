// SPDX-License-Identifier: Apache-2.0
// The file of `drover plugin check -config`: the plugin's config block and the tasks to try it with, in HCL.
//
//   plugin { enabled = true }                     as in the agent's plugin "x" { config { } }
//   task "running" { config { ... } }             as in a job's task; runs until it is stopped
//   task "ending" { config { ... } exit_code = 3 stdout = "hello" user = "nobody" }
//   exec { command = ["/bin/echo", "hi"] stdout = "hi" }
#pragma once
#include <string>

#include "plugin-sdk/testing/suite.h"

namespace drover::cli {

// InvalidArgument: the diagnostics, one a line.
Result<sdk::testing::SuiteConfig> read_check_config(const std::string& path);
// An empty config block, decoded by the plugin's schema.
sdk::testing::ConfigSource empty_check_config();

}  // namespace drover::cli
