// SPDX-License-Identifier: Apache-2.0
// One command onto one state: the whole meaning of the log. Pure and deterministic. Called on the apply
// thread by fsm.cpp, and on private copies of the state by the plan applier (what a plan not yet committed
// will do).
#pragma once
#include "base/result.h"
#include "server-lite/fsm/state_writer.h"

namespace drover::cmd {
class Command;
}

namespace drover::server {

// Changes nothing when it answers an error: FailedPrecondition (check-index), NotFound, Aborted
// (compare-and-set), Unimplemented (a command of a newer version).
Status apply_command(State& state, uint64_t index, const cmd::Command& command, Effects& effects);

}  // namespace drover::server
