// SPDX-License-Identifier: Apache-2.0
// Golden tests: files of text in, text out. Each file holds cases:
//
//   command [argument...]
//   input, any number of lines
//   ----
//   output
//   <empty line>
//
// Lines that start with "# " between cases are comments. Where the input or the output has empty lines or
// dashes of its own, both are fenced: the line after the command is "----8<----", and the same line stands
// after the input and after the output. With --rewrite the outputs in the file are replaced by what the
// function gives; the diff is then reviewed. Used by test binaries of several rooms; never by product code.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace drover::testing {

struct GoldenCase {
    std::string command;
    std::vector<std::string> arguments;
    std::string input;
    std::string expected;
    std::string place;  // file:line
    bool fenced = false;
};

// What the command makes of its input.
using GoldenFunction = std::function<std::string(const GoldenCase&)>;

// Runs every case of every *.txt in `directory` (relative to the source tree) as gtest expectations; a
// directory without cases is a failure. To be called from one TEST; looks for --rewrite itself (call
// golden_init in main).
void run_golden_files(const std::string& directory, const GoldenFunction& function);

// For the test's own main(): takes --rewrite out of the arguments. Environment DROVER_GOLDEN_REWRITE=1 does
// the same, for binaries with gtest's main.
void golden_init(int* argc, char** argv);

}  // namespace drover::testing
