// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/diff.h"

namespace drover::agent {

AllocDiff diff_allocs(const std::map<std::string, uint64_t>& server,
                      const std::map<std::string, uint64_t>& running,
                      const std::map<std::string, uint64_t>& ignored) {
    AllocDiff diff;
    for (const auto& [id, index] : server) {
        if (const auto known = running.find(id); known != running.end()) {
            if (known->second < index) diff.fetch.push_back(id);
            continue;
        }
        const auto seen = ignored.find(id);
        if (seen == ignored.end() || seen->second < index) diff.fetch.push_back(id);
    }
    for (const auto& [id, index] : running) {
        if (!server.contains(id)) diff.remove.push_back(id);
    }
    return diff;
}

}  // namespace drover::agent
