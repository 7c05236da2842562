// SPDX-License-Identifier: Apache-2.0
// main() of the CLI's tests: UTC, no settings of the user's shell, and no agent verb (its rooms are not
// linked here).
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/agent_main.h"
#include "cli/command.h"

namespace drover::cli {
int run_agent(const std::vector<std::string>&, Streams&) {
    return kExitError;
}
}  // namespace drover::cli

int main(int argc, char** argv) {
    ::setenv("TZ", "UTC", 1);
    for (const char* prefix : {"NOMAD_", "DROVER_"})
        for (const char* name : {"ADDR", "REGION", "NAMESPACE", "TOKEN", "HTTP_AUTH", "CLI_SHOW_HINTS"})
            ::unsetenv((std::string(prefix) + name).c_str());
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
