// SPDX-License-Identifier: Apache-2.0
// What the states of allocations, evaluations, deployments and jobs imply. Pure.
#include "model/status.h"

#include "base/strings.h"
#include "proto/model/model.pb.h"

namespace drover::model {

bool client_terminal(const Allocation& alloc) {
    const auto& status = alloc.client_status();
    return status == kAllocClientComplete || status == kAllocClientFailed || status == kAllocClientLost;
}

bool server_terminal(const Allocation& alloc) {
    return alloc.desired_status() == kAllocDesiredStop || alloc.desired_status() == kAllocDesiredEvict;
}

bool terminal(const Allocation& alloc) {
    return server_terminal(alloc) || client_terminal(alloc);
}

bool eval_terminal(std::string_view status) {
    return status == kEvalStatusComplete || status == kEvalStatusFailed || status == kEvalStatusCancelled;
}

bool deployment_active(std::string_view status) {
    for (auto active : {kDeploymentRunning, kDeploymentPaused, kDeploymentPending, kDeploymentBlocked,
                        kDeploymentUnblocking, kDeploymentInitializing})
        if (status == active) return true;
    return false;
}

int64_t alloc_index(std::string_view alloc_name) {
    auto open = alloc_name.rfind('[');
    if (open == std::string_view::npos || !alloc_name.ends_with(']')) return -1;
    auto number = parse_int(alloc_name.substr(open + 1, alloc_name.size() - open - 2));
    return number && *number >= 0 ? *number : -1;
}

const TaskGroup* find_group(const Job& job, std::string_view name) {
    for (const auto& group : job.task_groups())
        if (group.name() == name) return &group;
    return nullptr;
}

const Task* find_task(const TaskGroup& group, std::string_view name) {
    for (const auto& task : group.tasks())
        if (task.name() == name) return &task;
    return nullptr;
}

bool is_periodic(const Job& job) {
    return job.has_periodic() && (!job.periodic().has_enabled() || job.periodic().enabled());
}

bool is_parameterized(const Job& job) {
    return job.has_parameterized_job() && !job.dispatched();
}

}  // namespace drover::model
