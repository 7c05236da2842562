// SPDX-License-Identifier: Apache-2.0
// See validate.h: task groups, their policies, networks, volumes and services.
#include <map>
#include <set>

#include <re2/re2.h>

#include "base/clock.h"
#include "base/strings.h"
#include "model/status.h"
#include "model/validate_parts.h"
#include "proto/model/model.pb.h"

namespace drover::model {

namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> known) {
    for (auto each : known)
        if (text == each) return true;
    return false;
}

// ">= 1.2, < 2", "~> 1.4": operators and numbers; what they mean is the scheduler's.
bool is_version_constraint(std::string_view text) {
    static const RE2 part(
        R"(\s*(=|!=|>|<|>=|<=|~>|)\s*v?\d+(\.\d+)*(-[0-9A-Za-z.~-]+)?(\+[0-9A-Za-z.~-]+)?\s*)");
    for (const auto& each : split(text, ','))
        if (!RE2::FullMatch(each, part)) return false;
    return true;
}

Findings check_restart(const RestartPolicy& policy) {
    Findings findings;
    if (!one_of(policy.mode(), {"delay", "fail"}))
        findings.add("Unsupported restart mode: \"{}\"", policy.mode());
    if (policy.attempts() == 0 && policy.mode() != "fail")
        findings.add("Restart policy \"{}\" with {} attempts is ambiguous", policy.mode(), policy.attempts());
    if (policy.attempts() < 0)
        findings.add("Restart attempts can not be negative (got {})", policy.attempts());
    if (policy.interval() < 5 * kSecond)
        findings.add("Interval can not be less than 5s (got {})", format_duration(policy.interval()));
    if (static_cast<double>(policy.attempts()) * static_cast<double>(policy.delay()) >
        static_cast<double>(policy.interval()))
        findings.add("Nomad can't restart the TaskGroup {} times in an interval of {} with a delay of {}",
                     policy.attempts(), format_duration(policy.interval()), format_duration(policy.delay()));
    return findings;
}

// How long the attempts of a limited policy take together.
double attempts_duration(const ReschedulePolicy& policy) {
    double delay = static_cast<double>(policy.delay());
    double max = static_cast<double>(policy.max_delay());
    double sum = 0;
    double previous = 0;
    // Delays are at least 5 s, so that more attempts than this take longer than any interval that makes sense.
    int64_t attempts = std::min<int64_t>(policy.attempts(), 100000);
    for (int64_t i = 0; i < attempts; i++) {
        double now = delay;
        if (policy.delay_function() != "constant" && max > 0) now = std::min(now, max);
        sum += now;
        if (sum > static_cast<double>(policy.interval())) return sum;
        double next = delay;
        if (policy.delay_function() == "exponential") next = delay * 2;
        if (policy.delay_function() == "fibonacci") next = i == 0 ? delay : delay + previous;
        previous = delay;
        delay = next;
    }
    return sum;
}

Findings check_reschedule(const ReschedulePolicy& policy) {
    Findings findings;
    if (policy.attempts() <= 0 && !policy.unlimited()) return findings;  // switched off
    bool sound = true;
    auto refuse = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
        findings.add(format, std::forward<Args>(args)...);
        sound = false;
    };
    if (policy.attempts() > 0 && policy.unlimited())
        refuse("Reschedule Policy with {} attempts and unlimited = true is ambiguous", policy.attempts());
    if (policy.delay() < 5 * kSecond)
        refuse("Delay cannot be less than 5s (got {})", format_duration(policy.delay()));
    if (!one_of(policy.delay_function(), {"constant", "exponential", "fibonacci"}))
        refuse("Invalid delay function \"{}\", must be one of [\"constant\" \"exponential\" \"fibonacci\"]",
               policy.delay_function());
    if (policy.delay_function() != "constant") {
        if (policy.max_delay() < 5 * kSecond)
            refuse("Max Delay cannot be less than 5s (got {})", format_duration(policy.max_delay()));
        if (policy.max_delay() < policy.delay())
            refuse("Max Delay cannot be less than Delay {} (got {})", format_duration(policy.delay()),
                   format_duration(policy.max_delay()));
    }
    if (policy.unlimited()) return findings;
    if (policy.interval() < 15 * kSecond)
        refuse("Interval cannot be less than 15s (got {})", format_duration(policy.interval()));
    if (sound && attempts_duration(policy) > static_cast<double>(policy.interval()))
        findings.add("Nomad can not make {} attempts in {} with initial delay {} and delay function \"{}\"",
                     policy.attempts(), format_duration(policy.interval()), format_duration(policy.delay()),
                     policy.delay_function());
    return findings;
}

