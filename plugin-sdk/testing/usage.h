// SPDX-License-Identifier: Apache-2.0
// What a process holds, read from /proc: for the checks that look for growth. Private to the suite.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <set>

#include "base/result.h"

namespace drover::sdk::testing {

struct Usage {
    int64_t threads = 0;
    int64_t fds = 0;  // sockets included
    int64_t sockets = 0;
    int64_t private_bytes = 0;  // memory that no other process shares
};
Result<Usage> usage_of(pid_t pid);

// All processes below `root`, itself not included. Zombies are not counted.
std::set<pid_t> descendants(pid_t root);

}  // namespace drover::sdk::testing
