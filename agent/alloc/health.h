// SPDX-License-Identifier: Apache-2.0
// Whether an allocation has become healthy, for deployments and migrations. Pure: judged from the tasks'
// states and the time; alloc_runner asks again when something changed or next_at_ns has come.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/alloc/coordinator.h"

namespace drover::agent {

struct HealthRules {
    int64_t min_healthy_ns = 10'000'000'000;
    int64_t deadline_ns = 300'000'000'000;
};

struct HealthView {
    TaskView task;
    int64_t started_at_ns = 0;  // of the present run: a restart begins anew
};

struct HealthVerdict {
    std::optional<bool> healthy;  // none: not known yet
    int64_t next_at_ns = 0;       // when to ask again, without a change
    std::string why;              // when unhealthy

    friend bool operator==(const HealthVerdict&, const HealthVerdict&) = default;
};

HealthVerdict assess_health(const HealthRules& rules, const std::vector<HealthView>& tasks,
                            int64_t watched_since_ns, int64_t now_ns);

}  // namespace drover::agent
