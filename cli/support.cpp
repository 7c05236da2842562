// SPDX-License-Identifier: Apache-2.0
#include "cli/support.h"

#include <istream>

#include "base/strings.h"
#include "cli/go_template.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

bool declares(const Invocation& in, std::string_view name) {
    for (const auto& flag : in.command().flags)
        if (flag.name == name) return true;
    return false;
}

std::string env_text(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

// A UUID prefix as the servers take it: an even number of hex digits. Nullopt when it is too short to mean
// anything.
std::optional<std::string> uuid_prefix(Invocation& in, const std::string& text) {
    if (text.size() < 2) {
        in.io.error_line("Identifier must contain at least two characters.");
        return std::nullopt;
    }
    auto digits = std::count_if(text.begin(), text.end(), [](char c) { return c != '-'; });
    return digits % 2 == 1 ? text.substr(0, text.size() - 1) : text;
}

// An exact match wins over longer ones.
template <class T>
const T* exact_match(const std::vector<T>& items, std::string_view id) {
    for (const auto& item : items)
        if (item.id() == id) return &item;
    return items.size() == 1 ? &items[0] : nullptr;
}

}  // namespace

std::optional<api::Client> make_client(Invocation& in) {
    auto options = api::ClientOptions::from_environment();
    if (in.given("address")) options.address = in.text("address");
    if (in.given("region")) options.region = in.text("region");
    if (in.given("namespace")) options.namespace_name = in.text("namespace");
    if (in.given("token")) options.token = in.text("token");
    auto client = api::Client::create(std::move(options));
    if (client) return std::move(*client);
    in.io.error_line(fmt::format("Error initializing client: {}", client.error().message()));
    return std::nullopt;
}

int fail_text(Invocation& in, std::string_view text) {
    in.io.error_line(text);
    return kExitError;
}

int usage_error(Invocation& in, std::string_view text) {
    in.io.error_line(text);
    in.io.error_line(fmt::format("For additional help try 'drover {} -help'", in.command().name));
    return in.command().client_error_exit;
}

bool wants_data(Invocation& in) {
    return (declares(in, "json") && in.on("json")) || (declares(in, "t") && in.given("t"));
}

int print_data(Invocation& in, std::string_view json) {
    bool as_json = declares(in, "json") && in.on("json");
    bool as_template = declares(in, "t") && in.given("t");
    if (as_json && as_template) return fail_text(in, "Both json and template formatting are not allowed");
    auto value = model::json::parse_value(json);
    if (!value) return fail(in, "Error formatting the data: {}", value.error().message());
    if (!as_template) {
        in.io.line(model::json::encode_value(*value, 4));
        return kExitOk;
    }
    auto text = render_template(in.text("t"), *value);
    if (!text) return fail(in, "Error formatting the data: {}", text.error().message());
    in.io.line(*text);
    return kExitOk;
}

void ui_hint(Invocation& in, api::Client& client, std::string_view what, std::string_view path) {
    for (const char* name : {"NOMAD_CLI_SHOW_HINTS", "DROVER_CLI_SHOW_HINTS"})
        if (auto text = env_text(name); text == "0" || text == "false") return;
    auto reply = client.get("/v1/agent/self");
    if (!reply) return;
    auto value = model::json::parse_value(reply->body);
    if (!value) return;
    const auto* at = &*value;
    for (std::string_view key : {"config", "UI", "ShowCLIHints"}) {
        const auto& fields = at->map_value().fields();
        auto it = fields.find(std::string(key));
        if (it == fields.end()) return;
        at = &it->second;
    }
    if (!at->bool_value()) return;
    in.io.err(fmt::format("\n\n==> {} in the Web UI: {}{}\n", what, client.address(), path));
}

Answer ask(Invocation& in, std::string_view question) {
    in.io.out(fmt::format("{} [y/N] ", question));
    std::string answer;
    if (!in.io.in || !std::getline(*in.io.in, answer)) {
        in.io.error_line("Failed to parse answer: EOF");
        return Answer::Failed;
    }
    auto word = to_lower(trim(answer));
    if (word == "y") return Answer::Yes;
    if (word == "yes") {
        in.io.line("For confirmation, an exact ‘y’ is required.");
        return Answer::No;
    }
    return Answer::No;
}

size_t id_length(const Invocation& in) {
    return declares(in, "verbose") && in.on("verbose") ? kFullId : kShortId;
}

std::optional<std::string> resolve_alloc(Invocation& in, api::Client& client, const std::string& text) {
    auto prefix = uuid_prefix(in, text);
    if (!prefix) return std::nullopt;
    auto allocs = get_list<model::AllocationListStub>(
        client, "/v1/allocations",
        {{"prefix", *prefix},
         {"namespace", client.options().namespace_name.empty() ? "*" : client.options().namespace_name}});
    if (!allocs) {
        fail(in, "Error querying allocation: {}", allocs.error().message());
        return std::nullopt;
    }
    if (const auto* found = exact_match(*allocs, text)) return found->id();
    if (allocs->empty()) {
        fail(in, "No allocation(s) with prefix or id {} found", quoted(text));
        return std::nullopt;
    }
    std::vector<Row> rows = {{"ID", "Node ID", "Task Group", "Version", "Desired", "Status"}};
    for (const auto& alloc : *allocs)
        rows.push_back({limit_id(alloc.id(), kFullId), limit_id(alloc.node_id(), kShortId),
                        alloc.task_group(), std::to_string(alloc.job_version()), alloc.desired_status(),
                        alloc.client_status()});
    fail(in, "Prefix matched multiple allocations\n\n{}", table(rows));
    return std::nullopt;
}

