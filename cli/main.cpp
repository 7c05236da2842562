// SPDX-License-Identifier: Apache-2.0
// The drover binary: hands argv to the verb table. No logic of its own.
#include <csignal>

#include "cli/command.h"

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    auto streams = drover::cli::process_streams();
    return drover::cli::run_command_line({argv + 1, argv + argc}, streams);
}
