// SPDX-License-Identifier: Apache-2.0
// The WebSocket end of `alloc exec` on the node's agent: frames (exec_frames.h) to and from an ExecSession.
// Errors end it by a close frame with their text; after the exit code the connection is closed without one,
// as Nomad's clients expect. When the person's end is gone the session is cancelled, and the program with it.
#pragma once
#include <functional>
#include <memory>

#include "api/exchange.h"
#include "ports/exec_session.h"

namespace drover::api {

using OpenExec = std::function<Result<std::unique_ptr<ports::ExecSession>>()>;

// Answers the exchange: by 400 when it is no WebSocket request, else by becoming one. `open` runs on the
// blocking pool.
void serve_exec(const ExchangePtr& exchange, bool tty, OpenExec open);

}  // namespace drover::api
