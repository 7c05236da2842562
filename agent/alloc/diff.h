// SPDX-License-Identifier: Apache-2.0
// What the server's list of a node's allocations asks of this client, against what it runs. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace drover::agent {

struct AllocDiff {
    std::vector<std::string> fetch;   // new here, or changed since: get the whole allocation
    std::vector<std::string> remove;  // the server has forgotten them

    friend bool operator==(const AllocDiff&, const AllocDiff&) = default;
};

// Both map an allocation's id to its AllocModifyIndex. `ignored` are those the client looked at and will not
// run (terminal when first seen, or collected here while the server still keeps them).
AllocDiff diff_allocs(const std::map<std::string, uint64_t>& server,
                      const std::map<std::string, uint64_t>& running,
                      const std::map<std::string, uint64_t>& ignored);

}  // namespace drover::agent
