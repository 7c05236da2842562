// SPDX-License-Identifier: Apache-2.0
// Signal names as job files write them ("SIGTERM", "TERM" and "15" are the same), for every driver of processes.
#pragma once
#include <string_view>

#include "base/result.h"

namespace drover::sdk {

// InvalidArgument naming the text.
Result<int> parse_signal(std::string_view name);

}  // namespace drover::sdk
