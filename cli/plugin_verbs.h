// SPDX-License-Identifier: Apache-2.0
// The table of plugins, which plugin status and node status -verbose share.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace drover::model {
class Value;
}

namespace drover::cli {

// The driver and device plugins in the answer of /v1/plugins; verbose: with versions, processes and files.
std::string plugins_table(const std::vector<model::Value>& plugins, bool verbose, int64_t now_ns);

}  // namespace drover::cli
