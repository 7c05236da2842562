// SPDX-License-Identifier: Apache-2.0
// Finding the allocation and the task that an alloc verb means.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "cli/support.h"

namespace drover::model {
class Allocation;
}

namespace drover::cli {

// The allocation with its job; null when something was wrong (and was said).
std::unique_ptr<model::Allocation> pick_alloc(Invocation& in, api::Client& client, const std::string& prefix);
// -job: a running allocation of the job (of -group), the newest one.
std::unique_ptr<model::Allocation> pick_alloc_of_job(Invocation& in, api::Client& client,
                                                     const std::string& job_id);

// Says the names that there are when `task` is none of them.
bool check_task(Invocation& in, const model::Allocation& alloc, const std::string& task);
// The only task; with several, says so and lists them.
std::optional<std::string> only_task(Invocation& in, const model::Allocation& alloc);

}  // namespace drover::cli
