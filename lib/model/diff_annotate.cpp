// SPDX-License-Identifier: Apache-2.0
// See diff.h: what each difference will do to running allocations, written into the diff for `job plan`.
#include "model/diff.h"

#include <set>

#include "base/strings.h"
#include "proto/model/diff.pb.h"
#include "proto/model/evaluation.pb.h"

namespace drover::model {

namespace {

constexpr const char* kForcesCreate = "forces create";
constexpr const char* kForcesDestroy = "forces destroy";
constexpr const char* kForcesInPlace = "forces in-place update";
constexpr const char* kForcesDestructive = "forces create/destroy update";

void annotate_count(TaskGroupDiff& group) {
    for (auto& field : *group.mutable_fields()) {
        if (field.name() != "Count") continue;
        int64_t before = parse_int(field.old()).value_or(0);
        int64_t after = parse_int(field.new_()).value_or(0);
        if (before != after) field.add_annotations(before < after ? kForcesCreate : kForcesDestroy);
    }
}

// The same rules as job_compare.h, seen through the diff.
bool is_destructive(const TaskDiff& task) {
    static const std::set<std::string_view> kInPlaceFields{"KillTimeout", "KillSignal", "ShutdownDelay",
                                                           "Leader", "Kind"};
    static const std::set<std::string_view> kInPlaceBlocks{"Service", "Constraint", "Affinity", "Lifecycle",
                                                           "Scaling", "Action",     "Schedule"};
    for (const auto& field : task.fields())
        if (field.type() != "None" && !kInPlaceFields.contains(field.name())) return true;
    for (const auto& object : task.objects()) {
        if (kInPlaceBlocks.contains(object.name())) continue;
        bool partly = object.name() == "LogConfig" || object.name() == "RestartPolicy";
        if (!partly) return true;
        for (const auto& field : object.fields())
            if (field.type() != "None" && (field.name() == "Disabled" || field.name() == "RenderTemplates"))
                return true;
    }
    return false;
}

void annotate_task(TaskDiff& task, const TaskGroupDiff& group) {
    if (task.type() == "None") return;
    if (group.type() == "Added")
        task.add_annotations(kForcesCreate);
    else if (group.type() == "Deleted")
        task.add_annotations(kForcesDestroy);
    else
        task.add_annotations(is_destructive(task) ? kForcesDestructive : kForcesInPlace);
}

void annotate_updates(TaskGroupDiff& group, const PlanAnnotations& annotations) {
    auto found = annotations.desired_tg_updates().find(group.name());
    if (found == annotations.desired_tg_updates().end()) return;
    const auto& updates = found->second;
    auto set = [&](const char* name, uint64_t count) {
        if (count > 0) (*group.mutable_updates())[name] = count;
    };
    set("ignore", updates.ignore());
    set("create", updates.place());
    set("migrate", updates.migrate());
    set("destroy", updates.stop());
    set("in-place update", updates.in_place_update());
    set("create/destroy update", updates.destructive_update());
    set("canary", updates.canary());
    set("preemptions", updates.preemptions());
}

}  // namespace

void annotate_diff(JobDiff& diff, const PlanAnnotations& annotations) {
    for (auto& group : *diff.mutable_task_groups()) {
        annotate_updates(group, annotations);
        annotate_count(group);
        for (auto& task : *group.mutable_tasks()) annotate_task(task, group);
    }
}

}  // namespace drover::model
