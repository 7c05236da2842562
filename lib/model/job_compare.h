// SPDX-License-Identifier: Apache-2.0
// Has a job changed, and can its allocations live on? Used by register (a new version or not) and by the
// reconciler.
#pragma once
#include <string_view>

#include "model/fwd.h"

namespace drover::model {

// True when anything a user writes, or Stop, differs: then it is a new version. Bookkeeping (status,
// versions, indexes, times) is not looked at. Both canonicalized.
bool spec_changed(const Job& before, const Job& after);

enum class GroupUpdate { InPlace, Destructive };

// What moving an allocation of `group` from one version of its job to another takes. InPlace also when
// nothing differs; a missing group or task is Destructive. Placement (constraints, fit) is not looked at.
GroupUpdate group_update(const Job& before, const Job& after, std::string_view group);

}  // namespace drover::model
