// SPDX-License-Identifier: Apache-2.0
// The checks of validate.h, by block. Only for lib/model.
#pragma once
#include "model/errors.h"
#include "model/fwd.h"

namespace drover::model {

class Affinity;
class Service;
class Spread;

enum class Level { Job, Group, Task, Device };
Findings check_constraint(const Constraint& constraint, Level level);
Findings check_affinity(const Affinity& affinity);
Findings check_spread(const Spread& spread);

Findings check_group(const Job& job, const TaskGroup& group);
Findings check_networks(const TaskGroup& group);
// Of the group and of its tasks.
Findings check_services(const TaskGroup& group);
Findings check_task(const Job& job, const TaskGroup& group, const Task& task);
Findings check_resources(const Resources& resources);

// Whether a cron expression is one: 5 to 7 fields, or @hourly and the like.
bool is_cron(std::string_view text);

}  // namespace drover::model
