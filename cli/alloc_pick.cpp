// SPDX-License-Identifier: Apache-2.0
#include "cli/alloc_pick.h"

#include "base/strings.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

std::vector<std::string> task_names(const model::Allocation& alloc) {
    std::vector<std::string> names;
    if (const auto* group = model::find_group(alloc.job(), alloc.task_group()))
        for (const auto& task : group->tasks()) names.push_back(task.name());
    return names;
}

std::unique_ptr<model::Allocation> get_alloc(Invocation& in, api::Client& client, const std::string& id) {
    auto alloc = std::make_unique<model::Allocation>();
    if (auto got = client.get_message("/v1/allocation/" + id, *alloc); !got) {
        fail(in, "Error querying allocation: {}", got.error().message());
        return nullptr;
    }
    return alloc;
}

}  // namespace

std::unique_ptr<model::Allocation> pick_alloc(Invocation& in, api::Client& client,
                                              const std::string& prefix) {
    auto id = resolve_alloc(in, client, prefix);
    return id ? get_alloc(in, client, *id) : nullptr;
}

std::unique_ptr<model::Allocation> pick_alloc_of_job(Invocation& in, api::Client& client,
                                                     const std::string& job_id) {
    auto name = resolve_job(in, client, job_id, "Error querying job");
    if (!name) return nullptr;
    auto allocs = get_list<model::AllocationListStub>(client, job_path(name->id, "/allocations"),
                                                      {{"namespace", name->namespace_name}});
    if (!allocs) return fail(in, "Error fetching allocations: {}", allocs.error().message()), nullptr;
    const model::AllocationListStub* best = nullptr;
    auto running = [](const auto& alloc) { return alloc.client_status() == model::kAllocClientRunning; };
    for (const auto& alloc : *allocs) {
        if (!in.text("group").empty() && alloc.task_group() != in.text("group")) continue;
        if (!best ||
            std::pair(running(alloc), alloc.create_index()) > std::pair(running(*best), best->create_index()))
            best = &alloc;
    }
    if (!best)
        return fail(in, "Error fetching allocations: No allocations found for job {}", quoted(name->id)),
               nullptr;
    return get_alloc(in, client, best->id());
}

bool check_task(Invocation& in, const model::Allocation& alloc, const std::string& task) {
    auto names = task_names(alloc);
    if (std::find(names.begin(), names.end(), task) != names.end()) return true;
    fail(in, "Failed to validate task: Could not find task named: {}, found:\n{}", task, join(names, "\n"));
    return false;
}

std::optional<std::string> only_task(Invocation& in, const model::Allocation& alloc) {
    auto names = task_names(alloc);
    if (names.size() == 1) return names[0];
    if (names.empty()) {
        fail(in, "Error retrieving task: allocation {} has no tasks", quoted(alloc.id()));
        return std::nullopt;
    }
    fail(in,
         "Failed to validate task: Allocation {} is running the following tasks:\n{}\n\nPlease specify the "
         "task.",
         quoted(limit_id(alloc.id(), id_length(in))), "  * " + join(names, "\n  * "));
    return std::nullopt;
}

}  // namespace drover::cli
