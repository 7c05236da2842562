// SPDX-License-Identifier: Apache-2.0
// The Cluster service: who leads, settings, search, figures, garbage collection.
#include "base/clock.h"
#include "model/status.h"
#include "server-lite/broker/heartbeats.h"
#include "server-lite/broker/janitor.h"
#include "server-lite/rpc/endpoints.h"

namespace drover::server {
namespace {

constexpr int kMatchesMax = 20;

std::string address_of(Core& core) {
    return core.rpc_address().empty() ? "127.0.0.1:4647" : core.rpc_address();
}

template <class Value>
void match(const Table<Value>& table, const std::string& prefix, cluster::SearchResponse::Matches& out,
           const std::function<bool(const Value&)>& wanted = nullptr) {
    table.scan_prefix(prefix, [&](const std::string& id, const Value& value) {
        if (wanted && !wanted(value)) return true;
        if (out.ids_size() == kMatchesMax) {
            out.set_truncated(true);
            return false;
        }
        out.add_ids(id);
        return true;
    });
}

Result<uint64_t> search(const cluster::SearchRequest& r, const State& s, cluster::SearchResponse& out) {
    const auto ns = namespace_of(r.query());
    const std::string context = r.context().empty() ? "all" : r.context();
    auto in = [&](const std::string& name) { return context == "all" || context == name; };
    auto& found = *out.mutable_contexts();
    auto here = [&](const std::string& of) { return ns == "*" || of == ns; };
    bool known = context == "all";
    if (in("jobs")) {
        known = true;
        auto& matches = found["jobs"];
        s.jobs.each([&](const std::string&, const JobPtr& job) {
            if (!here(job->namespace_()) || !job->id().starts_with(r.prefix())) return true;
            if (matches.ids_size() == kMatchesMax) {
                matches.set_truncated(true);
                return false;
            }
            matches.add_ids(job->id());
            return true;
        });
    }
    // Ids are lower-case hex; a prefix that cannot be one matches nothing.
    if (in("evals")) {
        known = true;
        match<EvalPtr>(s.evals, r.prefix(), found["evals"],
                       [&](const EvalPtr& e) { return here(e->namespace_()); });
    }
    if (in("allocs")) {
        known = true;
        match<AllocPtr>(s.allocs, r.prefix(), found["allocs"],
                        [&](const AllocPtr& a) { return here(a->alloc->namespace_()); });
    }
    if (in("nodes")) {
        known = true;
        match<NodePtr>(s.nodes, r.prefix(), found["nodes"]);
    }
    if (in("deployment")) {
        known = true;
        match<DeploymentPtr>(s.deployments, r.prefix(), found["deployment"],
                             [&](const DeploymentPtr& d) { return here(d->namespace_()); });
    }
    if (in("namespaces")) {
        known = true;
        auto& matches = found["namespaces"];
        if (std::string_view("default").starts_with(r.prefix())) matches.add_ids("default");
    }
    if (!known) {
        if (context == "node_pools" || context == "plugins" || context == "volumes" ||
            context == "scaling_policy" || context == "vars" || context == "quotas")
            found[context];
        else
            return make_error(Code::InvalidArgument, "invalid context: {}", context);
    }
    return s.index;
}

cluster::StatsResponse stats(Core& core) {
    const auto state = core.store.snapshot();
    cluster::StatsResponse out;
    auto set = [&](const std::string& section, const std::string& key, auto value) {
        (*(*out.mutable_sections())[section].mutable_values())[key] = fmt::format("{}", value);
    };
    set("nomad", "server", true);
    set("nomad", "leader", core.leader());
    set("nomad", "leader_addr", address_of(core));
    set("nomad", "bootstrap", true);
    set("nomad", "known_regions", 1);
    set("raft", "state", core.leader() ? "Leader" : "Follower");
    set("raft", "term", core.log->term());
    set("raft", "last_log_index", core.log->last_index());
    set("raft", "commit_index", core.log->last_index());
    set("raft", "applied_index", core.log->applied_index());
    set("raft", "last_snapshot_index", core.log->snapshot_index());
    set("raft", "num_peers", 0);
    const auto broker = core.broker.stats();
    set("broker", "ready", broker.ready);
    set("broker", "unacked", broker.unacked);
    set("broker", "pending", broker.pending);
    set("broker", "waiting", broker.waiting);
    set("broker", "blocked", core.blocked.size());
    set("broker", "escaped", core.blocked.escaped());
    set("broker", "plan_queue", core.applier->depth());
    set("heartbeat", "active", core.heartbeats->active());
    set("state", "jobs", state->jobs.size());
    set("state", "evals", state->evals.size());
    set("state", "allocs", state->allocs.size());
    set("state", "nodes", state->nodes.size());
    set("state", "deployments", state->deployments.size());
    set("state", "watchers", core.store.watchers());
    return out;
}

void set_config(Core& core, const cluster::SetSchedulerConfigRequest& r,
                std::function<void(Result<cluster::SetSchedulerConfigResponse>)> done) {
    const auto& algorithm = r.config().scheduler_algorithm();
    if (!algorithm.empty() && algorithm != "binpack" && algorithm != "spread")
        return done(make_error(Code::InvalidArgument, "invalid scheduler algorithm: {}", algorithm));
    cmd::Command command;
    auto& set = *command.mutable_scheduler_config();
    *set.mutable_config() = r.config();
    if (algorithm.empty()) set.mutable_config()->set_scheduler_algorithm("binpack");
    set.set_check(r.has_cas_index());
    set.set_cas_index(r.cas_index());
    core.propose(std::move(command), [&core, done = std::move(done)](Result<uint64_t> index) {
        cluster::SetSchedulerConfigResponse response;
        if (!index && index.error().code() != Code::Aborted) return done(std::move(index).error());
        response.set_updated(index.has_value());
        response.mutable_meta()->set_index(index ? *index : core.store.snapshot()->index);
        if (index) core.config_changed();
        done(std::move(response));
    });
}

}  // namespace

void register_cluster_endpoints(Endpoints& e) {
    using namespace cluster;
    using Keys = Endpoints::Keys;
    auto& core = e.core();
    e.write<StatusRequest, LeaderResponse>("Cluster.Leader", [&core](auto, auto done) {
        LeaderResponse response;
        if (core.leader()) response.set_address(address_of(core));
        done(std::move(response));
    });
    e.write<StatusRequest, PeersResponse>("Cluster.Peers", [&core](auto, auto done) {
        PeersResponse response;
        response.add_addresses(address_of(core));
        done(std::move(response));
    });
    e.read<ListRequest, SchedulerConfigResponse>(
        "Cluster.SchedulerConfig", [](const auto&) { return Keys{watch::table(TableId::Config)}; },
        [](const auto&, const State& s, auto& out) -> Result<uint64_t> {
            *out.mutable_config() = *s.config;
            return s.config->modify_index();
        });
    e.write<SetSchedulerConfigRequest, SetSchedulerConfigResponse>(
        "Cluster.SetSchedulerConfig", [&core](auto r, auto done) { set_config(core, *r, done); });
    e.read<SearchRequest, SearchResponse>(
        "Cluster.Search", [](const auto&) { return Keys{}; }, search);
    e.read<ListRequest, NamespaceListResponse>(
        "Cluster.Namespaces", [](const auto&) { return Keys{}; },
        [](const auto& r, const State&, auto& out) -> Result<uint64_t> {
            if (!std::string_view("default").starts_with(r.query().prefix())) return uint64_t{1};
            auto& ns = *out.add_namespaces();
            ns.set_name("default");
            ns.set_description("Default shared namespace");
            ns.set_create_index(1);
            ns.set_modify_index(1);
            return uint64_t{1};
        });
    e.write<StatusRequest, StatsResponse>("Cluster.Stats", [&core](auto, auto done) { done(stats(core)); });
    e.write<StatusRequest, WriteMeta>("Cluster.GarbageCollect", [&core](auto, auto done) {
        core.janitor->collect_all([done](Result<uint64_t> index) {
            if (!index) return done(std::move(index).error());
            WriteMeta meta;
            meta.set_index(*index);
            done(std::move(meta));
        });
    });
}

}  // namespace drover::server