Findings check_update(const UpdateStrategy& update) {
    Findings findings;
    if (!one_of(update.health_check(), {"checks", "task_states", "manual"}))
        findings.add("Invalid health check given: \"{}\"", update.health_check());
    if (update.max_parallel() < 0)
        findings.add("Max parallel can not be less than zero: {} < 0", update.max_parallel());
    if (update.canary() < 0) findings.add("Canary count can not be less than zero: {} < 0", update.canary());
    if (update.canary() == 0 && update.auto_promote())
        findings.add("Auto Promote requires a Canary count greater than zero");
    if (update.min_healthy_time() < 0)
        findings.add("Minimum healthy time may not be less than zero: {}",
                     format_duration(update.min_healthy_time()));
    if (update.healthy_deadline() <= 0)
        findings.add("Healthy deadline must be greater than zero: {}",
                     format_duration(update.healthy_deadline()));
    if (update.progress_deadline() < 0)
        findings.add("Progress deadline must be zero or greater: {}",
                     format_duration(update.progress_deadline()));
    if (update.min_healthy_time() >= update.healthy_deadline())
        findings.add("Minimum healthy time must be less than healthy deadline: {} > {}",
                     format_duration(update.min_healthy_time()), format_duration(update.healthy_deadline()));
    if (update.progress_deadline() != 0 && update.healthy_deadline() >= update.progress_deadline())
        findings.add("Healthy deadline must be less than progress deadline: {} > {}",
                     format_duration(update.healthy_deadline()), format_duration(update.progress_deadline()));
    if (update.stagger() <= 0)
        findings.add("Stagger must be greater than zero: {}", format_duration(update.stagger()));
    return findings;
}

Findings check_migrate(const MigrateStrategy& migrate) {
    Findings findings;
    if (migrate.max_parallel() < 0)
        findings.add("MaxParallel must be >= 0 but found {}", migrate.max_parallel());
    if (migrate.health_check().empty())
        findings.add("Missing HealthCheck");
    else if (!one_of(migrate.health_check(), {"checks", "task_states"}))
        findings.add("Invalid HealthCheck: \"{}\"", migrate.health_check());
    if (migrate.min_healthy_time() < 0)
        findings.add("MinHealthyTime is {} but it must be >= 0", format_duration(migrate.min_healthy_time()));
    if (migrate.healthy_deadline() < 0)
        findings.add("HealthyDeadline is {} but it must be >= 0",
                     format_duration(migrate.healthy_deadline()));
    if (migrate.min_healthy_time() > migrate.healthy_deadline())
        findings.add("MinHealthyTime must be less than HealthyDeadline");
    return findings;
}

Findings check_disconnect(const Job& job, const DisconnectStrategy& disconnect) {
    Findings findings;
    bool batch_like = job.type() == kJobTypeService || job.type() == kJobTypeBatch;
    if (disconnect.has_stop_on_client_after() && !batch_like)
        findings.add("disconnect.stop_on_client_after can only be used with service or batch jobs");
    if (disconnect.stop_on_client_after() < 0)
        findings.add("disconnect.stop_on_client_after must be a positive duration");
    if (disconnect.lost_after() < 0) findings.add("disconnect.lost_after must be a positive duration");
    if (disconnect.has_stop_on_client_after() && disconnect.lost_after() != 0)
        findings.add("disconnect: only one of lost_after and stop_on_client_after can be set");
    if (!one_of(disconnect.reconcile(),
                {"keep_original", "keep_replacement", "best_score", "longest_running"}))
        findings.add("disconnect: invalid reconcile strategy \"{}\"", disconnect.reconcile());
    return findings;
}

