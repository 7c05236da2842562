// SPDX-License-Identifier: Apache-2.0
// Placer: finds the best node for one allocation after the other. Capacities and usage of all candidate nodes
// stand in columns; every feasible node is scored, and after a placement only what changed is scored again.
// Keeps in mind what the plan has stopped and placed so far. Pure: what looks random comes from the seed.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "server-lite/scheduler/feasible.h"
#include "server-lite/state/state.h"

namespace drover::server {

// splitmix64: the scheduler's only source of chance.
class Seeded {
 public:
    explicit Seeded(uint64_t seed) : state_(seed) {}
    uint64_t next();
    uint64_t below(uint64_t bound) { return bound ? next() % bound : 0; }
    std::string uuid();

 private:
    uint64_t state_;
};

struct PlaceRequest {
    const model::TaskGroup* group = nullptr;
    std::set<std::string> penalty_nodes;  // where it failed before
    std::string preferred_node;           // tried first (sticky disks)
    std::string only_node;                // system jobs
};

struct PlaceOption {
    NodePtr node;
    model::AllocatedResources resources;
};

class Placer {
 public:
    Placer(const State& state, const model::Job& job, Seeded& seeded);
    ~Placer();

    // The best node, or none: then `metric` says why. It is filled either way.
    std::optional<PlaceOption> select(const PlaceRequest& request, model::AllocationMetric& metric);
    // What the plan does meanwhile.
    void stopped(const AllocRecord& record);
    void restored(const AllocRecord& record);  // a stop was withdrawn
    void placed(const model::Allocation& alloc);

    // Whether an allocation may stay where it is under the new job: datacenter, pool, constraints.
    bool may_stay(const AllocRecord& record, const model::TaskGroup& group);
    // Per computed class, whether some group could ever run there; and whether a constraint looks at more
    // than classes.
    std::map<std::string, bool> class_eligibility() const;
    bool escaped() const;
    size_t candidates() const { return nodes_.size(); }
    const std::vector<NodePtr>& nodes() const { return nodes_; }

 private:
    struct Column;
    struct GroupView;
    struct Scored;
    struct SpreadView;

    GroupView& view(const model::TaskGroup& group);
    Scored score(GroupView& group, size_t at, bool penalty);
    std::string room(const GroupView& group, size_t at) const;
    double spread_boost(GroupView& group, const Column& column) const;
    void touch(const std::string& node_id, const model::Allocation& alloc, int by);
    std::string assign(const GroupView& group, const Column& column, model::AllocatedResources& out);
    std::string assign_ports(const GroupView& group, const Column& column, model::AllocatedResources& out);
    std::string assign_cores_and_devices(const GroupView& group, const Column& column,
                                         model::AllocatedResources& out);

    const State& state_;
    const model::Job& job_;
    Seeded& seeded_;
    bool spread_algorithm_ = false;
    bool oversubscription_ = false;
    std::vector<NodePtr> nodes_;
    std::vector<Column> columns_;
    std::unordered_map<std::string, size_t> column_of_;
    std::map<std::string, std::unique_ptr<GroupView>> groups_;
    std::map<std::string, int64_t> available_by_dc_;
    int64_t in_pool_ = 0;
    double spread_weights_ = 0;
};

}  // namespace drover::server
