// SPDX-License-Identifier: Apache-2.0
// Comparing JSON texts by meaning, for tests against recorded answers. Never used by product code.
#pragma once
#include <string>

namespace drover::testing {

// Every difference as one line `.path: want ..., got ...`; empty when both say the same. An integer equals
// the double of its value; the order of keys does not matter.
std::string json_differences(const std::string& want, const std::string& got);

// The text without nulls, zeros, empty strings, lists and objects, indented: what a person wants to review.
std::string json_brief(const std::string& text);

// A file below tests/golden/, which must exist.
std::string golden_text(const std::string& path);

}  // namespace drover::testing
