// SPDX-License-Identifier: Apache-2.0
// job run, job validate, job plan: what takes a job file.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/diff_text.h"
#include "cli/job_file.h"
#include "cli/monitor.h"
#include "cli/show.h"
#include "cli/verbs.h"
#include "model/canonicalize.h"
#include "model/json/json.h"
#include "model/status.h"
#include "model/validate.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

constexpr int kExitPlanError = 255;

void print_warnings(Invocation& in, std::string_view warnings) {
    if (warnings.empty()) return;
    auto text = fmt::format("Job Warnings:\n{}", warnings);
    in.io.line(in.io.colour ? fmt::format("\033[1;33m{}\033[0m\n", text) : text + "\n");
}

std::string yellow(const Invocation& in, std::string_view text) {
    return in.io.colour ? fmt::format("\033[33m{}\033[0m", text) : std::string(text);
}

// -namespace and -region are the job's when its file does not say.
void fill_scope(model::Job& job, const api::Client& client) {
    const auto& options = client.options();
    if (job.namespace_().empty() && !options.namespace_name.empty())
        job.set_namespace_(options.namespace_name);
    if (job.region().empty() && !options.region.empty()) job.set_region(options.region);
}

int print_job_json(Invocation& in, const model::Job& job) {
    std::string out = "{\n    \"Job\": ";
    model::json::encode_to(out, job, {.view = model::json::View::Api, .indent = 4}, 1);
    in.io.line(out + "\n}");
    return kExitOk;
}

// "Enforcing job modify index 3: job exists with conflicting job modify index: 11", out of the answer's text.
std::string conflict_of(std::string_view text) {
    auto start = text.find("Enforcing job modify index");
    if (start == std::string_view::npos) return "";
    auto found = text.substr(start);
    auto end = found.find(')');
    return std::string(end == std::string_view::npos ? found : found.substr(0, end));
}

std::string job_ui_path(const model::Job& job) {
    return fmt::format("/ui/jobs/{}@{}", job.id(), job.namespace_().empty() ? "default" : job.namespace_());
}

}  // namespace

int job_run(Invocation& in) {
    model::JobRegisterRequest request;
    auto& job = *request.mutable_job();
    if (auto read = read_job_file(in, in.args[0], job, *request.mutable_submission()); !read)
        return fail(in, "Error getting job struct: {}", read.error().message());
    if (in.given("consul-namespace")) job.set_consul_namespace(in.text("consul-namespace"));
    if (in.on("output")) return print_job_json(in, job);

    auto client = make_client(in);
    if (!client) return kExitError;
    fill_scope(job, *client);
    auto check_index = in.text("check-index");
    if (!check_index.empty()) {
        auto index = parse_uint(check_index);
        if (!index)
            return fail(in, "Error parsing check-index value {}: a number is expected", quoted(check_index));
        request.set_enforce_index(true);
        request.set_job_modify_index(*index);
    }
    request.set_policy_override(in.on("policy-override"));
    request.set_preserve_counts(in.on("preserve-counts"));
    request.set_preserve_resources(in.on("preserve-resources"));
    request.set_eval_priority(in.number("eval-priority"));

    model::JobRegisterResponse response;
    if (auto sent = client->put_message("/v1/jobs", request, response, job_scope(job, *client)); !sent) {
        auto conflict = conflict_of(sent.error().message());
        if (conflict.empty()) return fail(in, "Error submitting job: {}", sent.error().message());
        in.io.error_line(conflict);
        return fail(in, "Job not updated");
    }
    print_warnings(in, response.warnings());
    bool parameterized = model::is_parameterized(job);
    bool periodic = model::is_periodic(job);
    if (in.on("detach") || periodic || parameterized || response.eval_id().empty()) {
        in.io.line("Job registration successful");
        if (!periodic && !parameterized && !response.eval_id().empty())
            in.io.line("Evaluation ID: " + response.eval_id());
        ui_hint(in, *client, "View this job", job_ui_path(job));
        return kExitOk;
    }
    ui_hint(in, *client, "View this job", job_ui_path(job));
    return monitor_eval(in, *client, response.eval_id());
}

int job_validate(Invocation& in) {
    model::Job job;
    model::JobSubmission submission;
    if (auto read = read_job_file(in, in.args[0], job, submission); !read)
        return fail(in, "Error getting job struct: {}", read.error().message());
    auto client = make_client(in);
    if (!client) return kExitPlanError;
    fill_scope(job, *client);
    model::JobPlanRequest request;
    *request.mutable_job() = job;
    model::JobValidateResponse response;
    auto asked = client->put_message("/v1/validate/job", request, response, job_scope(job, *client));
    if (!asked) {
        // Without an agent the job itself can still be checked.
        in.io.warn_line(fmt::format(
            "Driver configuration not validated since connection to the agent couldn't be established:\n{}\n",
            asked.error().message()));
        response.set_warnings(model::format_warnings(model::job_warnings(job)));
        model::canonicalize(job);
        if (auto valid = model::validate(job); !valid) response.set_error(valid.error().message());
    }
    if (!response.error().empty()) return fail(in, "Job validation errors:\n{}", response.error());
    print_warnings(in, response.warnings());
    in.io.line(in.io.colour ? "\033[1;32mJob validation successful\033[0m" : "Job validation successful");
    return kExitOk;
}

