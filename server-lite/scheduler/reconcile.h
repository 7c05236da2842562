// SPDX-License-Identifier: Apache-2.0
// The reconciler: what a service or batch job wants against what it has, as lists of what to do. Knows no
// nodes' room: the generic scheduler places. Pure.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "proto/raft/command.pb.h"
#include "server-lite/scheduler/place.h"

namespace drover::server {

namespace why {
inline constexpr std::string_view kNotNeeded = "alloc not needed due to job update";
inline constexpr std::string_view kMigrating = "alloc is being migrated";
inline constexpr std::string_view kUpdating = "alloc is being updated due to job update";
inline constexpr std::string_view kLost = "alloc is lost since its node is down";
inline constexpr std::string_view kRescheduled = "alloc was rescheduled because it failed";
inline constexpr std::string_view kInPlace = "alloc updating in-place";
inline constexpr std::string_view kNodeTainted = "alloc not needed as node is tainted";
}  // namespace why

struct StopWish {
    AllocPtr alloc;
    std::string_view description;
    std::string client_status;  // "lost" or empty
};

struct PlaceWish {
    std::string name;
    const model::TaskGroup* group = nullptr;
    AllocPtr previous;             // replaced, or none
    std::optional<StopWish> stop;  // goes with it: withdrawn when there is no room
    bool reschedule = false;       // adds to the tracker
};

struct LaterWish {  // a failed allocation waits for its delay
    AllocPtr alloc;
    int64_t at = 0;  // unix ns
};

struct ReconcileInput {
    const State& state;
    const model::Evaluation& eval;
    JobPtr job;                // null: gone
    DeploymentPtr deployment;  // the latest one
    int64_t now = 0;
    // Whether the node still suits the new version.
    std::function<bool(const AllocRecord&, const model::TaskGroup&)> may_stay;
};

struct Reconciled {
    std::vector<StopWish> stop;
    std::vector<PlaceWish> place;    // in the order of importance
    std::vector<AllocPtr> in_place;  // to the new version, where they are
    std::vector<LaterWish> later;
    std::map<std::string, model::DesiredUpdates> desired;
    DeploymentPtr deployment;  // that new allocations belong to
    std::optional<model::Deployment> new_deployment;
    std::vector<cmd::DeploymentStatusUpdate> deployment_updates;
};

Reconciled reconcile(const ReconcileInput& input, Seeded& seeded);

// When a failed allocation may be replaced by its group's policy; empty: never.
std::optional<int64_t> reschedule_time(const model::Allocation& alloc, const model::TaskGroup& group,
                                       int64_t now);
// The delay before the next attempt.
int64_t reschedule_delay(const model::Allocation& alloc, const model::ReschedulePolicy& policy,
                         int64_t fail_time);
// The tracker of the replacement.
model::RescheduleTracker next_tracker(const model::Allocation& previous, const model::TaskGroup& group,
                                      int64_t now);

}  // namespace drover::server
