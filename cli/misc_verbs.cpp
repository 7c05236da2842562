// SPDX-License-Identifier: Apache-2.0
// version, status, agent-info, server members, monitor, system, namespace list, operator.
#include "base/clock.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/frames.h"
#include "cli/support.h"
#include "cli/verbs.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

std::map<std::string, const model::Value*> sorted_fields(const model::Value& object) {
    std::map<std::string, const model::Value*> sorted;
    for (const auto& [name, value] : object.map_value().fields()) sorted[name] = &value;
    return sorted;
}

}  // namespace

int version(Invocation& in) {
    in.io.line(fmt::format("drover v{}", kVersion));
    return kExitOk;
}

// Finds out what an identifier names, then shows it as the verb for that would.
int status(Invocation& in) {
    auto flags = [&] {
        return in.on("verbose") ? std::vector<std::string>{"-verbose"} : std::vector<std::string>();
    };
    auto show = [&](std::string_view verb, const std::string& id) {
        auto argv = split(verb, ' ');
        for (const char* name : {"address", "region", "namespace", "token"})
            if (in.given(name)) argv.push_back(fmt::format("-{}={}", name, in.text(name)));
        for (auto& flag : flags()) argv.push_back(flag);
        if (!id.empty()) argv.push_back(id);
        return run_command_line(argv, in.io);
    };
    if (in.args.empty()) return show("job status", "");
    auto client = make_client(in);
    if (!client) return kExitError;
    const auto& id = in.args[0];
    std::string body = "{\"Context\":\"all\",\"Prefix\":";
    model::json::append_quoted(body, id);
    auto reply = client->put("/v1/search", body + "}");
    auto value = reply ? model::json::parse_value(reply->body) : Result<model::Value>(reply.error());
    if (!value) return fail(in, "Error querying search with id: {}: {}", quoted(id), value.error().message());
    constexpr std::pair<std::string_view, std::string_view> kVerbs[] = {{"jobs", "job status"},
                                                                        {"evals", "eval status"},
                                                                        {"allocs", "alloc status"},
                                                                        {"nodes", "node status"},
                                                                        {"deployment", "deployment status"}};
    std::string_view verb;
    std::string_view exact;
    std::vector<std::string> contexts;
    for (const auto& [context, candidate] : kVerbs) {
        const auto& ids = field(field(*value, "Matches"), context).list_value().values();
        if (ids.empty()) continue;
        contexts.emplace_back(context);
        verb = candidate;
        for (const auto& found : ids)
            if (found.string_value() == id) exact = candidate;
    }
    if (contexts.empty()) return fail(in, "Unable to resolve ID: {}", quoted(id));
    if (!exact.empty()) return show(exact, id);
    if (contexts.size() == 1) return show(verb, id);
    return fail(in, "Multiple matches found for id {}: {}", quoted(id), join(contexts, ", "));
}

int agent_info(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->get("/v1/agent/self");
    if (!reply) return fail(in, "Error querying agent info: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto value = model::json::parse_value(reply->body);
    if (!value) return fail(in, "Error querying agent info: {}", value.error().message());
    for (const auto& [section, values] : sorted_fields(field(*value, "stats"))) {
        in.io.line(section);
        for (const auto& [key, item] : sorted_fields(*values))
            in.io.line(fmt::format("  {} = {}", key, text_of(*item)));
    }
    return kExitOk;
}

int server_members(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->get("/v1/agent/members");
    if (!reply) return fail(in, "Error querying servers: {}", reply.error().message());
    model::ServerMembers members;
    if (auto decoded = model::json::decode(reply->body, members); !decoded)
        return fail(in, "Error querying servers: {}", decoded.error().message());
    if (wants_data(in)) return print_data(in, model::json::encode_list(members.members()));
    if (members.members().empty()) {
        in.io.line("Agent doesn't know about server members");
        return kExitOk;
    }
    auto leader_reply = client->get("/v1/status/leader");
    auto leader = leader_reply ? model::json::parse_value(leader_reply->body)
                               : Result<model::Value>(leader_reply.error());
    bool verbose = in.on("verbose") || in.on("detailed");
    std::vector<Row> rows = {{"Name", "Address", "Port", "Status", "Leader"}};
    if (verbose) rows[0].push_back("Protocol");
    rows[0].insert(rows[0].end(), {"Raft Version", "Build", "Datacenter", "Region"});
    if (verbose) rows[0].push_back("Tags");
    std::vector<const model::AgentMember*> sorted;
    for (const auto& member : members.members()) sorted.push_back(&member);
    std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->name() < b->name(); });
    for (const auto* member : sorted) {
        auto tag = [&](const char* name) {
            auto it = member->tags().find(name);
            return it == member->tags().end() ? std::string() : it->second;
        };
        auto rpc = tag("rpc_addr").empty() ? member->addr() : tag("rpc_addr");
        bool leads = leader && leader->string_value() == fmt::format("{}:{}", rpc, tag("port"));
        Row row = {member->name(), member->addr(), std::to_string(member->port()), member->status(),
                   leads ? "true" : "false"};
        if (verbose) row.push_back(std::to_string(member->protocol_cur()));
        row.insert(row.end(), {tag("raft_vsn"), tag("build"), tag("dc"), tag("region")});
        if (verbose) {
            std::map<std::string, std::string> tags(member->tags().begin(), member->tags().end());
            std::string text;
            for (const auto& [key, item] : tags)
                text += fmt::format("{}{}={}", text.empty() ? "" : ",", key, item);
            row.push_back(text);
        }
        rows.push_back(std::move(row));
    }
    in.io.line(table(rows));
    if (!leader) return fail(in, "\nError determining leaders: {}", leader.error().message());
    ui_hint(in, *client, "View and manage Nomad servers", "/ui/servers");
    return kExitOk;
}