void check_policies(const Job& job, const TaskGroup& group, Findings& findings) {
    findings.append(check_restart(group.restart_policy()));
    bool system = job.type() == kJobTypeSystem || job.type() == kJobTypeSysBatch;
    if (group.has_reschedule_policy()) {
        if (system)
            findings.add("{} jobs should not have a reschedule policy",
                         job.type() == kJobTypeSystem ? "System" : "SysBatch");
        else
            findings.append(check_reschedule(group.reschedule_policy()));
    }
    if (group.ephemeral_disk().size_mb() < 10)
        findings.add("minimum DiskMB value is 10; got {}", group.ephemeral_disk().size_mb());
    if (group.has_update()) {
        bool allowed = job.type() == kJobTypeService || job.type() == kJobTypeSystem;
        if (!allowed) findings.add("Job type \"{}\" does not allow update block", job.type());
        findings.append(check_update(group.update()));
    }
    if (group.has_migrate()) {
        if (job.type() != kJobTypeService)
            findings.add("Job type \"{}\" does not allow migrate block", job.type());
        else
            findings.append(check_migrate(group.migrate()));
    }
    if (group.has_disconnect()) findings.append(check_disconnect(job, group.disconnect()));
    if (group.has_max_run_duration()) {
        if (job.type() != kJobTypeBatch && job.type() != kJobTypeSysBatch)
            findings.add("max_run_duration can only be used with batch or sysbatch jobs");
        if (group.max_run_duration() <= 0) findings.add("max_run_duration must be a positive duration");
    }
}

void check_scaling(const Job& job, const TaskGroup& group, Findings& findings) {
    if (!group.has_scaling()) return;
    const auto& scaling = group.scaling();
    Findings inner;
    if (job.type() == kJobTypeSystem) inner.add("scaling is not allowed for system jobs");
    if (!scaling.has_max()) inner.add("missing maximum count");
    if (scaling.min() < 0) inner.add("minimum count must be specified and non-negative");
    if (scaling.has_max() && scaling.max() < scaling.min())
        inner.add("maximum count must not be less than minimum count");
    if (scaling.has_max() && (group.count() < scaling.min() || group.count() > scaling.max()))
        inner.add(
            "task group count must be between the minimum and maximum count of its scaling policy: {} not in "
            "[{}, {}]",
            group.count(), scaling.min(), scaling.max());
    findings.nest("Scaling policy validation failed", inner);
}

void check_volumes(const Job& job, const TaskGroup& group, Findings& findings) {
    std::map<std::string, const VolumeRequest*> sorted;
    for (const auto& [name, volume] : group.volumes()) sorted[name] = &volume;
    for (const auto& [name, volume] : sorted) {
        Findings inner;
        if (!one_of(volume->type(), {"host", "csi"}))
            inner.add("volume has unrecognized type {}", volume->type());
        if (volume->source().empty()) inner.add("volume has an empty source");
        if (volume->type() == "csi" && (volume->attachment_mode().empty() || volume->access_mode().empty()))
            inner.add("CSI volumes must have an attachment mode and an access mode");
        if (volume->per_alloc() && (job.type() == kJobTypeSystem || job.type() == kJobTypeSysBatch))
            inner.add("volume cannot be per_alloc for {} jobs", job.type());
        if (volume->per_alloc() && group.update().canary() > 0)
            inner.add("volume cannot be per_alloc when canaries are in use");
        if (volume->per_alloc() && volume->sticky())
            inner.add("volume cannot be per_alloc and sticky at the same time");
        findings.nest(fmt::format("Task group volume validation for {} failed", name), inner);
    }
}

void check_tasks(const Job& job, const TaskGroup& group, Findings& findings) {
    std::map<std::string, int> seen;
    int leaders = 0;
    bool has_main = false;
    for (int i = 0; i < group.tasks_size(); i++) {
        const auto& task = group.tasks(i);
        if (task.name().empty())
            findings.add("Task {} missing name", i + 1);
        else if (auto [before, fresh] = seen.emplace(task.name(), i); !fresh)
            findings.add("Task {} redefines '{}' from task {}", i + 1, task.name(), before->second + 1);
        leaders += task.leader() ? 1 : 0;
        has_main = has_main || !task.has_lifecycle();
    }
    if (leaders > 1) findings.add("Only one task may be marked as leader");
    if (!group.tasks().empty() && !has_main)
        findings.add("Task group must have at least one task without a lifecycle block");
    for (const auto& task : group.tasks())
        findings.nest(fmt::format("Task {} validation failed", task.name()), check_task(job, group, task));
}

}  // namespace

