// SPDX-License-Identifier: Apache-2.0
// The smaller job verbs: stop, eval, revert, inspect, history, allocs, deployments.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/diff_text.h"
#include "cli/monitor.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

// After a write that made an evaluation: follow it, or say its id.
int follow(Invocation& in, api::Client& client, const std::string& eval_id) {
    if (eval_id.empty()) return kExitOk;
    if (!in.on("detach")) return monitor_eval(in, client, eval_id);
    in.io.line(fmt::format("Evaluation ID: {}", eval_id));
    return kExitOk;
}

int stop_one(Invocation& in, api::Client& client, const std::string& wanted) {
    auto name = resolve_job(in, client, wanted, "Error querying job prefix");
    if (!name) return kExitError;
    if (!name->exact && !in.on("yes")) {
        auto answer = ask(in, fmt::format("Are you sure you want to stop job {}?", quoted(name->id)));
        if (answer == Answer::Failed) return kExitError;
        if (answer == Answer::No) {
            in.io.line("Cancelling job stop");
            return kExitOk;
        }
    }
    api::QueryParams query = {{"namespace", name->namespace_name},
                              {"purge", in.on("purge") ? "true" : "false"},
                              {"global", in.on("global") ? "true" : "false"},
                              {"eval_priority", std::to_string(in.number("eval-priority"))},
                              {"no_shutdown_delay", in.on("no-shutdown-delay") ? "true" : "false"}};
    auto reply = client.erase(job_path(name->id), query);
    model::JobDeregisterResponse response;
    auto done = reply ? model::json::decode(reply->body, response) : Status(reply.error());
    if (!done) return fail(in, "Error deregistering job with id {} err: {}", wanted, done.error().message());
    // Of a detached stop, and of periodic and parameterized jobs, nothing is left to follow.
    if (response.eval_id().empty()) return kExitOk;
    if (in.on("detach")) {
        in.io.line(response.eval_id());
        return kExitOk;
    }
    return monitor_eval(in, client, response.eval_id());
}

}  // namespace

int job_stop(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    int code = kExitOk;
    for (const auto& wanted : in.args) code = std::max(code, stop_one(in, *client, wanted));
    return code;
}

int job_eval(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto name = resolve_job(in, *client, in.args[0], "Error querying job prefix");
    if (!name) return kExitError;
    model::JobEvaluateRequest request;
    request.set_job_id(name->id);
    request.mutable_eval_options()->set_force_reschedule(in.on("force-reschedule"));
    model::JobRegisterResponse response;
    auto sent = client->put_message(job_path(name->id, "/evaluate"), request, response,
                                    {{"namespace", name->namespace_name}});
    if (!sent) return fail(in, "Error evaluating job: {}", sent.error().message());
    if (in.on("detach")) {
        in.io.line(fmt::format("Created eval ID: {} ", quoted(limit_id(response.eval_id(), id_length(in)))));
        return kExitOk;
    }
    return monitor_eval(in, *client, response.eval_id());
}

int job_revert(Invocation& in) {
    auto version = parse_uint(in.args[1]);
    if (!version)
        return fail(in, "The job version to revert to must be a number, found {}", quoted(in.args[1]));
    auto client = make_client(in);
    if (!client) return kExitError;
    auto name = resolve_job(in, *client, in.args[0], "Error querying job prefix");
    if (!name) return kExitError;
    model::JobRevertRequest request;
    request.set_job_id(name->id);
    request.set_job_version(*version);
    model::JobRegisterResponse response;
    auto sent = client->put_message(job_path(name->id, "/revert"), request, response,
                                    {{"namespace", name->namespace_name}});
    if (!sent) return fail(in, "Error retrieving job versions: {}", sent.error().message());
    return follow(in, *client, response.eval_id());
}

