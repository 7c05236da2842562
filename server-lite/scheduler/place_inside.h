// SPDX-License-Identifier: Apache-2.0
// The inside of Placer, shared by place.cpp (scores) and assign.cpp (ports, cores, devices). Nobody else
// includes it.
#pragma once
#include "server-lite/scheduler/place.h"

namespace drover::server {

using Ports = std::multiset<std::pair<std::string, int64_t>>;

// The address whose ports a host network stands for: its first one, as Nomad takes it. A task that binds every address
// of the host would collide on the others too, so a taken port is not offered on a second one. Empty: none.
std::string address_of(const model::Node& node, const std::string& host_network);
bool port_free(const Ports& used, const Ports& reserved, const std::string& ip, int64_t port);
// What a reserved core counts for.
int64_t mhz_per_core(const model::Node& node);

struct Placer::Column {
    NodePtr node;
    model::Comparable available;
    NodeUsage usage;                            // with the plan so far
    std::map<std::string, int64_t> job_groups;  // allocations of this job, by group
};

struct Placer::Scored {
    bool valid = false;  // the rest is up to date
    bool fits = false;
    std::string exhausted;  // when not
    double score = 0;
    double binpack = 0, anti_affinity = 0, penalty = 0, affinity = 0, spread = 0;
};

struct Placer::SpreadView {
    const model::Spread* spread = nullptr;
    std::map<std::string, double> desired;  // by value; "*" for the rest
    std::map<std::string, int64_t> use;
    double weight = 0;
};

struct Placer::GroupView {
    GroupView(const model::Job& job, const model::TaskGroup& g) : group(&g), feasibility(job, g) {}
    const model::TaskGroup* group;
    GroupFeasibility feasibility;
    model::AllocatedResources ask;
    model::Comparable need;
    int64_t cores = 0;
    std::vector<std::pair<std::string, int64_t>> static_ports;  // (host network, port)
    std::vector<const model::RequestedDevice*> devices;
    std::vector<const model::Affinity*> affinities;
    double affinity_weights = 0;
    std::vector<SpreadView> spreads;
    bool distinct_hosts_job = false, distinct_hosts_group = false;
    struct Property {
        std::string target;
        int64_t allowed = 1;
        bool group_only = false;
        std::map<std::string, int64_t> use;
    };
    std::vector<Property> properties;
    std::vector<std::string> reasons;  // per column; empty: feasible
    std::vector<double> affinity;      // per column
    std::vector<Scored> scored;        // per column
    model::AllocationMetric filtered;  // what feasibility alone says
};

}  // namespace drover::server
