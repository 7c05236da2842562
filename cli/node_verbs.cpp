// SPDX-License-Identifier: Apache-2.0
// node drain, node eligibility, node pool list.
#include <thread>

#include "base/clock.h"
#include "cli/node_self.h"
#include "cli/verbs.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

std::optional<std::string> chosen_node(Invocation& in, api::Client& client) {
    return in.on("self") ? own_node_id(in, client) : resolve_node(in, client, in.args[0]);
}

// One line for each thing that happens to the node and its allocations until nothing runs there any more.
class DrainMonitor {
 public:
    DrainMonitor(Invocation& in, api::Client& client, std::string id)
        : in_(in), client_(client), id_(std::move(id)) {}

    int run() {
        line("Ctrl-C to stop monitoring: will not cancel the node drain");
        while (true) {
            model::Node node;
            if (auto got = client_.get_message("/v1/node/" + id_, node); !got)
                return fail(in_, "Error monitoring node: {}", got.error().message());
            auto allocs = get_list<model::Allocation>(client_, fmt::format("/v1/node/{}/allocations", id_));
            if (!allocs) return fail(in_, "Error monitoring allocations: {}", allocs.error().message());
            bool draining = node.has_drain_strategy();
            if (draining && !std::exchange(announced_, true))
                line(fmt::format("Node {} drain strategy set", quoted(id_)));
            bool running = show(*allocs);
            if (!draining && !std::exchange(completed_, true))
                line(fmt::format("Drain complete for node {}", id_));
            if (!draining && !running) break;
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
        }
        line(fmt::format("All allocations on node {} have stopped", quoted(id_)));
        return kExitOk;
    }

 private:
    struct Seen {
        bool migrating = false;
        bool stopping = false;
        std::string status;
    };
    void line(std::string_view text) {
        in_.io.line(fmt::format("{}: {}", format_time(in_.io.clock()), text));
    }
    // Whether something that must go is still there.
    bool show(const std::vector<model::Allocation>& allocs) {
        bool running = false;
        for (const auto& alloc : allocs) {
            bool ended = model::client_terminal(alloc);
            auto [it, fresh] = seen_.try_emplace(alloc.id());
            auto& seen = it->second;
            if (fresh)
                seen = {ended, ended || alloc.desired_status() != model::kAllocDesiredRun,
                        alloc.client_status()};
            auto tell = [&](std::string_view what) {
                line(fmt::format("Alloc {} {}", quoted(alloc.id()), what));
            };
            if (alloc.desired_transition().migrate() && !std::exchange(seen.migrating, true))
                tell("marked for migration");
            if (alloc.desired_status() != model::kAllocDesiredRun && !std::exchange(seen.stopping, true))
                tell("draining");
            if (seen.status != alloc.client_status())
                tell(fmt::format("status {} -> {}", seen.status, alloc.client_status()));
            seen.status = alloc.client_status();
            bool stays = in_.on("ignore-system") && alloc.job().type().find("sys") == 0;
            running |= !ended && !stays;
        }
        return running;
    }

    Invocation& in_;
    api::Client& client_;
    const std::string id_;
    std::map<std::string, Seen> seen_;
    bool announced_ = false;
    bool completed_ = false;
};

}  // namespace

std::optional<std::string> own_node_id(Invocation& in, api::Client& client) {
    auto reply = client.get("/v1/agent/self");
    auto value = reply ? model::json::parse_value(reply->body) : Result<model::Value>(reply.error());
    if (!value) {
        fail(in, "Error querying agent: {}", value.error().message());
        return std::nullopt;
    }
    const auto* at = &*value;
    for (const char* key : {"stats", "client", "node_id"}) {
        auto it = at->map_value().fields().find(key);
        if (it == at->map_value().fields().end()) {
            fail_text(in, "Local node name not found: this agent runs no client");
            return std::nullopt;
        }
        at = &it->second;
    }
    return at->string_value();
}

