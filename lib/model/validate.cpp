// SPDX-License-Identifier: Apache-2.0
// See validate.h: the job itself. Its groups and tasks are in validate_group.cpp and validate_task.cpp.
#include "model/validate.h"

#include <map>
#include <set>

#include "base/strings.h"
#include "model/canonicalize.h"
#include "model/status.h"
#include "model/validate_parts.h"
#include "proto/model/model.pb.h"

namespace drover::model {

std::string format_errors(const std::vector<std::string>& errors) {
    std::string out =
        errors.size() == 1 ? "1 error occurred:" : fmt::format("{} errors occurred:", errors.size());
    for (const auto& error : errors) out += "\n\t* " + error;
    return out + "\n\n";
}

std::string format_warnings(const std::vector<std::string>& warnings) {
    if (warnings.empty()) return "";
    std::string out = fmt::format("{} warning{}:\n", warnings.size(), warnings.size() == 1 ? "" : "s");
    for (const auto& warning : warnings) out += "\n* " + warning;
    return out;
}

namespace {

bool has_null(std::string_view text) {
    return text.find('\0') != std::string_view::npos;
}

bool takes_batch(const Job& job) {
    return job.type() == kJobTypeBatch || job.type() == kJobTypeSysBatch;
}

void check_names(const Job& job, Findings& findings) {
    if (job.region().empty()) findings.add("Missing job region");
    if (job.id().empty())
        findings.add("Missing job ID");
    else if (job.id().find(' ') != std::string::npos)
        findings.add("Job ID contains a space");
    else if (has_null(job.id()))
        findings.add("Job ID contains a null character");
    if (job.name().empty())
        findings.add("Missing job name");
    else if (has_null(job.name()))
        findings.add("Job Name contains a null character");
    if (job.namespace_().empty()) findings.add("Job must be in a namespace");
    bool known = false;
    for (auto type : {kJobTypeService, kJobTypeBatch, kJobTypeSystem, kJobTypeSysBatch})
        known = known || job.type() == type;
    if (job.type().empty())
        findings.add("Missing job type");
    else if (!known)
        findings.add("Invalid job type: \"{}\"", job.type());
}

void check_placement(const Job& job, const ValidateOptions& options, Findings& findings) {
    if (job.priority() < kJobPriorityMin || job.priority() > options.priority_max)
        findings.add("Job priority must be between [{}, {}]", kJobPriorityMin, options.priority_max);
    if (job.datacenters().empty()) findings.add("Missing job datacenters");
    for (const auto& datacenter : job.datacenters())
        if (datacenter.empty()) findings.add("Job datacenter must be non-empty string");
    for (char c : job.node_pool())
        if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_')) {
            findings.add("Job node pool \"{}\" must consist of letters, digits, '-' and '_'",
                         job.node_pool());
            break;
        }
    for (int i = 0; i < job.constraints_size(); i++)
        findings.nest(fmt::format("Constraint {} validation failed", i + 1),
                      check_constraint(job.constraints(i), Level::Job));
    if (job.type() == kJobTypeSystem) {
        if (!job.affinities().empty()) findings.add("System jobs may not have an affinity block");
        if (!job.spreads().empty()) findings.add("System jobs may not have a spread block");
        return;
    }
    for (int i = 0; i < job.affinities_size(); i++)
        findings.nest(fmt::format("Affinity {} validation failed", i + 1), check_affinity(job.affinities(i)));
    for (int i = 0; i < job.spreads_size(); i++)
        findings.nest(fmt::format("Spread {} validation failed", i + 1), check_spread(job.spreads(i)));
}

void check_groups(const Job& job, const ValidateOptions& options, Findings& findings) {
    if (job.task_groups().empty()) findings.add("Missing job task groups");
    std::map<std::string, int> seen;
    int64_t total = 0;
    for (int i = 0; i < job.task_groups_size(); i++) {
        const auto& group = job.task_groups(i);
        if (group.name().empty())
            findings.add("Job task group {} missing name", i + 1);
        else if (auto [before, fresh] = seen.emplace(group.name(), i); !fresh)
            findings.add("Job task group {} redefines '{}' from group {}", i + 1, group.name(),
                         before->second + 1);
        if (group.has_shutdown_delay() && group.shutdown_delay() < 0)
            findings.add("ShutdownDelay must be a positive value");
        if (job.type() == kJobTypeSystem && group.count() > 1)
            findings.add("Job task group {} has count {}. Count cannot exceed 1 with system scheduler",
                         group.name(), group.count());
        if (group.count() > 0 && group.count() <= options.count_max)
            total += group.count();
        else if (group.count() > options.count_max)
            total = options.count_max + 1;
    }
    if (total > options.count_max)
        findings.add("total count of all task groups is greater than the maximum of {}", options.count_max);
    for (const auto& group : job.task_groups())
        findings.nest(fmt::format("Task group {} validation failed", group.name()), check_group(job, group));
}

void check_periodic(const Job& job, Findings& findings) {
    if (!is_periodic(job)) return;
    if (!takes_batch(job))
        findings.add("Periodic can only be used with \"{}\" or \"{}\" scheduler", kJobTypeBatch,
                     kJobTypeSysBatch);
    const auto& periodic = job.periodic();
    bool several = !periodic.specs().empty();
    if (several && !periodic.spec().empty()) findings.add("Only cron or crons may be used");
    if (!several && periodic.spec().empty()) findings.add("Must specify a spec");
    if (periodic.spec_type() != "cron" && periodic.spec_type() != "_internal_test")
        findings.add("Unknown periodic specification type \"{}\"", periodic.spec_type());
    std::vector<std::string> specs(periodic.specs().begin(), periodic.specs().end());
    if (!periodic.spec().empty()) specs.push_back(periodic.spec());
    for (const auto& spec : specs)
        if (!is_cron(spec))
            findings.add(
                "Invalid cron spec \"{}\": expected 5 to 7 fields or @hourly, @daily, @weekly, @monthly, "
                "@yearly",
                spec);
}

void check_parameterized(const Job& job, Findings& findings) {
    if (!job.has_parameterized_job()) return;
    if (!takes_batch(job))
        findings.add("Parameterized job can only be used with \"{}\" or \"{}\" scheduler", kJobTypeBatch,
                     kJobTypeSysBatch);
    const auto& config = job.parameterized_job();
    if (config.payload() != "optional" && config.payload() != "required" && config.payload() != "forbidden")
        findings.add("Unknown payload requirement: \"{}\"", config.payload());
    std::set<std::string> required(config.meta_required().begin(), config.meta_required().end());
    std::string both;
    for (const auto& key : config.meta_optional())
        if (required.contains(key)) both += (both.empty() ? "" : ", ") + key;
    if (!both.empty())
        findings.add("Required and optional meta keys should be disjoint. Following keys exist in both: [{}]",
                     both);
    if (is_periodic(job)) findings.add("Job can't be periodic and parameterized");
}

void check_extras(const Job& job, Findings& findings) {
    if (job.has_multiregion() && !job.multiregion().regions().empty())
        findings.add("Multiregion jobs are unlicensed.");
    constexpr size_t kDescriptionMax = 1000;
    if (job.ui().description().size() > kDescriptionMax)
        findings.add("UI description must be under {} characters, currently {}", kDescriptionMax,
                     job.ui().description().size());
}

}  // namespace

