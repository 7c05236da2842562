// SPDX-License-Identifier: Apache-2.0
// Go-style flags: -x, --x, -x=value, -x value; parsing stops at the first argument that is none, or at "--".
// And the help text of a command, made from its row of the verb table.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"

namespace drover::cli {

// The flags of every command that talks to an agent.
const std::vector<Flag>& general_flags();

class FlagParser {
 public:
    // Fills `invocation` from what follows the command's name. InvalidArgument with Go's texts. `help` is set
    // when -h, -help or --help was met (then the rest is not looked at).
    static Status parse(const std::vector<std::string>& args, Invocation& invocation, bool& help);
};

std::string command_help(const Command& command);

}  // namespace drover::cli
