// SPDX-License-Identifier: Apache-2.0
// The socket to a plugin, dialled once. Called by plugin_rpc.cpp; blocks for a local connect, a second at
// most.
#pragma once
#include "agent/host/handshake.h"
#include "base/fd.h"
#include "base/result.h"

namespace drover::agent {

// Connected and non-blocking.
Result<UniqueFd> dial_plugin(const Handshake& address);

}  // namespace drover::agent