std::vector<std::string> validation_errors(const Job& job, const ValidateOptions& options) {
    Findings findings;
    check_names(job, findings);
    check_placement(job, options, findings);
    check_groups(job, options, findings);
    check_periodic(job, findings);
    check_parameterized(job, findings);
    check_extras(job, findings);
    return findings.all();
}

Status validate(const Job& job, const ValidateOptions& options) {
    auto errors = validation_errors(job, options);
    if (errors.empty()) return {};
    return Error(Code::InvalidArgument, format_errors(errors));
}

// ---- warnings ----

namespace {

bool has_services(const TaskGroup& group) {
    bool any = !group.services().empty();
    for (const auto& task : group.tasks()) any = any || !task.services().empty();
    return any;
}

bool has_shutdown_delay(const TaskGroup& group) {
    bool any = group.shutdown_delay() > 0;
    for (const auto& task : group.tasks()) any = any || task.shutdown_delay() > 0;
    return any;
}

void warn_group(const TaskGroup& group, std::vector<std::string>& out) {
    auto add = [&]<class... Args>(fmt::format_string<Args...> format, Args&&... args) {
        out.push_back(fmt::format(format, std::forward<Args>(args)...));
    };
    if (has_services(group) && !has_shutdown_delay(group))
        add("group \"{}\" defines services, but neither the group nor any of its tasks have shutdown_delay "
            "set",
            group.name());
    if (group.has_update() && group.count() > 0 && group.update().max_parallel() > group.count())
        add("Group \"{}\" has warnings: Update max parallel count is greater than task group count ({} > "
            "{}). A "
            "destructive change would result in the simultaneous replacement of all allocations.",
            group.name(), group.update().max_parallel(), group.count());
    if (group.has_stop_after_client_disconnect())
        add("Group \"{}\": stop_after_client_disconnect is deprecated and ignored, use "
            "disconnect.stop_on_client_after",
            group.name());
    if (group.has_max_client_disconnect())
        add("Group \"{}\": max_client_disconnect is deprecated and ignored, use disconnect.lost_after",
            group.name());
    if (group.has_prevent_reschedule_on_lost() && group.prevent_reschedule_on_lost())
        add("Group \"{}\": prevent_reschedule_on_lost is deprecated and ignored, use disconnect.replace",
            group.name());
    for (const auto& network : group.networks())
        if (network.has_mbits() && network.mbits() > 0)
            add("mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block");
    for (const auto& task : group.tasks()) {
        for (const auto& network : task.resources().networks())
            if (network.has_mbits() && network.mbits() > 0)
                add("mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network "
                    "block");
        if (!task.resources().networks().empty())
            add("task network resources have been deprecated as of Nomad 0.12.0. Please configure networking "
                "via group "
                "network block.");
        for (const auto& tmpl : task.templates())
            if (tmpl.has_vault_grace() && tmpl.vault_grace() != 0)
                add("VaultGrace has been deprecated as of Nomad 0.11 and ignored since Vault 0.5. Please "
                    "remove VaultGrace / "
                    "vault_grace from template block.");
        if (task.log_config().has_enabled())
            add("Task \"{}\": logs.enabled has no effect, use logs.disabled", task.name());
    }
}

}  // namespace

std::vector<std::string> job_warnings(const Job& submitted) {
    // Warnings compare with defaults (a count of one), so these are filled in first.
    Job job = submitted;
    canonicalize_api(job);
    std::vector<std::string> out;
    int promoting = 0;
    for (const auto& group : job.task_groups()) {
        warn_group(group, out);
        promoting += group.update().auto_promote() ? 1 : 0;
    }
    if (promoting > 0 && promoting < job.task_groups_size())
        out.push_back("auto_promote must be true for all groups to enable automatic promotion");
    if (job.has_periodic() && !job.periodic().spec().empty())
        out.push_back("cron is deprecated and may be removed in a future release. Use crons instead");
    return out;
}

}  // namespace drover::model