std::optional<std::string> resolve_eval(Invocation& in, api::Client& client, const std::string& text) {
    auto prefix = uuid_prefix(in, text);
    if (!prefix) return std::nullopt;
    auto evals = get_list<model::Evaluation>(client, "/v1/evaluations", {{"prefix", *prefix}});
    if (!evals) {
        fail(in, "Error querying evaluation: {}", evals.error().message());
        return std::nullopt;
    }
    if (const auto* found = exact_match(*evals, text)) return found->id();
    if (evals->empty()) {
        fail(in, "No evaluation(s) with prefix or id {} found", quoted(text));
        return std::nullopt;
    }
    std::vector<Row> rows = {{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}};
    for (const auto& eval : *evals)
        rows.push_back({limit_id(eval.id(), kFullId), std::to_string(eval.priority()), eval.triggered_by(),
                        eval.status(), eval.failed_tg_allocs().empty() ? "false" : "true"});
    fail(in, "Prefix matched multiple evaluations\n\n{}", table(rows));
    return std::nullopt;
}

std::optional<std::string> resolve_node(Invocation& in, api::Client& client, const std::string& text) {
    auto prefix = uuid_prefix(in, text);
    if (!prefix) return std::nullopt;
    auto nodes = get_list<model::NodeListStub>(client, "/v1/nodes", {{"prefix", *prefix}});
    if (!nodes) {
        fail(in, "Error querying node info: {}", nodes.error().message());
        return std::nullopt;
    }
    if (const auto* found = exact_match(*nodes, text)) return found->id();
    if (nodes->empty()) {
        fail(in, "No node(s) with prefix {} found", quoted(text));
        return std::nullopt;
    }
    std::vector<Row> rows = {{"ID", "Node Pool", "DC", "Name", "Class", "Drain", "Eligibility", "Status"}};
    for (const auto& node : *nodes)
        rows.push_back({limit_id(node.id(), kFullId), node.node_pool(), node.datacenter(), node.name(),
                        node.node_class(), node.drain() ? "true" : "false", node.scheduling_eligibility(),
                        node.status()});
    fail(in, "Prefix {} matched multiple nodes\n\n{}", quoted(text), table(rows));
    return std::nullopt;
}

std::optional<JobName> resolve_job(Invocation& in, api::Client& client, const std::string& prefix,
                                   std::string_view lead) {
    auto jobs = get_list<model::JobListStub>(client, "/v1/jobs", {{"prefix", prefix}});
    if (!jobs) {
        fail(in, "{}: {}", lead, jobs.error().message());
        return std::nullopt;
    }
    if (jobs->empty()) {
        fail(in, "No job(s) with prefix or ID {} found", quoted(prefix));
        return std::nullopt;
    }
    std::vector<const model::JobListStub*> same;
    for (const auto& job : *jobs)
        if (job.id() == prefix) same.push_back(&job);
    if (same.size() == 1) return JobName{same[0]->id(), same[0]->namespace_(), true};
    if (same.empty() && jobs->size() == 1) return JobName{(*jobs)[0].id(), (*jobs)[0].namespace_(), false};
    fail(in, "Prefix {} matched multiple jobs\n\n{}", quoted(prefix),
         jobs_table(*jobs, client.options().namespace_name == "*"));
    return std::nullopt;
}

std::string job_path(std::string_view job_id, std::string_view tail) {
    return fmt::format("/v1/job/{}{}", api::escape_segment(job_id), tail);
}

std::string jobs_table(const std::vector<model::JobListStub>& jobs, bool with_namespace) {
    std::vector<Row> rows;
    rows.push_back({"ID"});
    if (with_namespace) rows[0].push_back("Namespace");
    for (const char* title : {"Type", "Priority", "Status", "Submit Date"}) rows[0].push_back(title);
    for (const auto& job : jobs) {
        Row row = {job.id()};
        if (with_namespace) row.push_back(job.namespace_());
        auto type = job.type();
        if (job.periodic()) type += "/periodic";
        if (job.parameterized_job()) type += "/parameterized";
        row.push_back(type);
        row.push_back(std::to_string(job.priority()));
        row.push_back(job.stop() ? fmt::format("{} (stopped)", job.status()) : job.status());
        row.push_back(format_time(job.submit_time()));
        rows.push_back(std::move(row));
    }
    return table(rows);
}

const model::Value& field(const model::Value& object, std::string_view name) {
    static const model::Value none;
    const auto& fields = object.map_value().fields();
    auto it = fields.find(std::string(name));
    return it == fields.end() ? none : it->second;
}

std::string text_of(const model::Value& value) {
    if (value.kind_case() == model::Value::kStringValue) return value.string_value();
    if (value.kind_case() == model::Value::KIND_NOT_SET || value.kind_case() == model::Value::kNullValue)
        return "";
    return model::json::encode_value(value);
}

}  // namespace drover::cli