Findings check_constraint(const Constraint& constraint, Level level) {
    Findings findings;
    const auto& operand = constraint.operand();
    const auto& right = constraint.r_target();
    bool needs_left = true;
    if (operand.empty()) {
        findings.add("Missing constraint operand");
    } else if (operand == "distinct_hosts") {
        needs_left = false;
        if (level == Level::Task) findings.add("disallowed at task level: distinct_hosts");
    } else if (operand == "distinct_property") {
        if (level == Level::Task) findings.add("disallowed at task level: distinct_property");
        auto count = right.empty() ? std::optional<uint64_t>(1) : parse_uint(right);
        if (!count)
            findings.add("Failed to convert RTarget \"{}\" to uint64", right);
        else if (*count < 1)
            findings.add("Distinct Property must have an allowed count of 1 or greater; got {} < 1", *count);
    } else if (one_of(operand, {"set_contains", "set_contains_all", "set_contains_any"})) {
        if (right.empty()) findings.add("Set contains constraint requires an RTarget");
    } else if (operand == "regexp") {
        RE2 pattern(right, RE2::Quiet);
        if (!pattern.ok()) findings.add("Regular expression failed to compile: {}", pattern.error());
    } else if (operand == "version" || operand == "semver") {
        if (!is_version_constraint(right))
            findings.add("{} constraint is invalid: Malformed constraint: {}",
                         operand == "version" ? "Version" : "Semver", right);
    } else if (operand == "is_set" || operand == "is_not_set") {
        if (!right.empty()) findings.add("Operator \"{}\" does not support an RTarget", operand);
    } else if (one_of(operand, {"=", "==", "is", "!=", "not", "<", "<=", ">", ">="})) {
        if (right.empty()) findings.add("Operator \"{}\" requires an RTarget", operand);
    } else {
        findings.add("Unknown constraint type \"{}\"", operand);
    }
    if (needs_left && constraint.l_target().empty())
        findings.add("No LTarget provided but is required by constraint");
    return findings;
}

Findings check_affinity(const Affinity& affinity) {
    Findings findings;
    Constraint same;
    same.set_l_target(affinity.l_target());
    same.set_r_target(affinity.r_target());
    same.set_operand(affinity.operand());
    if (one_of(affinity.operand(), {"distinct_hosts", "distinct_property"}))
        findings.add("Unknown affinity operator \"{}\"", affinity.operand());
    else
        findings.append(check_constraint(same, Level::Job));
    if (affinity.weight() == 0) findings.add("Affinity weight cannot be zero");
    if (affinity.weight() < -100 || affinity.weight() > 100)
        findings.add("Affinity weight must be within the range [-100,100]");
    return findings;
}

Findings check_spread(const Spread& spread) {
    Findings findings;
    if (spread.attribute().empty()) findings.add("Missing spread attribute");
    if (spread.weight() <= 0 || spread.weight() > 100)
        findings.add("Spread block must have a positive weight from 0 to 100");
    std::set<std::string> seen;
    uint64_t sum = 0;
    for (const auto& target : spread.spread_target()) {
        if (!seen.insert(target.value()).second)
            findings.add("Spread target value \"{}\" already defined", target.value());
        if (target.percent() > 100)
            findings.add("Spread target percentage for value \"{}\" must be between 0 and 100",
                         target.value());
        sum += target.percent();
    }
    if (sum > 100)
        findings.add("Sum of spread target percentages must not be greater than 100%; got {}%", sum);
    return findings;
}

Findings check_group(const Job& job, const TaskGroup& group) {
    Findings findings;
    if (group.name().empty())
        findings.add("Missing task group name");
    else if (group.name().find('\0') != std::string::npos)
        findings.add("Task group name contains null character");
    if (group.count() < 0) findings.add("Task group count can't be negative");
    if (group.tasks().empty()) findings.add("Missing tasks for task group");
    for (int i = 0; i < group.constraints_size(); i++)
        findings.nest(fmt::format("Constraint {} validation failed", i + 1),
                      check_constraint(group.constraints(i), Level::Group));
    if (job.type() == kJobTypeSystem) {
        if (!group.affinities().empty()) findings.add("System jobs may not have an affinity block");
        if (!group.spreads().empty()) findings.add("System jobs may not have a spread block");
    } else {
        for (int i = 0; i < group.affinities_size(); i++)
            findings.nest(fmt::format("Affinity {} validation failed", i + 1),
                          check_affinity(group.affinities(i)));
        for (int i = 0; i < group.spreads_size(); i++)
            findings.nest(fmt::format("Spread {} validation failed", i + 1), check_spread(group.spreads(i)));
    }
    check_policies(job, group, findings);
    check_volumes(job, group, findings);
    findings.nest("Task group network validation failed", check_networks(group));
    findings.nest("Task group service validation failed", check_services(group));
    check_scaling(job, group, findings);
    check_tasks(job, group, findings);
    return findings;
}

}  // namespace drover::model