int monitor(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    api::QueryParams query = {{"log_level", in.text("log-level")}};
    for (const char* name : {"node-id", "server-id"})
        if (in.given(name)) query.emplace_back(replace_all(name, "-", "_"), in.text(name));
    FrameReader reader([&](const model::StreamFrame& frame) {
        in.io.out(frame.data());
        return true;
    });
    auto shown = client->stream("/v1/agent/monitor", query,
                                [&](std::string_view bytes) { return reader.feed(bytes); });
    if (shown) shown = reader.finish();
    if (!shown) return fail(in, "Error starting monitor: {}", shown.error().message());
    return kExitOk;
}

int system_gc(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->put("/v1/system/gc", "");
    if (!reply) return fail(in, "Error running system garbage-collection: {}", reply.error().message());
    return kExitOk;
}

int system_reconcile(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->put("/v1/system/reconcile/summaries", "");
    if (!reply) return fail(in, "Error running system summary reconciliation: {}", reply.error().message());
    return kExitOk;
}

int namespace_list(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->get("/v1/namespaces");
    if (!reply) return fail(in, "Error retrieving namespaces: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto namespaces = get_list<model::Namespace>(*client, "/v1/namespaces");
    if (!namespaces) return fail(in, "Error retrieving namespaces: {}", namespaces.error().message());
    std::vector<Row> rows = {{"Name", "Description"}};
    for (const auto& item : *namespaces) rows.push_back({item.name(), item.description()});
    in.io.line(rows.size() == 1 ? "No namespaces found" : table(rows));
    return kExitOk;
}

int operator_api(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto path = in.args[0];
    if (!starts_with(path, "/")) path = "/" + path;
    if (!starts_with(path, "/v1/")) path = "/v1" + path;
    std::string body;
    if (in.args.size() == 2) body = in.args[1];
    if (in.given("filter"))
        path += (path.find('?') == std::string::npos ? "?" : "&") +
                api::encode_query({{"filter", in.text("filter")}});
    auto method = in.text("X").empty() ? (body.empty() ? "GET" : "PUT") : to_upper(in.text("X"));
    if (in.on("dryrun")) {
        in.io.out("curl \\\n");
        if (method != "GET") in.io.out(fmt::format("  -X {} \\\n", method));
        for (const auto& header : in.list("H")) in.io.out(fmt::format("  -H '{}' \\\n", header));
        in.io.line(fmt::format("  {}{}", client->address(), path));
        return kExitOk;
    }
    api::Client::RawRequest request{method, path, {}, body};
    for (const auto& header : in.list("H")) {
        auto colon = header.find(':');
        if (colon == std::string::npos) return fail(in, "-H takes \"name: value\", found {}", quoted(header));
        request.headers[to_lower(trim(header.substr(0, colon)))] =
            std::string(trim(header.substr(colon + 1)));
    }
    auto reply = client->raw(request);
    if (!reply) return fail(in, "Error performing request: {}", reply.error().message());
    if (in.on("verbose")) in.io.err(fmt::format("< {} {}\n", reply->status, reply->headers["content-type"]));
    in.io.out(reply->body);
    return reply->status >= 200 && reply->status < 300 ? kExitOk : kExitError;
}

int operator_metrics(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    api::QueryParams query;
    if (!in.text("format").empty()) query.emplace_back("format", in.text("format"));
    if (in.on("pretty")) query.emplace_back("pretty", "1");
    auto reply = client->get("/v1/metrics", query);
    if (!reply) return fail(in, "Error getting metrics: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    in.io.line(reply->body);
    return kExitOk;
}

int operator_scheduler_get(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->get("/v1/operator/scheduler/configuration");
    if (!reply) return fail(in, "Error querying scheduler configuration: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    model::SchedulerConfigurationResponse response;
    if (auto decoded = model::json::decode(reply->body, response); !decoded)
        return fail(in, "Error querying scheduler configuration: {}", decoded.error().message());
    const auto& config = response.scheduler_config();
    auto yes = [](bool value) { return value ? "true" : "false"; };
    const auto& preemption = config.preemption_config();
    in.io.line(key_values(
        {{"Scheduler Algorithm", config.scheduler_algorithm()},
         {"Memory Oversubscription", yes(config.memory_oversubscription_enabled())},
         {"Reject Job Registration", yes(config.reject_job_registration())},
         {"Pause Eval Broker", yes(config.pause_eval_broker())},
         {"Preemption System Scheduler", yes(preemption.system_scheduler_enabled())},
         {"Preemption Service Scheduler", yes(preemption.service_scheduler_enabled())},
         {"Preemption Batch Scheduler", yes(preemption.batch_scheduler_enabled())},
         {"Preemption SysBatch Scheduler", yes(preemption.sys_batch_scheduler_enabled())},
         {"Node Limit For Feasibility Checks", std::to_string(config.node_limit_for_feasibility_checks())},
         {"Modify Index", std::to_string(config.modify_index())}}));
    return kExitOk;
}

int operator_scheduler_set(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    model::SchedulerConfigurationResponse current;
    if (auto got = client->get_message("/v1/operator/scheduler/configuration", current); !got)
        return fail(in, "Error querying for current scheduler configuration: {}", got.error().message());
    auto& config = *current.mutable_scheduler_config();
    auto algorithm = in.text("scheduler-algorithm");
    if (!algorithm.empty()) config.set_scheduler_algorithm(algorithm);
    if (in.given("memory-oversubscription"))
        config.set_memory_oversubscription_enabled(in.on("memory-oversubscription"));
    if (in.given("reject-job-registration"))
        config.set_reject_job_registration(in.on("reject-job-registration"));
    if (in.given("pause-eval-broker")) config.set_pause_eval_broker(in.on("pause-eval-broker"));
    auto& preemption = *config.mutable_preemption_config();
    if (in.given("preempt-batch-scheduler"))
        preemption.set_batch_scheduler_enabled(in.on("preempt-batch-scheduler"));
    if (in.given("preempt-service-scheduler"))
        preemption.set_service_scheduler_enabled(in.on("preempt-service-scheduler"));
    if (in.given("preempt-sysbatch-scheduler"))
        preemption.set_sys_batch_scheduler_enabled(in.on("preempt-sysbatch-scheduler"));
    if (in.given("preempt-system-scheduler"))
        preemption.set_system_scheduler_enabled(in.on("preempt-system-scheduler"));
    if (in.given("node-limit-for-feasibility-checks")) {
        if (in.number("node-limit-for-feasibility-checks") < 0)
            return fail_text(in, "-node-limit-for-feasibility-checks takes 0 or more");
        config.set_node_limit_for_feasibility_checks(
            static_cast<uint64_t>(in.number("node-limit-for-feasibility-checks")));
    }
    api::QueryParams query;
    if (in.given("check-index")) query.emplace_back("cas", in.text("check-index"));
    auto reply = client->put("/v1/operator/scheduler/configuration", model::json::encode(config), query);
    auto value = reply ? model::json::parse_value(reply->body) : Result<model::Value>(reply.error());
    if (!value) return fail(in, "Error setting scheduler configuration: {}", value.error().message());
    if (!field(*value, "Updated").bool_value())
        return fail_text(in, "Scheduler configuration could not be atomically updated, please try again");
    in.io.line("Scheduler configuration updated!");
    return kExitOk;
}

}  // namespace drover::cli
