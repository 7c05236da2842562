// SPDX-License-Identifier: Apache-2.0
// State: everything the cluster knows, at one log index. Values are immutable and shared; a copy of a State
// is O(1) and is a snapshot. Changed only by StateWriter (fsm/), on the apply thread or on private copies
// (plan applier, dry runs). Pure.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"
#include "proto/model/model.pb.h"
#include "server-lite/state/table.h"

namespace drover::server {

using JobPtr = std::shared_ptr<const model::Job>;
using EvalPtr = std::shared_ptr<const model::Evaluation>;
using NodePtr = std::shared_ptr<const model::Node>;
using DeploymentPtr = std::shared_ptr<const model::Deployment>;
using SummaryPtr = std::shared_ptr<const model::JobSummary>;
using SubmissionPtr = std::shared_ptr<const model::JobSubmission>;
using ConfigPtr = std::shared_ptr<const model::SchedulerConfiguration>;

// An allocation without its job, and the version of the job that it belongs to. The wire's view embeds it.
struct AllocRecord {
    std::shared_ptr<const model::Allocation> alloc;
    JobPtr job;
    // Told to stop, and its successor was placed on the same node, where the client starts it only after this
    // one has ended: the resources are the successor's.
    bool handed_over = false;
};
using AllocPtr = std::shared_ptr<const AllocRecord>;

// What the allocations of one node hold, kept up to date with every change of one.
struct NodeUsage {
    model::Comparable used;
    std::multiset<std::pair<std::string, int64_t>> ports;  // (ip, port)
    std::multiset<uint32_t> cores;                         // reserved ones; twice the same is one too many
    std::multiset<std::string> devices;                    // "vendor/type/name/id"
    int64_t allocs = 0;
    uint64_t placed_index = 0;  // last change of what is desired on the node: what its client polls for
};
using UsagePtr = std::shared_ptr<const NodeUsage>;

// Whether an allocation holds its resources: until the client says that it has ended, unless handed over. The
// one definition for scheduler and plan applier.
bool holds_resources(const AllocRecord& record);
void add_usage(NodeUsage& usage, const model::Allocation& alloc);
void subtract_usage(NodeUsage& usage, const model::Allocation& alloc);

enum class TableId { Jobs, Versions, Submissions, Summaries, Evals, Nodes, Allocs, Deployments, Config };
inline constexpr size_t kTables = 9;

struct State {
    uint64_t index = 0;                           // of the last applied entry
    std::array<uint64_t, kTables> table_index{};  // of the last change of each table

    Table<JobPtr> jobs;                // job_key
    Table<JobPtr> versions;            // version_key, newest last
    Table<SubmissionPtr> submissions;  // version_key
    Table<SummaryPtr> summaries;       // job_key
    Table<EvalPtr> evals;
    Table<AllocPtr> allocs;
    Table<NodePtr> nodes;
    Table<UsagePtr> usage;  // node id
    Table<DeploymentPtr> deployments;
    ConfigPtr config = std::make_shared<const model::SchedulerConfiguration>();

    // Secondary indexes: pair_key(what, id).
    Table<char> evals_by_job, allocs_by_job, allocs_by_node, allocs_by_eval, deployments_by_job;

    uint64_t table(TableId id) const { return table_index[static_cast<size_t>(id)]; }

    JobPtr job(std::string_view ns, std::string_view id) const;
    JobPtr job_version(std::string_view ns, std::string_view id, uint64_t version) const;
    std::vector<JobPtr> job_versions(std::string_view ns, std::string_view id) const;  // newest first
    SubmissionPtr submission(std::string_view ns, std::string_view id, uint64_t version) const;
    SummaryPtr summary(std::string_view ns, std::string_view id) const;
    EvalPtr eval(std::string_view id) const;
    NodePtr node(std::string_view id) const;
    AllocPtr alloc(std::string_view id) const;
    DeploymentPtr deployment(std::string_view id) const;
    const NodeUsage& usage_of(std::string_view node_id) const;
    std::vector<EvalPtr> job_evals(std::string_view ns, std::string_view id) const;
    std::vector<AllocPtr> job_allocs(std::string_view ns, std::string_view id) const;
    std::vector<AllocPtr> node_allocs(std::string_view node_id) const;
    std::vector<AllocPtr> eval_allocs(std::string_view eval_id) const;
    std::vector<DeploymentPtr> job_deployments(std::string_view ns, std::string_view id) const;
    DeploymentPtr latest_deployment(std::string_view ns, std::string_view id) const;
};
using StatePtr = std::shared_ptr<const State>;

std::string pair_key(std::string_view a, std::string_view b);  // a, NUL, b
std::string job_key(std::string_view ns, std::string_view id);
std::string version_key(std::string_view ns, std::string_view id, uint64_t version);

// The wire's views.
model::Allocation full_alloc(const AllocRecord& record);  // with its job
model::AllocationListStub alloc_stub(const AllocRecord& record);

bool node_ready(const model::Node& node);  // ready, eligible and not draining

}  // namespace drover::server
