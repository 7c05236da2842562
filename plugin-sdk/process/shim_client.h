// SPDX-License-Identifier: Apache-2.0
// One task directory seen from the plugin: its records, its shim's socket, starting a shim in it. Stateless,
// blocking for as long as each call says; ProcessHost builds the rest on it.
#pragma once
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "base/sys/shim_wire.h"

namespace drover::sdk {

// The shim binary carried in this library, put into `state_dir`/.shim-<hash> unless it is there; several
// plugins may do so at once.
Result<std::string> materialise_shim(const std::string& state_dir);

// Reads `started` or `exit`. NotFound: no such file; DataLoss: not a record.
Result<shim::Record> read_record(int dir_fd, const char* name);

enum class ShimVerb { Run, Adopt };
// Starts a shim for the directory. The returned descriptor yields one Record (see await_record) or an end of
// file when the shim died. `pidfd` (or -1) is handed to an adopting shim.
Result<UniqueFd> spawn_shim(const std::string& shim, ShimVerb verb, const std::string& dir, int pidfd);
Result<shim::Record> await_record(int fd, int64_t timeout_ns);

// True while a shim lives in the directory (it holds the lock).
bool shim_alive(int dir_fd);
// Takes the lock that a living shim holds, making its file when missing: with it in hand no shim starts or
// adopts here. Unavailable when it is still held after the timeout.
Result<UniqueFd> lock_task_dir(int dir_fd, int64_t timeout_ns);
// Unavailable: nobody listens.
Result<UniqueFd> connect_shim(int dir_fd);
Status send_request(int fd, shim::FrameType type, const void* payload, uint32_t bytes, uint32_t id);
// Reads whole frames until the reply to `id`; Refused becomes FailedPrecondition (or what its errno says).
Result<shim::Record> await_reply(int fd, uint32_t id, int64_t timeout_ns);

}  // namespace drover::sdk
