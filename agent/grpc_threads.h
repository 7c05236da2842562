// SPDX-License-Identifier: Apache-2.0
// The threads on which gRPC runs callbacks. Whoever makes a channel in the agent calls this first.
#pragma once

namespace drover::agent {

// From the first call on, gRPC's callback threads live as long as the process. Without this gRPC joins them
// when the last channel is destroyed, on the thread that destroys it; and as each open call holds its
// channel, that thread is often one of them, at the end of a callback: it would join itself and go on with a
// freed queue. Any thread.
void keep_grpc_threads();

}  // namespace drover::agent