int job_inspect(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    if (in.args.empty()) {
        auto reply = client->get("/v1/jobs");
        if (!reply) return fail(in, "Error querying jobs: {}", reply.error().message());
        return print_data(in, reply->body);
    }
    auto name = resolve_job(in, *client, in.args[0], "Error inspecting job");
    if (!name) return kExitError;
    api::QueryParams scope = {{"namespace", name->namespace_name}};
    model::Job job;
    if (in.given("version")) {
        model::JobVersionsResponse versions;
        if (auto got = client->get_message(job_path(name->id, "/versions"), versions, scope); !got)
            return fail(in, "Error inspecting job: {}", got.error().message());
        const model::Job* found = nullptr;
        for (const auto& item : versions.versions())
            if (static_cast<int64_t>(item.version()) == in.number("version")) found = &item;
        if (!found)
            return fail(in, "Error inspecting job: job {} at version {} not found", quoted(name->id),
                        in.number("version"));
        job = *found;
    } else if (auto got = client->get_message(job_path(name->id), job, scope); !got) {
        return fail(in, "Error inspecting job: {}", got.error().message());
    }
    if (in.on("hcl")) {
        scope.emplace_back("version", std::to_string(job.version()));
        model::JobSubmission submission;
        if (auto got = client->get_message(job_path(name->id, "/submission"), submission, scope); !got)
            return fail(in, "Error inspecting job: no source available for job: {}", got.error().message());
        in.io.line(trim(submission.source()));
        return kExitOk;
    }
    auto json = model::json::encode(job, {.view = model::json::View::Api});
    if (in.given("t")) return print_data(in, json);
    return print_data(in, fmt::format("{{\"Job\":{}}}", json));
}

int job_history(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto name = resolve_job(in, *client, in.args[0], "Error listing jobs");
    if (!name) return kExitError;
    bool diffs = in.on("p");
    auto reply = client->get(job_path(name->id, "/versions"),
                             {{"namespace", name->namespace_name}, {"diffs", diffs ? "true" : "false"}});
    if (!reply) return fail(in, "Error retrieving job versions: {}", reply.error().message());
    model::JobVersionsResponse versions;
    if (auto decoded = model::json::decode(reply->body, versions); !decoded)
        return fail(in, "Error retrieving job versions: {}", decoded.error().message());
    if (wants_data(in)) return print_data(in, model::json::encode_list(versions.versions()));
    bool any = false;
    for (int i = 0; i < versions.versions_size(); ++i) {
        const auto& job = versions.versions(i);
        if (in.given("version") && static_cast<int64_t>(job.version()) != in.number("version")) continue;
        if (std::exchange(any, true)) in.io.line("");
        KeyValues pairs = {{"Version", std::to_string(job.version())},
                           {"Stable", job.stable() ? "true" : "false"},
                           {"Submit Date", format_time(job.submit_time())}};
        if (!job.version_tag().name().empty()) pairs.emplace_back("Tag Name", job.version_tag().name());
        auto text = key_values(pairs);
        if (diffs && i < versions.diffs_size())
            text += fmt::format("\nDiff        = \n{}",
                                diff_text(versions.diffs(i), {in.on("full"), in.io.colour}));
        in.io.line(text);
    }
    return any ? kExitOk : fail(in, "version {} not found", in.text("version"));
}

