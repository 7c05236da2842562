// SPDX-License-Identifier: Apache-2.0
// Which nodes can run a task group at all, and why not: datacenter, pool, constraints, drivers, networks,
// volumes, devices. Says nothing about room (fit.h) or quality (place.h). Pure.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server-lite/state/state.h"

namespace drover::server {

bool glob_match(std::string_view pattern, std::string_view text);  // '*' stands for any text
bool in_datacenters(const model::Job& job, const model::Node& node);
bool in_pool(const model::Job& job, const model::Node& node);

// The value that "${attr.kernel.name}" and the like stand for on the node; a text without "${" is itself.
// Empty optional: not found.
std::optional<std::string> resolve_target(std::string_view target, const model::Node& node);

// One comparison. distinct_hosts and distinct_property are always true here (place.cpp looks at other
// allocations).
bool check_constraint(std::string_view operand, const std::optional<std::string>& left,
                      const std::optional<std::string>& right);
bool check_constraint(const model::Constraint& constraint, const model::Node& node);
bool check_affinity(const model::Affinity& affinity, const model::Node& node);
// As people read it in metrics: "${attr.kernel.name} = windows".
std::string constraint_text(const model::Constraint& constraint);

// A constraint on what is different on each node of a class.
bool escapes_class(const model::Constraint& constraint);
// Same for nodes between which no constraint (that does not escape) can tell a difference.
std::string computed_class(const model::Node& node);

// All checks for one group of a job, with those that depend on the class alone done once a class.
class GroupFeasibility {
 public:
    GroupFeasibility(const model::Job& job, const model::TaskGroup& group);
    // Empty when feasible, else the reason as metrics show it ("missing drivers", "${attr.x} = y", ...).
    const std::string& reason(const model::Node& node);
    bool escaped() const { return escaped_; }
    // Whether the class-wide checks pass; only for classes that reason() has seen.
    const std::unordered_map<std::string, std::string>& classes() const { return by_class_; }

 private:
    std::string class_reason(const model::Node& node) const;
    std::string node_reason(const model::Node& node) const;

    const model::TaskGroup& group_;
    std::vector<const model::Constraint*> by_class_constraints_, by_node_constraints_;
    std::vector<std::string> drivers_;
    std::vector<const model::RequestedDevice*> devices_;
    bool escaped_ = false;
    std::unordered_map<std::string, std::string> by_class_;
    std::string last_;
};

// Whether a device group of the node answers to the request's name (type, vendor/type, vendor/type/name) and
// constraints.
bool device_matches(const model::RequestedDevice& request, const model::NodeDeviceResource& device);

}  // namespace drover::server
