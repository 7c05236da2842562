// SPDX-License-Identifier: Apache-2.0
// One evaluation onto one snapshot: what should be done. Pure: the worker submits the plan and, when a part
// of it is refused, calls again with a newer snapshot. Job.Plan calls it on a private copy and throws the
// plan away.
#pragma once
#include "proto/raft/command.pb.h"
#include "server-lite/scheduler/place.h"

namespace drover::server {

struct ScheduleInput {
    StatePtr state;
    EvalPtr eval;
    int64_t now = 0;  // unix ns
    uint64_t seed = 0;
};

struct Decision {
    cmd::Plan plan;                            // its final_evals are `eval` and `blocked`
    model::Evaluation eval;                    // as it will be when the plan is done in full
    std::optional<model::Evaluation> blocked;  // waits for room, for what could not be placed
};

Decision schedule(const ScheduleInput& input);

// How often a worker tries before it gives up.
int attempts_max(std::string_view eval_type);
// Whether this kind of evaluation reason is known for the type.
bool handles_trigger(std::string_view eval_type, std::string_view trigger);

// The evaluation that stands for "no room now", or for "gave up after conflicts".
model::Evaluation blocked_eval(const model::Evaluation& of, const Placer* placer, uint64_t snapshot_index,
                               std::string id);

// Parts of schedule(), by job type.
namespace detail {
struct Work {
    const State& state;
    const model::Evaluation& eval;
    JobPtr job;  // null: gone
    int64_t now;
    Seeded& seeded;
    std::unique_ptr<Placer> placer;  // with a live job
    Decision out;
    std::map<std::string, model::AllocationMetric> failed;
    std::map<std::string, int64_t> queued;
    std::map<std::string, model::DesiredUpdates> desired;
    std::string deployment_id;  // that is being rolled out
};
void schedule_generic(Work& work);
void schedule_system(Work& work);
model::Allocation new_alloc(Work& work, const model::TaskGroup& group, std::string name,
                            const PlaceOption& option, model::AllocationMetric metric);
void add_stop(Work& work, const AllocRecord& record, std::string_view description,
              std::string_view client_status = "");
void add_in_place(Work& work, const AllocRecord& record, const std::string& deployment_id);
// Notes that the group could not be placed: one metric a group, the others are counted on it.
void add_failure(Work& work, const std::string& group, model::AllocationMetric metric);
}  // namespace detail

}  // namespace drover::server
