// SPDX-License-Identifier: Apache-2.0
// `drover agent`: the one place that wires the rooms together. Called from the verb table with everything after the
// verb; parses its own flags, runs until a signal, and returns the exit code of cli.md (0 after a graceful leave).
#pragma once
#include <string>
#include <vector>

#include "cli/command.h"

namespace drover::cli {

int run_agent(const std::vector<std::string>& args, Streams& streams);

}  // namespace drover::cli
