// SPDX-License-Identifier: Apache-2.0
// What allocations use and nodes have, in comparable numbers; how well it fits. Shared by the scheduler,
// the plan applier and the API, so that they cannot disagree. Pure.
#pragma once
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/fwd.h"

namespace drover::model {

struct Comparable {
    int64_t cpu = 0;        // MHz
    int64_t memory_mb = 0;  // with secrets
    int64_t memory_max_mb = 0;
    int64_t disk_mb = 0;
    std::set<uint32_t> cores;  // reserved core ids

    void add(const Comparable& other);
    void subtract(const Comparable& other);
    // Empty when `other` fits inside, else the first exhausted dimension: "cores", "cpu", "memory", "disk".
    std::string_view exhausted_by(const Comparable& other) const;
    friend bool operator==(const Comparable&, const Comparable&) = default;
};

// An allocation's use over its lifecycle: max(main + poststart + sidecars, prestart, poststop); tasks with
// reserved cores always count.
Comparable comparable(const AllocatedResources& resources);
Comparable comparable(const Allocation& alloc);
// Capacity less what the node keeps for itself.
Comparable available(const Node& node);

// What placing one allocation of `group` would take, before ports, devices and cores are chosen.
AllocatedResources ask_of(const TaskGroup& group, bool memory_oversubscription);

// Scores in 0..1 of a node of which `used` (the candidate included) is taken: full is good, or empty is good.
double score_binpack(const Comparable& available, const Comparable& used);
double score_spread(const Comparable& available, const Comparable& used);

// "80,443,8000-8010" -> the ports; false when malformed (what was read until then is in `ports`).
bool parse_port_ranges(std::string_view text, std::vector<uint16_t>& ports);

}  // namespace drover::model
