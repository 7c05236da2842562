// SPDX-License-Identifier: Apache-2.0
#include "server-lite/state/state.h"

#include "model/status.h"

namespace drover::server {
namespace {

template <class P>
P get(const Table<P>& table, std::string_view key) {
    const auto* found = table.find(key);
    return found ? *found : P();
}

template <class P>
std::vector<P> by_index(const Table<char>& index, const Table<P>& table, const std::string& prefix) {
    std::vector<P> out;
    index.scan_prefix(prefix, [&](const std::string& key, char) {
        if (const auto* found = table.find(std::string_view(key).substr(prefix.size())))
            out.push_back(*found);
    });
    return out;
}

// A port whose group says that others may have it too (ignore_collision).
bool is_shared(const model::AllocatedResources& resources, std::string_view label) {
    for (const auto& network : resources.shared().networks())
        for (const auto& port : network.reserved_ports())
            if (port.label() == label && port.ignore_collision()) return true;
    return false;
}

// fn(ip, port) for each port an allocation holds for itself: those of the group network, and of old-style
// task networks.
template <class Fn>
void each_port(const model::AllocatedResources& resources, Fn&& fn) {
    for (const auto& port : resources.shared().ports())
        if (!is_shared(resources, port.label())) fn(port.host_ip(), port.value());
    auto network = [&](const model::NetworkResource& n) {
        for (const auto& port : n.reserved_ports())
            if (!port.ignore_collision()) fn(n.ip(), port.value());
        for (const auto& port : n.dynamic_ports()) fn(n.ip(), port.value());
    };
    if (resources.shared().ports().empty())
        for (const auto& n : resources.shared().networks()) network(n);
    for (const auto& [name, task] : resources.tasks())
        for (const auto& n : task.networks()) network(n);
}

template <class Fn>
void each_core(const model::AllocatedResources& resources, Fn&& fn) {
    for (const auto& [name, task] : resources.tasks())
        for (auto core : task.cpu().reserved_cores()) fn(core);
}

template <class Fn>
void each_device(const model::AllocatedResources& resources, Fn&& fn) {
    for (const auto& [name, task] : resources.tasks())
        for (const auto& device : task.devices())
            for (const auto& id : device.device_ids())
                fn(fmt::format("{}/{}/{}/{}", device.vendor(), device.type(), device.name(), id));
}

}  // namespace

std::string pair_key(std::string_view a, std::string_view b) {
    std::string key(a);
    key.push_back('\0');
    key.append(b);
    return key;
}

std::string job_key(std::string_view ns, std::string_view id) {
    return pair_key(ns, id);
}

std::string version_key(std::string_view ns, std::string_view id, uint64_t version) {
    auto key = pair_key(pair_key(ns, id), "");
    for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>((version >> shift) & 0xff));
    return key;
}

bool holds_resources(const AllocRecord& record) {
    return !model::client_terminal(*record.alloc) && !record.handed_over;
}

void add_usage(NodeUsage& usage, const model::Allocation& alloc) {
    usage.used.add(model::comparable(alloc.allocated_resources()));
    each_port(alloc.allocated_resources(),
              [&](const std::string& ip, int64_t port) { usage.ports.emplace(ip, port); });
    each_device(alloc.allocated_resources(), [&](std::string id) { usage.devices.insert(std::move(id)); });
    each_core(alloc.allocated_resources(), [&](uint32_t core) { usage.cores.insert(core); });
    ++usage.allocs;
}

void subtract_usage(NodeUsage& usage, const model::Allocation& alloc) {
    usage.used.subtract(model::comparable(alloc.allocated_resources()));
    auto drop = [](auto& set, const auto& value) {
        if (auto found = set.find(value); found != set.end()) set.erase(found);
    };
    each_port(alloc.allocated_resources(),
              [&](const std::string& ip, int64_t port) { drop(usage.ports, std::pair(ip, port)); });
    each_device(alloc.allocated_resources(), [&](const std::string& id) { drop(usage.devices, id); });
    each_core(alloc.allocated_resources(), [&](uint32_t core) { drop(usage.cores, core); });
    --usage.allocs;
}

JobPtr State::job(std::string_view ns, std::string_view id) const {
    return get(jobs, job_key(ns, id));
}

JobPtr State::job_version(std::string_view ns, std::string_view id, uint64_t version) const {
    auto current = job(ns, id);
    if (current && current->version() == version) return current;
    return get(versions, version_key(ns, id, version));
}

