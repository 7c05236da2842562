// SPDX-License-Identifier: Apache-2.0
// -self: the node of the agent that is asked.
#pragma once
#include "cli/support.h"

namespace drover::cli {

std::optional<std::string> own_node_id(Invocation& in, api::Client& client);

}  // namespace drover::cli
