// SPDX-License-Identifier: Apache-2.0
// `drover agent`: the one place where the rooms are wired together. Called by the verb table.
#pragma once
#include <string>
#include <vector>

namespace drover::cli {

struct Streams;

// Runs until a signal ends it; args are everything after "agent". Returns the exit code: 0 after a graceful
// leave (leave_on_interrupt, leave_on_terminate, or -dev), 1 otherwise, as Nomad's agent does.
int run_agent(const std::vector<std::string>& args, Streams& streams);

// The help text of the verb.
std::string agent_help();

}  // namespace drover::cli