int job_allocs(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto name = resolve_job(in, *client, in.args[0], "Error listing jobs");
    if (!name) return kExitError;
    api::QueryParams query = {{"namespace", name->namespace_name}, {"all", in.on("all") ? "true" : "false"}};
    auto reply = client->get(job_path(name->id, "/allocations"), query);
    if (!reply) return fail(in, "Error retrieving allocations: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto allocs = get_list<model::AllocationListStub>(*client, job_path(name->id, "/allocations"), query);
    if (!allocs) return fail(in, "Error retrieving allocations: {}", allocs.error().message());
    in.io.line(allocs_table(*allocs, {id_length(in) == kFullId, in.io.clock()}));
    return kExitOk;
}

namespace {

std::string deployments_table(const std::vector<model::Deployment>& deployments, size_t length) {
    if (deployments.empty()) return "No deployments found";
    auto sorted = deployments;
    std::sort(sorted.begin(), sorted.end(),
              [](auto& a, auto& b) { return a.create_index() > b.create_index(); });
    std::vector<Row> rows = {{"ID", "Job ID", "Job Version", "Status", "Description"}};
    for (const auto& item : sorted)
        rows.push_back({limit_id(item.id(), length), item.job_id(), std::to_string(item.job_version()),
                        item.status(), item.status_description()});
    return table(rows);
}

}  // namespace

int job_deployments(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto name = resolve_job(in, *client, in.args[0], "Error listing jobs");
    if (!name) return kExitError;
    api::QueryParams query = {{"namespace", name->namespace_name}, {"all", in.on("all") ? "true" : "false"}};
    if (in.on("latest")) {
        auto reply = client->get(job_path(name->id, "/deployment"), query);
        if (!reply) return fail(in, "Error retrieving deployments: {}", reply.error().message());
        if (wants_data(in)) return print_data(in, reply->body);
        model::Deployment deployment;
        if (auto decoded = model::json::decode(reply->body, deployment); !decoded)
            return fail(in, "Error retrieving deployments: {}", decoded.error().message());
        if (deployment.id().empty()) return in.io.line("No deployment found"), kExitOk;
        in.io.line(
            deployment_text(deployment, {id_length(in) == kFullId, in.io.clock()}, in.io.bold("Deployed")));
        return kExitOk;
    }
    auto reply = client->get(job_path(name->id, "/deployments"), query);
    if (!reply) return fail(in, "Error retrieving deployments: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto deployments = get_list<model::Deployment>(*client, job_path(name->id, "/deployments"), query);
    if (!deployments) return fail(in, "Error retrieving deployments: {}", deployments.error().message());
    in.io.line(deployments_table(*deployments, id_length(in)));
    return kExitOk;
}

int deployment_list(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    api::QueryParams query;
    if (in.given("filter")) query.emplace_back("filter", in.text("filter"));
    auto reply = client->get("/v1/deployments", query);
    if (!reply) return fail(in, "Error retrieving deployments: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto deployments = get_list<model::Deployment>(*client, "/v1/deployments", query);
    if (!deployments) return fail(in, "Error retrieving deployments: {}", deployments.error().message());
    in.io.line(deployments_table(*deployments, id_length(in)));
    return kExitOk;
}

int deployment_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    if (in.args.empty()) return deployment_list(in);
    auto deployments = get_list<model::Deployment>(*client, "/v1/deployments", {{"prefix", in.args[0]}});
    if (!deployments) return fail(in, "Error retrieving deployment: {}", deployments.error().message());
    if (deployments->empty())
        return fail(in, "Error retrieving deployment: Deployment ID {} matched no deployments",
                    quoted(in.args[0]));
    const auto* found = &(*deployments)[0];
    if (deployments->size() > 1) {
        found = nullptr;
        for (const auto& item : *deployments)
            if (item.id() == in.args[0]) found = &item;
    }
    if (!found)
        return fail(in, "Prefix matched multiple deployments\n\n{}",
                    deployments_table(*deployments, kFullId));
    if (wants_data(in)) return print_data(in, model::json::encode(*found));
    if (in.on("monitor")) {
        in.io.line(fmt::format("{}: Monitoring deployment {}", format_time(in.io.clock()),
                               quoted(limit_id(found->id(), id_length(in)))));
        auto status = monitor_deployment(in, *client, found->id(), "");
        if (!status) return fail(in, "Error monitoring deployment: {}", status.error().message());
        return *status == "failed" ? kExitError : kExitOk;
    }
    in.io.line(deployment_text(*found, {id_length(in) == kFullId, in.io.clock()}, in.io.bold("Deployed")));
    ui_hint(in, *client, "View all deployments for this job",
            fmt::format("/ui/jobs/{}/deployments", found->job_id()));
    return kExitOk;
}

}  // namespace drover::cli