std::vector<JobPtr> State::job_versions(std::string_view ns, std::string_view id) const {
    std::vector<JobPtr> out;
    versions.scan_prefix(pair_key(pair_key(ns, id), ""),
                         [&](const std::string&, const JobPtr& job) { out.push_back(job); });
    std::reverse(out.begin(), out.end());
    return out;
}

SubmissionPtr State::submission(std::string_view ns, std::string_view id, uint64_t version) const {
    return get(submissions, version_key(ns, id, version));
}
SummaryPtr State::summary(std::string_view ns, std::string_view id) const {
    return get(summaries, job_key(ns, id));
}
EvalPtr State::eval(std::string_view id) const {
    return get(evals, id);
}
NodePtr State::node(std::string_view id) const {
    return get(nodes, id);
}
AllocPtr State::alloc(std::string_view id) const {
    return get(allocs, id);
}
DeploymentPtr State::deployment(std::string_view id) const {
    return get(deployments, id);
}

const NodeUsage& State::usage_of(std::string_view node_id) const {
    static const NodeUsage kNone;
    const auto* found = usage.find(node_id);
    return found ? **found : kNone;
}

std::vector<EvalPtr> State::job_evals(std::string_view ns, std::string_view id) const {
    return by_index(evals_by_job, evals, pair_key(job_key(ns, id), ""));
}
std::vector<AllocPtr> State::job_allocs(std::string_view ns, std::string_view id) const {
    return by_index(allocs_by_job, allocs, pair_key(job_key(ns, id), ""));
}
std::vector<AllocPtr> State::node_allocs(std::string_view node_id) const {
    return by_index(allocs_by_node, allocs, pair_key(node_id, ""));
}
std::vector<AllocPtr> State::eval_allocs(std::string_view eval_id) const {
    return by_index(allocs_by_eval, allocs, pair_key(eval_id, ""));
}
std::vector<DeploymentPtr> State::job_deployments(std::string_view ns, std::string_view id) const {
    return by_index(deployments_by_job, deployments, pair_key(job_key(ns, id), ""));
}

DeploymentPtr State::latest_deployment(std::string_view ns, std::string_view id) const {
    DeploymentPtr latest;
    for (auto& deployment : job_deployments(ns, id))
        if (!latest || deployment->create_index() > latest->create_index()) latest = deployment;
    return latest;
}

bool node_ready(const model::Node& node) {
    return node.status() == model::kNodeStatusReady && !node.has_drain_strategy() &&
           node.scheduling_eligibility() != model::kNodeIneligible;
}

model::Allocation full_alloc(const AllocRecord& record) {
    model::Allocation out = *record.alloc;
    if (record.job) *out.mutable_job() = *record.job;
    return out;
}

model::AllocationListStub alloc_stub(const AllocRecord& record) {
    const auto& a = *record.alloc;
    model::AllocationListStub stub;
    stub.set_id(a.id());
    stub.set_eval_id(a.eval_id());
    stub.set_name(a.name());
    stub.set_namespace_(a.namespace_());
    stub.set_node_id(a.node_id());
    stub.set_node_name(a.node_name());
    stub.set_job_id(a.job_id());
    if (record.job) {
        stub.set_job_type(record.job->type());
        stub.set_job_version(record.job->version());
    }
    stub.set_task_group(a.task_group());
    stub.set_desired_status(a.desired_status());
    stub.set_desired_description(a.desired_description());
    stub.set_client_status(a.client_status());
    stub.set_client_description(a.client_description());
    *stub.mutable_task_states() = a.task_states();
    if (a.has_deployment_status()) *stub.mutable_deployment_status() = a.deployment_status();
    stub.set_followup_eval_id(a.followup_eval_id());
    stub.set_next_allocation(a.next_allocation());
    if (a.has_reschedule_tracker()) *stub.mutable_reschedule_tracker() = a.reschedule_tracker();
    *stub.mutable_preempted_allocations() = a.preempted_allocations();
    stub.set_preempted_by_allocation(a.preempted_by_allocation());
    stub.set_create_index(a.create_index());
    stub.set_modify_index(a.modify_index());
    stub.set_create_time(a.create_time());
    stub.set_modify_time(a.modify_time());
    return stub;
}

}  // namespace drover::server