namespace {

bool changes_allocs(const model::JobPlanResponse& plan) {
    if (plan.diff().type() == "None") return false;
    for (const auto& [group, updates] : plan.annotations().desired_tg_updates())
        if (updates.place() + updates.stop() + updates.migrate() + updates.destructive_update() +
                updates.canary() >
            0)
            return true;
    return false;
}

std::string dry_run_text(Invocation& in, const model::JobPlanResponse& plan) {
    std::string out;
    if (plan.failed_tg_allocs().empty()) {
        out = "- All tasks successfully allocated.\n";
        if (in.io.colour) out = "\033[1;32m- All tasks successfully allocated.\033[0m\n";
    } else {
        out = yellow(in, "- WARNING: Failed to place all allocations.") + "\n";
        std::map<std::string, const model::AllocationMetric*> groups;
        for (const auto& [name, metrics] : plan.failed_tg_allocs()) groups[name] = &metrics;
        bool first = true;
        for (const auto& [name, metrics] : groups) {
            if (!std::exchange(first, false)) out += '\n';
            out += fmt::format("  {}\n{}\n", yellow(in, failed_group_title(name, *metrics)),
                               yellow(in, metrics_text(*metrics, false, "    ")));
        }
    }
    for (const auto& eval : plan.created_evals())
        if (eval.triggered_by() == model::kTriggerRollingUpdate)
            out += fmt::format("- Rolling update, next evaluation will be in {}.\n",
                               format_duration(eval.wait()));
    if (plan.next_periodic_launch() > 0) {
        auto now = in.io.clock() / kSecond * kSecond;
        out += fmt::format("- If submitted now, next periodic launch would be at {} ({} from now).\n",
                           format_time(plan.next_periodic_launch()),
                           format_duration(plan.next_periodic_launch() / kSecond * kSecond - now));
    }
    return out;
}

std::string preemptions_text(const model::JobPlanResponse& plan) {
    std::vector<Row> rows = {{"Alloc ID", "Job ID", "Task Group"}};
    for (const auto& alloc : plan.annotations().preempted_allocs())
        rows.push_back({alloc.id(), alloc.job_id(), alloc.task_group()});
    return rows.size() == 1 ? "" : fmt::format("Preemptions:\n\n{}\n", table(rows));
}

// The command that runs just what was planned, and a word of caution.
std::string run_hint(Invocation& in, uint64_t index) {
    std::string variables;
    for (const auto& item : in.list("var")) variables += fmt::format("-var={} ", quoted(item));
    for (const auto& item : in.list("var-file")) variables += fmt::format("-var-file={} ", quoted(item));
    return fmt::format(
        "{}\nTo submit the job with version verification run:\n\ndrover job run -check-index {} {}{}\n\n"
        "When running the job with the check-index flag, the job will only be run if the\n"
        "job modify index given matches the server-side version. If the index has\n"
        "changed, another user has modified the job and the plan's results are\n"
        "potentially invalid.",
        in.io.bold(fmt::format("Job Modify Index: {}", index)), index, variables, in.args[0]);
}

}  // namespace

int job_plan(Invocation& in) {
    model::JobPlanRequest request;
    model::JobSubmission submission;
    auto& job = *request.mutable_job();
    auto read = read_job_file(in, in.args[0], job, submission);
    if (!read) return fail(in, "Error getting job struct: {}", read.error().message()), kExitPlanError;
    auto client = make_client(in);
    if (!client) return kExitPlanError;
    fill_scope(job, *client);
    request.set_diff(true);
    request.set_policy_override(in.on("policy-override"));
    model::json::EncodeOptions encode;
    encode.view = model::json::View::Api;
    auto reply = client->put(job_path(job.id().empty() ? "-" : job.id(), "/plan"),
                             model::json::encode(request, encode), job_scope(job, *client));
    if (!reply) return fail(in, "Error during plan: {}", reply.error().message()), kExitPlanError;
    model::JobPlanResponse plan;
    if (auto decoded = model::json::decode(reply->body, plan); !decoded)
        return fail(in, "Error during plan: {}", decoded.error().message()), kExitPlanError;
    int code = changes_allocs(plan) ? 1 : 0;
    if (in.on("json-output") || in.given("t")) {
        auto value = in.given("t") ? print_data(in, reply->body) : kExitOk;
        if (!in.given("t")) in.io.line(model::json::encode(plan, {.indent = 4}));
        return value == kExitOk ? code : kExitPlanError;
    }
    if (in.on("diff")) in.io.line(diff_text(plan.diff(), {in.on("verbose"), in.io.colour}) + "\n");
    in.io.line(in.io.bold("Scheduler dry-run:"));
    in.io.line(dry_run_text(in, plan));
    print_warnings(in, plan.warnings());
    if (auto text = preemptions_text(plan); !text.empty()) in.io.line(text);
    in.io.line(run_hint(in, plan.job_modify_index()));
    return code;
}

}  // namespace drover::cli
