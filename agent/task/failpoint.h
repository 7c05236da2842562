// SPDX-License-Identifier: Apache-2.0
// Named places where the agent kills itself with SIGKILL, for tests/restart: DROVER_FAILPOINT=name, or name:N
// for the N-th time the place is passed. Always compiled in; one load of a flag when the variable is not set.
// The names: alloc_stored, dirs_built, before_intent, after_intent, start_sent, after_start, after_handle,
// after_exit, exit_stored, logs_flushed, after_destroy, stop_sent, before_ack, alloc_destroyed.
#pragma once

namespace drover::agent {

extern const bool failpoint_armed;
void failpoint_hit(const char* name);

inline void failpoint(const char* name) {
    if (failpoint_armed) failpoint_hit(name);
}

}  // namespace drover::agent
