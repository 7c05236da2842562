// SPDX-License-Identifier: Apache-2.0
// From the job to what the task machine needs of it. Pure.
#pragma once
#include "agent/task/task_machine.h"

namespace drover::agent {

// `kill_timeout_ns_max` is the client's cap on kill_timeout.
TaskSpec make_task_spec(const model::Allocation& alloc, const model::TaskGroup& group,
                        const model::Task& task, int64_t kill_timeout_ns_max);

}  // namespace drover::agent