int node_eligibility(Invocation& in) {
    if (in.on("enable") == in.on("disable"))
        return usage_error(in, "Either the '-enable' or '-disable' flag must be set");
    if (!in.on("self") && in.args.empty())
        return usage_error(in, "Node ID must be specified if -self isn't being used");
    auto client = make_client(in);
    if (!client) return kExitError;
    auto id = chosen_node(in, *client);
    if (!id) return kExitError;
    model::NodeUpdateEligibilityRequest request;
    request.set_node_id(*id);
    request.set_eligibility(in.on("enable") ? "eligible" : "ineligible");
    auto sent = client->put(fmt::format("/v1/node/{}/eligibility", *id), model::json::encode(request));
    if (!sent) return fail(in, "Error updating scheduling eligibility: {}", sent.error().message());
    in.io.line(fmt::format("Node {} scheduling eligibility set: {} for scheduling", quoted(*id),
                           request.eligibility()));
    return kExitOk;
}

int node_drain(Invocation& in) {
    int modes = (in.on("enable") ? 1 : 0) + (in.on("disable") ? 1 : 0) + (in.on("monitor") ? 1 : 0);
    if (modes != 1)
        return usage_error(in,
                           "Either the '-enable' or '-disable' flag must be set, unless using '-monitor'");
    if (!in.on("self") && in.args.empty())
        return usage_error(in, "Node ID must be specified if -self isn't being used");
    if (in.on("force") + in.on("no-deadline") + in.given("deadline") > 1)
        return usage_error(in, "-deadline, -force and -no-deadline exclude one another");
    auto client = make_client(in);
    if (!client) return kExitError;
    auto id = chosen_node(in, *client);
    if (!id) return kExitError;
    if (in.on("monitor")) return DrainMonitor(in, *client, *id).run();
    auto verb = in.on("enable") ? "enable" : "disable";
    if (!in.on("yes")) {
        auto answer =
            ask(in, fmt::format("Are you sure you want to {} drain mode for node {}?", verb, quoted(*id)));
        if (answer == Answer::Failed) return kExitError;
        if (answer == Answer::No) return in.io.line("Canceling drain toggle"), kExitOk;
    }
    model::NodeUpdateDrainRequest request;
    request.set_node_id(*id);
    if (in.on("enable")) {
        auto deadline = in.on("force") ? -1 : in.on("no-deadline") ? 0 : in.number("deadline");
        request.mutable_drain_spec()->set_deadline(deadline);
        request.mutable_drain_spec()->set_ignore_system_jobs(in.on("ignore-system"));
    }
    request.set_mark_eligible(in.on("disable") && !in.on("keep-ineligible"));
    if (in.given("m")) (*request.mutable_meta())["message"] = in.text("m");
    for (const auto& item : in.list("meta")) {
        auto equals = item.find('=');
        (*request.mutable_meta())[item.substr(0, equals)] = item.substr(equals + 1);
    }
    auto sent = client->put(fmt::format("/v1/node/{}/drain", *id), model::json::encode(request));
    if (!sent) return fail(in, "Error updating drain specification: {}", sent.error().message());
    if (in.on("disable") || in.on("detach")) {
        in.io.line(fmt::format("Node {} drain strategy {}", quoted(*id), in.on("enable") ? "set" : "unset"));
        return kExitOk;
    }
    return DrainMonitor(in, *client, *id).run();
}

int node_pool_list(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    auto reply = client->get("/v1/node/pools");
    if (!reply) return fail(in, "Error querying node pools: {}", reply.error().message());
    if (wants_data(in)) return print_data(in, reply->body);
    auto pools = get_list<model::NodePool>(*client, "/v1/node/pools");
    if (!pools) return fail(in, "Error querying node pools: {}", pools.error().message());
    std::vector<Row> rows = {{"Name", "Description"}};
    for (const auto& pool : *pools) rows.push_back({pool.name(), pool.description()});
    in.io.line(table(rows));
    return kExitOk;
}

}  // namespace drover::cli
