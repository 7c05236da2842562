// SPDX-License-Identifier: Apache-2.0
// StateWriter: the only way to change a State. Each put keeps what hangs on a value in step: secondary
// indexes, node usage, job summaries, deployment counters, job status; and notes what changed (Effects).
// Pure: index and time come with it.
#pragma once
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server-lite/state/state.h"
#include "server-lite/state/state_store.h"

namespace drover::server {

using JobId = std::pair<std::string, std::string>;  // namespace, id

// What the leader's queues must hear about after the change is published.
struct Effects {
    Touched touched;
    std::vector<EvalPtr> evals;           // as written, in order
    std::set<std::string> freed_classes;  // computed node classes with new room
    std::set<std::string> freed_nodes;
    std::set<JobId> satisfied_jobs;  // an evaluation completed without failed placements, or the job is gone
    std::set<std::string> nodes;     // changed or removed
    std::set<std::string> deployments;  // changed, or with allocations that did
};

class StateWriter {
 public:
    StateWriter(State& state, uint64_t index, int64_t time, Effects& effects)
        : s_(state), index_(index), time_(time), fx_(effects) {}

    State& state() { return s_; }
    uint64_t index() const { return index_; }
    int64_t time() const { return time_; }
    Effects& effects() { return fx_; }

    // Writes the job as the current one and as its version.
    void put_job(model::Job job, uint32_t versions_kept);
    void set_job_stable(const std::string& ns, const std::string& id, uint64_t version);
    void remove_job(const std::string& ns, const std::string& id);
    void put_submission(const std::string& ns, const std::string& id, uint64_t version,
                        model::JobSubmission submission);

    // Stamps indexes and times; a completed evaluation without failures cancels the job's blocked ones.
    void put_eval(model::Evaluation eval);
    void remove_eval(const std::string& id);

    void put_alloc(AllocRecord record);  // indexes are the caller's business
    void remove_alloc(const std::string& id);

    void put_node(model::Node node);
    void remove_node(const std::string& id);
    void put_deployment(model::Deployment deployment);
    void remove_deployment(const std::string& id);
    void put_config(model::SchedulerConfiguration config);

    // Recomputes the status of the jobs whose allocations, evaluations or deployments changed. At the end of
    // a command.
    void finish();

 private:
    void touch(TableId table, std::string key);
    void count_summary(const AllocRecord* before, const AllocRecord& after);
    void count_deployment(const AllocRecord* before, const AllocRecord& after);
    void refresh_status(const JobId& id);
    std::string job_status(const model::Job& job) const;
    model::JobSummary summary_of(const std::string& ns, const std::string& id) const;
    void put_summary(model::JobSummary summary);

    State& s_;
    uint64_t index_;
    int64_t time_;
    Effects& fx_;
    std::set<JobId> stale_;  // jobs whose status may have changed
};

}  // namespace drover::server
