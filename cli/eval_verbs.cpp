// SPDX-License-Identifier: Apache-2.0
// eval list, eval status.
#include "base/clock.h"
#include "cli/monitor.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

std::string failures_of(const model::Evaluation& eval) {
    if (eval.status() == model::kEvalStatusBlocked) return "N/A - In Progress";
    return eval.failed_tg_allocs().empty() ? "false" : "true";
}

void show_basics(Invocation& in, const model::Evaluation& eval) {
    auto length = id_length(in);
    bool verbose = length == kFullId;
    auto now = in.io.clock();
    auto when = [&](int64_t ns) { return verbose ? format_time(ns) : relative_time(ns, now); };
    auto description = eval.status_description().empty() ? eval.status() : eval.status_description();
    KeyValues pairs = {{"ID", limit_id(eval.id(), length)},       {"Create Time", when(eval.create_time())},
                       {"Modify Time", when(eval.modify_time())}, {"Status", eval.status()},
                       {"Status Description", description},       {"Type", eval.type()},
                       {"TriggeredBy", eval.triggered_by()}};
    if (!eval.node_id().empty() && eval.triggered_by() == model::kTriggerNodeUpdate)
        pairs.emplace_back("Node ID", limit_id(eval.node_id(), length));
    else
        pairs.emplace_back("Job ID", eval.job_id());
    pairs.emplace_back("Namespace", eval.namespace_());
    pairs.emplace_back("Priority", std::to_string(eval.priority()));
    pairs.emplace_back("Placement Failures", failures_of(eval));
    pairs.emplace_back("Previous Eval", limit_id(eval.previous_eval(), length));
    pairs.emplace_back("Next Eval", limit_id(eval.next_eval(), length));
    pairs.emplace_back("Blocked Eval", limit_id(eval.blocked_eval(), length));
    if (eval.wait_until() > 0 && !model::eval_terminal(eval.status()))
        pairs.emplace_back("Wait Until", format_time(eval.wait_until()));
    in.io.line(key_values(pairs));
}

void title(Invocation& in, std::string_view text) {
    in.io.line("\n" + in.io.bold(text));
}

void show_related(Invocation& in, const model::Evaluation& eval) {
    std::vector<Row> rows = {{"ID", "Priority", "Triggered By", "Node ID", "Status", "Description"}};
    for (const auto& other : eval.related_evals())
        rows.push_back({limit_id(other.id(), id_length(in)), std::to_string(other.priority()),
                        other.triggered_by(), limit_id(other.node_id(), id_length(in)), other.status(),
                        other.status_description()});
    if (rows.size() == 1) return;
    title(in, "Related Evaluations");
    in.io.line(table(rows));
}

void show_annotations(Invocation& in, const model::Evaluation& eval) {
    if (eval.plan_annotations().desired_tg_updates().empty()) return;
    std::map<std::string, model::DesiredUpdates> groups(eval.plan_annotations().desired_tg_updates().begin(),
                                                        eval.plan_annotations().desired_tg_updates().end());
    std::vector<Row> rows = {{"Task Group", "Ignore", "Place", "Stop", "InPlace", "Destructive"}};
    for (const auto& [name, u] : groups) {
        Row row = {name};
        for (auto count : {u.ignore(), u.place(), u.stop(), u.in_place_update(), u.destructive_update()})
            row.push_back(std::to_string(count));
        rows.push_back(std::move(row));
    }
    title(in, "Plan Annotations");
    in.io.line(table(rows));
}

void show_failures(Invocation& in, const model::Evaluation& eval) {
    if (eval.failed_tg_allocs().empty()) return;
    title(in, "Failed Placements");
    std::map<std::string, const model::AllocationMetric*> groups;
    for (const auto& [name, metrics] : eval.failed_tg_allocs()) groups[name] = &metrics;
    for (const auto& [name, metrics] : groups)
        in.io.line(fmt::format("{}\n{}", failed_group_title(name, *metrics),
                               metrics_text(*metrics, id_length(in) == kFullId, "  ")));
    if (!eval.blocked_eval().empty())
        in.io.line(fmt::format("\nEvaluation {} waiting for additional capacity to place remainder",
                               quoted(limit_id(eval.blocked_eval(), id_length(in)))));
}

}  // namespace

int eval_list(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    api::QueryParams query = {{"reverse", "true"}};
    if (in.given("per-page")) query.emplace_back("per_page", in.text("per-page"));
    if (in.given("page-token")) query.emplace_back("next_token", in.text("page-token"));
    if (in.given("filter")) query.emplace_back("filter", in.text("filter"));
    if (in.given("job")) query.emplace_back("job", in.text("job"));
    if (in.given("status")) query.emplace_back("status", in.text("status"));
    auto reply = client->get("/v1/evaluations", query);
    if (!reply) return fail(in, "Error querying evaluations: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    std::deque<model::Evaluation> evals;
    auto decoded = model::json::decode_list(
        reply->body, [&]() -> google::protobuf::Message& { return evals.emplace_back(); });
    if (!decoded) return fail(in, "Error querying evaluations: {}", decoded.error().message());
    if (evals.empty()) {
        in.io.line("No evals found");
        return kExitOk;
    }
    auto length = id_length(in);
    std::stable_sort(evals.begin(), evals.end(),
                     [](auto& a, auto& b) { return a.create_index() > b.create_index(); });
    std::vector<Row> rows = {
        {"ID", "Priority", "Triggered By", "Job ID", "Namespace", "Node ID", "Status", "Placement Failures"}};
    for (const auto& eval : evals)
        rows.push_back({limit_id(eval.id(), length), std::to_string(eval.priority()), eval.triggered_by(),
                        eval.job_id(), eval.namespace_(), limit_id(eval.node_id(), length), eval.status(),
                        failures_of(eval)});
    in.io.line(table(rows));
    if (auto next = reply->next_token(); !next.empty())
        in.io.line(fmt::format(
            "\nResults have been paginated. To get the next page run:\n\ndrover eval list -page-token {}",
            next));
    ui_hint(in, *client, "View evaluations", "/ui/evaluations");
    return kExitOk;
}

int eval_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    if (in.args.empty()) return eval_list(in);
    auto id = resolve_eval(in, *client, in.args[0]);
    if (!id) return kExitError;
    if (in.on("monitor")) return monitor_eval(in, *client, *id);
    auto reply = client->get("/v1/evaluation/" + *id, {{"related", "true"}});
    if (!reply) return fail(in, "Error querying evaluation: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    model::Evaluation eval;
    if (auto decoded = model::json::decode(reply->body, eval); !decoded)
        return fail(in, "Error querying evaluation: {}", decoded.error().message());
    auto allocs =
        get_list<model::AllocationListStub>(*client, fmt::format("/v1/evaluation/{}/allocations", *id));
    if (!allocs) return fail(in, "Error querying related allocations: {}", allocs.error().message());
    show_basics(in, eval);
    show_related(in, eval);
    show_annotations(in, eval);
    if (!allocs->empty()) {
        title(in, "Placed Allocations");
        in.io.line(allocs_table(*allocs, {id_length(in) == kFullId, in.io.clock()}, false));
    }
    show_failures(in, eval);
    ui_hint(in, *client, "View evaluation details", "/ui/evaluations?currentEval=" + eval.id());
    return kExitOk;
}

}  // namespace drover::cli
