// SPDX-License-Identifier: Apache-2.0
// The Node service: what clients say and ask, and what operators do to nodes. A client proves itself by the
// secret that it registered with.
#include "base/clock.h"
#include "base/uuid.h"
#include "model/status.h"
#include "server-lite/broker/client_updates.h"
#include "server-lite/broker/drainer.h"
#include "server-lite/broker/heartbeats.h"
#include "server-lite/rpc/endpoints.h"
#include "server-lite/scheduler/feasible.h"

namespace drover::server {
namespace {

using cluster::NodeHeartbeatResponse;
using model::Node;

Status check_secret(const Node& node, const std::string& secret) {
    // Compared in full length, whatever differs first.
    const auto& known = node.secret_id();
    unsigned char different = known.size() != secret.size();
    for (size_t i = 0; i < known.size() && i < secret.size(); ++i)
        different = static_cast<unsigned char>(different | (known[i] ^ secret[i]));
    if (different) return make_error(Code::PermissionDenied, "node secret ID does not match");
    return {};
}

void fill(Core& core, NodeHeartbeatResponse& response, const std::string& node_id, uint64_t index) {
    response.mutable_meta()->set_index(index);
    response.set_heartbeat_ttl_ns(core.heartbeats->reset(node_id));
    if (!core.rpc_address().empty()) response.add_servers(core.rpc_address());
}

// What the scheduler looks at has changed.
bool placement_differs(const Node& a, const Node& b) {
    auto drivers = [](const Node& n) {
        std::map<std::string, std::pair<bool, bool>> out;
        for (const auto& [name, d] : n.drivers()) out[name] = {d.detected(), d.healthy()};
        return out;
    };
    auto text_map = [](const auto& m) { return std::map<std::string, std::string>(m.begin(), m.end()); };
    return a.datacenter() != b.datacenter() || a.name() != b.name() || a.node_class() != b.node_class() ||
           a.node_pool() != b.node_pool() || text_map(a.attributes()) != text_map(b.attributes()) ||
           text_map(a.meta()) != text_map(b.meta()) || drivers(a) != drivers(b) ||
           a.host_volumes_size() != b.host_volumes_size() ||
           a.node_resources().SerializeAsString() != b.node_resources().SerializeAsString();
}

void node_register(Core& core, const cluster::NodeRegisterRequest& r,
                   std::function<void(Result<NodeHeartbeatResponse>)> done) {
    Node node = r.node();
    auto missing = [&](std::string_view what) {
        done(make_error(Code::InvalidArgument, "missing {} for client registration", what));
    };
    if (node.id().empty()) return missing("node ID");
    if (node.datacenter().empty()) return missing("datacenter");
    if (node.name().empty()) return missing("node name");
    if (node.secret_id().empty()) return missing("node secret ID");
    if (!is_uuid(node.id()))
        return done(make_error(Code::InvalidArgument, "node ID \"{}\" is not a UUID", node.id()));
    if (node.node_pool().empty()) node.set_node_pool(std::string(model::kNodePoolDefault));
    if (node.node_pool() == model::kNodePoolAll)
        return done(
            make_error(Code::InvalidArgument, "node is not allowed to register in node pool \"all\""));
    if (node.status().empty()) node.set_status(std::string(model::kNodeStatusInit));
    if (node.scheduling_eligibility().empty())
        node.set_scheduling_eligibility(std::string(model::kNodeEligible));
    if (node.status() != model::kNodeStatusInit && node.status() != model::kNodeStatusReady)
        return done(make_error(Code::InvalidArgument, "invalid status \"{}\" for client registration",
                               node.status()));
    node.set_computed_class(computed_class(node));

    const auto state = core.store.snapshot();
    const auto existing = state->node(node.id());
    if (existing && !check_secret(*existing, node.secret_id()))
        return done(
            make_error(Code::PermissionDenied, "node secret ID does not match. Not registering node."));
    // A client that is back says it is initializing until it has told what runs; what was ready stays so
    // meanwhile.
    if (existing && existing->status() == model::kNodeStatusReady && node.status() == model::kNodeStatusInit)
        node.set_status(existing->status());
    cmd::Command command;
    auto& upsert = *command.mutable_node_upsert();
    const bool now_ready = node.status() == model::kNodeStatusReady;
    const bool was_ready = existing && existing->status() == model::kNodeStatusReady;
    NodeHeartbeatResponse response;
    if (now_ready && (!was_ready || placement_differs(*existing, node)))
        for (auto& eval : node_evals(*state, node, model::kTriggerNodeUpdate, unix_now())) {
            response.add_eval_ids(eval.id());
            *upsert.add_evals() = std::move(eval);
        }
    const std::string id = node.id();
    *upsert.mutable_node() = std::move(node);
    core.propose(std::move(command), [&core, id, response = std::move(response),
                                      done = std::move(done)](Result<uint64_t> index) mutable {
        if (!index) return done(std::move(index).error());
        fill(core, response, id, *index);
        done(std::move(response));
    });
}

void node_update_status(Core& core, const cluster::NodeUpdateStatusRequest& r,
                        std::function<void(Result<NodeHeartbeatResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto node = state->node(r.node_id());
    if (!node) return done(make_error(Code::NotFound, "node not found"));
    if (auto status = check_secret(*node, r.secret_id()); !status) return done(std::move(status).error());
    if (r.status() != model::kNodeStatusReady && r.status() != model::kNodeStatusInit &&
        r.status() != model::kNodeStatusDown)
        return done(make_error(Code::InvalidArgument, "invalid status \"{}\" for node", r.status()));
    NodeHeartbeatResponse response;
    if (node->status() == r.status()) {  // a heartbeat: nothing to write
        fill(core, response, r.node_id(), node->modify_index());
        return done(std::move(response));
    }
    cmd::Command command;
    auto& update = *command.mutable_node_status();
    update.set_node_id(r.node_id());
    update.set_status(r.status());
    if (node->status() == model::kNodeStatusDown) {
        update.mutable_event()->set_message("Node reregistered by heartbeat");
        update.mutable_event()->set_subsystem("Cluster");
        update.mutable_event()->set_timestamp(unix_now());
    }
    auto changed = *node;
    changed.set_status(r.status());
    for (auto& eval : node_evals(*state, changed, model::kTriggerNodeUpdate, unix_now())) {
        response.add_eval_ids(eval.id());
        *update.add_evals() = std::move(eval);
    }
    core.propose(std::move(command), [&core, id = r.node_id(), response = std::move(response),
                                      done = std::move(done)](Result<uint64_t> index) mutable {
        if (!index) return done(std::move(index).error());
        fill(core, response, id, *index);
        done(std::move(response));
    });
}

void node_update_allocs(Core& core, const cluster::NodeUpdateAllocsRequest& r,
                        std::function<void(Result<cluster::NodeUpdateAllocsResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto node = state->node(r.node_id());
    if (!node) return done(make_error(Code::NotFound, "node not found"));
    if (auto status = check_secret(*node, r.secret_id()); !status) return done(std::move(status).error());
    if (node->status() == model::kNodeStatusDown)
        return done(make_error(Code::FailedPrecondition,
                               "node {} is not allowed to update allocs while in status {}", node->id(),
                               node->status()));
    std::vector<model::Allocation> allocs;
    for (const auto& alloc : r.allocs()) {
        const auto record = state->alloc(alloc.id());
        if (record && record->alloc->node_id() == r.node_id()) allocs.push_back(alloc);
    }
    if (allocs.empty()) {
        cluster::NodeUpdateAllocsResponse response;
        response.mutable_meta()->set_index(state->index);
        return done(std::move(response));
    }
    core.client_updates->add(std::move(allocs), [done = std::move(done)](Result<uint64_t> index) {
        if (!index) return done(index.error());
        cluster::NodeUpdateAllocsResponse response;
        response.mutable_meta()->set_index(*index);
        done(std::move(response));
    });
}

template <class Evals>
void answer_update(cmd::Command command, Core& core, const std::string& node_id, const Evals& evals,
                   std::function<void(Result<cluster::NodeUpdateResponse>)> done) {
    cluster::NodeUpdateResponse response;
    for (const auto& eval : evals) response.add_eval_ids(eval.id());
    core.propose(std::move(command), [&core, node_id, response = std::move(response),
                                      done = std::move(done)](Result<uint64_t> index) mutable {
        if (!index) return done(std::move(index).error());
        response.mutable_meta()->set_index(*index);
        if (response.eval_ids_size() > 0) response.set_eval_create_index(*index);
        if (auto node = core.store.snapshot()->node(node_id))
            response.set_node_modify_index(node->modify_index());
        done(std::move(response));
    });
}

model::NodeEvent event(std::string_view subsystem, std::string_view message) {
    model::NodeEvent e;
    e.set_subsystem(std::string(subsystem));
    e.set_message(std::string(message));
    e.set_timestamp(unix_now());
    return e;
}

void node_update_drain(Core& core, const cluster::NodeUpdateDrainRequest& r,
                       std::function<void(Result<cluster::NodeUpdateResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto node = state->node(r.node_id());
    if (!node) return done(make_error(Code::NotFound, "node not found"));
    const int64_t now = unix_now();
    cmd::Command command;
    auto& drain = *command.mutable_node_drain();
    drain.set_node_id(r.node_id());
    drain.set_mark_eligible(r.mark_eligible());
    *drain.mutable_meta() = r.meta_data();
    if (r.has_drain_spec()) {
        auto& strategy = *drain.mutable_strategy();
        strategy.set_deadline(r.drain_spec().deadline());
        strategy.set_ignore_system_jobs(r.drain_spec().ignore_system_jobs());
        strategy.set_started_at(node->has_drain_strategy() ? node->drain_strategy().started_at() : now);
        const bool force = r.drain_spec().deadline() < 0;
        if (r.drain_spec().deadline() > 0) strategy.set_force_deadline(now + r.drain_spec().deadline());
        if (force) strategy.set_force_deadline(now);
        *drain.mutable_event() = event(
            "Drain", node->has_drain_strategy() ? "Node drain strategy updated" : "Node drain strategy set");
        for (auto& id : drainable(*state, r.node_id(), force ? DrainForce::Yes : DrainForce::No))
            *drain.add_migrate() = std::move(id);
    } else {
        *drain.mutable_event() = event("Drain", "Node drain disabled");
    }
    for (auto& eval : node_evals(*state, *node, model::kTriggerNodeDrain, now))
        *drain.add_evals() = std::move(eval);
    const auto evals = drain.evals();
    answer_update(std::move(command), core, r.node_id(), evals, std::move(done));
}

void node_update_eligibility(Core& core, const cluster::NodeUpdateEligibilityRequest& r,
                             std::function<void(Result<cluster::NodeUpdateResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto node = state->node(r.node_id());
    if (!node) return done(make_error(Code::NotFound, "node not found"));
    if (r.eligibility() != model::kNodeEligible && r.eligibility() != model::kNodeIneligible)
        return done(
            make_error(Code::InvalidArgument, "invalid scheduling eligibility \"{}\"", r.eligibility()));
    cmd::Command command;
    auto& update = *command.mutable_node_eligibility();
    update.set_node_id(r.node_id());
    update.set_eligibility(r.eligibility());
    const bool eligible = r.eligibility() == model::kNodeEligible;
    *update.mutable_event() = event("Cluster", eligible ? "Node marked as eligible for scheduling"
                                                        : "Node marked as ineligible for scheduling");
    if (eligible && node->scheduling_eligibility() == model::kNodeIneligible)
        for (auto& eval : node_evals(*state, *node, model::kTriggerNodeUpdate, unix_now()))
            *update.add_evals() = std::move(eval);
    const auto evals = update.evals();
    answer_update(std::move(command), core, r.node_id(), evals, std::move(done));
}

void node_deregister(Core& core, const cluster::NodeDeregisterRequest& r,
                     std::function<void(Result<cluster::NodeUpdateResponse>)> done) {
    const auto state = core.store.snapshot();
    cmd::Command command;
    auto& remove = *command.mutable_node_remove();
    for (const auto& id : r.node_ids()) {
        const auto node = state->node(id);
        if (!node) return done(make_error(Code::NotFound, "node not found"));
        remove.add_node_ids(id);
        for (auto& eval : node_evals(*state, *node, model::kTriggerNodeUpdate, unix_now()))
            *remove.add_evals() = std::move(eval);
    }
    if (remove.node_ids().empty())
        return done(make_error(Code::InvalidArgument, "missing node IDs for client deregistration"));
    const auto evals = remove.evals();
    answer_update(std::move(command), core, "", evals, std::move(done));
}

std::string http_host(const Node& node) {
    return node.http_addr().substr(0, node.http_addr().rfind(':'));
}

model::NodeListStub stub_of(const Node& node, const cluster::NodeListRequest& r) {
    model::NodeListStub stub;
    stub.set_address(http_host(node));
    stub.set_id(node.id());
    if (r.os())
        if (auto os = node.attributes().find("os.name"); os != node.attributes().end())
            (*stub.mutable_attributes())["os.name"] = os->second;
    stub.set_datacenter(node.datacenter());
    stub.set_name(node.name());
    stub.set_node_class(node.node_class());
    stub.set_node_pool(node.node_pool());
    if (auto version = node.attributes().find("nomad.version"); version != node.attributes().end())
        stub.set_version(version->second);
    stub.set_drain(node.has_drain_strategy());
    stub.set_scheduling_eligibility(node.scheduling_eligibility());
    stub.set_status(node.status());
    stub.set_status_description(node.status_description());
    *stub.mutable_drivers() = node.drivers();
    if (r.resources()) {
        *stub.mutable_node_resources() = node.node_resources();
        *stub.mutable_reserved_resources() = node.reserved_resources();
    }
    if (node.has_last_drain()) *stub.mutable_last_drain() = node.last_drain();
    stub.set_create_index(node.create_index());
    stub.set_modify_index(node.modify_index());
    return stub;
}

}  // namespace

void register_node_endpoints(Endpoints& e) {
    using namespace cluster;
    using Keys = Endpoints::Keys;
    auto& core = e.core();
    e.write<NodeRegisterRequest, NodeHeartbeatResponse>(
        "Node.Register", [&core](auto r, auto done) { node_register(core, *r, done); });
    e.write<NodeUpdateStatusRequest, NodeHeartbeatResponse>(
        "Node.UpdateStatus", [&core](auto r, auto done) { node_update_status(core, *r, done); });
    e.write<NodeUpdateAllocsRequest, NodeUpdateAllocsResponse>(
        "Node.UpdateAllocs", [&core](auto r, auto done) { node_update_allocs(core, *r, done); });
    e.write<NodeUpdateDrainRequest, NodeUpdateResponse>(
        "Node.UpdateDrain", [&core](auto r, auto done) { node_update_drain(core, *r, done); });
    e.write<NodeUpdateEligibilityRequest, NodeUpdateResponse>(
        "Node.UpdateEligibility", [&core](auto r, auto done) { node_update_eligibility(core, *r, done); });
    e.write<NodeDeregisterRequest, NodeUpdateResponse>(
        "Node.Deregister", [&core](auto r, auto done) { node_deregister(core, *r, done); });

    e.read<NodeClientAllocsRequest, NodeClientAllocsResponse>(
        "Node.GetClientAllocs",
        [](const auto& r) {
            return Keys{watch::node_placements(r.node_id()), watch::node(r.node_id())};
        },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto node = s.node(r.node_id());
            if (!node) return make_error(Code::NotFound, "node not found");
            DROVER_CHECK(check_secret(*node, r.secret_id()));
            const uint64_t index = std::max(s.usage_of(r.node_id()).placed_index, node->create_index());
            for (const auto& record : s.node_allocs(r.node_id()))
                (*out.mutable_allocs())[record->alloc->id()] = record->alloc->alloc_modify_index();
            return index;
        },
        Endpoints::Missing::Answers);  // the client must register again
    e.read<NodeListRequest, NodeListResponse>(
        "Node.List", [](const auto&) { return Keys{watch::table(TableId::Nodes)}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            std::vector<Item<NodePtr>> items;
            s.nodes.each([&](const std::string& id, const NodePtr& node) {
                items.push_back({id, id, node});
            });
            DROVER_TRY(auto page, page_of(std::move(items), r.query(), *out.mutable_meta(),
                                          [&](const NodePtr& node) { return stub_of(*node, r); }));
            for (const auto& node : page) *out.add_nodes() = stub_of(*node, r);
            return s.table(TableId::Nodes);
        });
    e.read<NodeGetRequest, NodeGetResponse>(
        "Node.Get", [](const auto& r) { return Keys{watch::node(r.node_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto node = s.node(r.node_id());
            if (!node) return make_error(Code::NotFound, "node not found");
            *out.mutable_node() = *node;
            out.mutable_node()->clear_secret_id();
            out.mutable_node()->set_drain(node->has_drain_strategy());
            return node->modify_index();
        });
    e.read<NodeGetRequest, AllocGetManyResponse>(
        "Node.Allocations", [](const auto& r) { return Keys{watch::node_allocs(r.node_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            uint64_t index = 0;
            for (const auto& record : s.node_allocs(r.node_id())) {
                *out.add_allocs() = full_alloc(*record);
                index = std::max(index, record->alloc->modify_index());
            }
            return index != 0 ? index : s.table(TableId::Allocs);
        });
}

}  // namespace drover::server
