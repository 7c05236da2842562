// SPDX-License-Identifier: Apache-2.0
// Who this client is across restarts: <data_dir>/client/{client-id,secret-id}, the lock that keeps a second
// agent out, and whether the machine was rebooted since. Used by agent.cpp only.
#pragma once
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace drover::agent {

struct Identity {
    std::string node_id;
    std::string secret_id;
};

// Reads both files, or makes them (durably, 0600). A file without a UUID is an error naming it.
Result<Identity> load_identity(const std::string& client_dir);

// Held as long as the descriptor is open; FailedPrecondition when another agent has it.
Result<UniqueFd> lock_directory(const std::string& client_dir);

// The kernel's boot id; from the file that DROVER_BOOT_ID_FILE names when it is set (tests).
Result<std::string> boot_id();

}  // namespace drover::agent
