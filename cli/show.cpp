// SPDX-License-Identifier: Apache-2.0
#include "cli/show.h"

#include "cli/format.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

// The groups of a deployment by name, and which optional columns any of them needs.
struct Columns {
    std::map<std::string, const model::DeploymentState*> groups;
    bool auto_revert = false;
    bool canaries = false;
};

Columns columns_of(const model::Deployment& deployment) {
    Columns columns;
    for (const auto& [name, state] : deployment.task_groups()) {
        columns.groups[name] = &state;
        columns.auto_revert |= state.auto_revert();
        columns.canaries |= state.desired_canaries() > 0;
    }
    return columns;
}

std::string yes(bool value) {
    return value ? "true" : "false";
}

}  // namespace

std::string allocs_table(const std::vector<model::AllocationListStub>& allocs, const ShowOptions& options,
                         bool with_node_name) {
    if (allocs.empty()) return "No allocations placed";
    std::vector<const model::AllocationListStub*> sorted;
    for (const auto& alloc : allocs) sorted.push_back(&alloc);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](auto* a, auto* b) { return a->create_index() > b->create_index(); });
    std::vector<Row> rows(1);
    if (options.verbose) {
        rows[0] = {"ID", "Eval ID", "Node ID"};
        if (with_node_name) rows[0].push_back("Node Name");
    } else {
        rows[0] = {"ID", "Node ID"};
    }
    for (const char* title : {"Task Group", "Version", "Desired", "Status", "Created", "Modified"})
        rows[0].push_back(title);
    for (const auto* alloc : sorted) {
        Row row;
        if (options.verbose) {
            row = {alloc->id(), alloc->eval_id(), alloc->node_id()};
            if (with_node_name) row.push_back(alloc->node_name());
        } else {
            row = {limit_id(alloc->id(), kShortId), limit_id(alloc->node_id(), kShortId)};
        }
        auto when = [&](int64_t ns) {
            return options.verbose ? format_time(ns) : relative_time(ns, options.now_ns);
        };
        for (const auto& cell :
             {alloc->task_group(), std::to_string(alloc->job_version()), alloc->desired_status(),
              alloc->client_status(), when(alloc->create_time()), when(alloc->modify_time())})
            row.push_back(cell);
        rows.push_back(std::move(row));
    }
    return table(rows);
}

std::string deployment_text(const model::Deployment& deployment, const ShowOptions& options,
                            std::string_view bold_deployed) {
    KeyValues pairs = {{"ID", limit_id(deployment.id(), options.verbose ? kFullId : kShortId)},
                       {"Job ID", deployment.job_id()},
                       {"Job Version", std::to_string(deployment.job_version())},
                       {"Status", deployment.status()},
                       {"Description", deployment.status_description()}};
    auto out = key_values(pairs);
    if (deployment.task_groups().empty()) return out;
    return fmt::format("{}\n\n{}\n{}", out, bold_deployed, deployed_table(deployment));
}

std::string deployed_table(const model::Deployment& deployment) {
    auto columns = columns_of(deployment);
    std::vector<Row> rows(1);
    auto& head = rows[0];
    head.push_back("Task Group");
    if (columns.auto_revert) head.push_back("Auto Revert");
    if (columns.canaries) head.push_back("Promoted");
    head.push_back("Desired");
    if (columns.canaries) head.push_back("Canaries");
    for (const char* title : {"Placed", "Healthy", "Unhealthy", "Progress Deadline"}) head.push_back(title);
    for (const auto& [name, state] : columns.groups) {
        Row row = {name};
        if (columns.auto_revert) row.push_back(yes(state->auto_revert()));
        if (columns.canaries) row.push_back(state->desired_canaries() > 0 ? yes(state->promoted()) : "N/A");
        row.push_back(std::to_string(state->desired_total()));
        if (columns.canaries) row.push_back(std::to_string(state->desired_canaries()));
        for (auto count : {state->placed_allocs(), state->healthy_allocs(), state->unhealthy_allocs()})
            row.push_back(std::to_string(count));
        row.push_back(format_time(state->require_progress_by()));
        rows.push_back(std::move(row));
    }
    return table(rows);
}

std::string metrics_text(const model::AllocationMetric& metrics, bool scores, std::string_view prefix) {
    std::string out;
    auto line = [&](std::string text) {
        if (!out.empty()) out += '\n';
        out += fmt::format("{}* {}", prefix, text);
    };
    auto sorted = [](const auto& map) { return std::map<std::string, int64_t>(map.begin(), map.end()); };
    if (metrics.nodes_evaluated() == 0) line("No nodes were eligible for evaluation");
    for (const auto& [datacenter, count] : sorted(metrics.nodes_available()))
        if (count == 0) line(fmt::format("No nodes are available in datacenter {}", quoted(datacenter)));
    for (const auto& [name, count] : sorted(metrics.class_filtered()))
        line(fmt::format("Class {}: {} nodes excluded by filter", quoted(name), count));
    for (const auto& [name, count] : sorted(metrics.constraint_filtered()))
        line(fmt::format("Constraint {}: {} nodes excluded by filter", quoted(name), count));
    if (metrics.nodes_exhausted() > 0)
        line(fmt::format("Resources exhausted on {} nodes", metrics.nodes_exhausted()));
    for (const auto& [name, count] : sorted(metrics.class_exhausted()))
        line(fmt::format("Class {} exhausted on {} nodes", quoted(name), count));
    for (const auto& [name, count] : sorted(metrics.dimension_exhausted()))
        line(fmt::format("Dimension {} exhausted on {} nodes", quoted(name), count));
    for (const auto& name : metrics.quota_exhausted()) line(fmt::format("Quota limit hit {}", quoted(name)));
    if (!scores || metrics.score_meta_data().empty()) return out;

    std::set<std::string> scorers;
    for (const auto& node : metrics.score_meta_data())
        for (const auto& [name, value] : node.scores()) scorers.insert(name);
    std::vector<Row> rows(1);
    rows[0].push_back("Node");
    rows[0].insert(rows[0].end(), scorers.begin(), scorers.end());
    rows[0].push_back("final score");
    for (const auto& node : metrics.score_meta_data()) {
        Row row = {node.node_id()};
        for (const auto& name : scorers) {
            auto it = node.scores().find(name);
            row.push_back(it == node.scores().end() ? "0" : format_float(it->second));
        }
        row.push_back(format_float(node.norm_score()));
        rows.push_back(std::move(row));
    }
    return out.empty() ? table(rows) : fmt::format("{}\n{}", out, table(rows));
}

std::string failed_group_title(std::string_view group, const model::AllocationMetric& metrics) {
    auto count = metrics.coalesced_failures() + 1;
    return fmt::format("Task Group {} (failed to place {} {}):", quoted(group), count,
                       count == 1 ? "allocation" : "allocations");
}

}  // namespace drover::cli
