// SPDX-License-Identifier: Apache-2.0
// See canonicalize.h. Two layers, as Nomad has them: what its client library fills in, then what its servers
// do.
#include "model/canonicalize.h"

#include "base/clock.h"
#include "base/strings.h"
#include "model/implied.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

// Sets an optional scalar that is not set.
#define DROVER_DEFAULT(message, field, value)                       \
    do {                                                            \
        if (!(message).has_##field()) (message).set_##field(value); \
    } while (false)

namespace drover::model {

namespace {

bool is_batch(const Job& job) {
    return job.type() == kJobTypeBatch || job.type() == kJobTypeSysBatch;
}
bool is_system(const Job& job) {
    return job.type() == kJobTypeSystem || job.type() == kJobTypeSysBatch;
}

template <class T>
void merge_under(const T& weaker, T& stronger) {
    T merged = weaker;
    merged.MergeFrom(stronger);
    stronger.Swap(&merged);
}

void fill(UpdateStrategy& update) {
    DROVER_DEFAULT(update, stagger, 30 * kSecond);
    DROVER_DEFAULT(update, max_parallel, 1);
    DROVER_DEFAULT(update, health_check, "checks");
    DROVER_DEFAULT(update, min_healthy_time, 10 * kSecond);
    DROVER_DEFAULT(update, healthy_deadline, 5 * kMinute);
    DROVER_DEFAULT(update, progress_deadline, 10 * kMinute);
    DROVER_DEFAULT(update, canary, 0);
    DROVER_DEFAULT(update, auto_revert, false);
    DROVER_DEFAULT(update, auto_promote, false);
}

void fill(ReschedulePolicy& policy, const Job& job) {
    bool batch = job.type() == kJobTypeBatch;
    DROVER_DEFAULT(policy, attempts, batch ? 1 : 0);
    DROVER_DEFAULT(policy, interval, batch ? 24 * kHour : 0);
    DROVER_DEFAULT(policy, delay, batch ? 5 * kSecond : 30 * kSecond);
    DROVER_DEFAULT(policy, delay_function, batch ? "constant" : "exponential");
    DROVER_DEFAULT(policy, max_delay, batch ? 0 : kHour);
    DROVER_DEFAULT(policy, unlimited, !batch);
}

void fill(RestartPolicy& policy, const Job& job) {
    bool batch = is_batch(job);
    DROVER_DEFAULT(policy, attempts, batch ? 3 : 2);
    DROVER_DEFAULT(policy, interval, batch ? 24 * kHour : 30 * kMinute);
    DROVER_DEFAULT(policy, delay, 15 * kSecond);
    DROVER_DEFAULT(policy, mode, "fail");
    DROVER_DEFAULT(policy, render_templates, false);
}

void fill(MigrateStrategy& migrate) {
    DROVER_DEFAULT(migrate, max_parallel, 1);
    DROVER_DEFAULT(migrate, health_check, "checks");
    DROVER_DEFAULT(migrate, min_healthy_time, 10 * kSecond);
    DROVER_DEFAULT(migrate, healthy_deadline, 5 * kMinute);
}

void fill(PeriodicConfig& periodic) {
    DROVER_DEFAULT(periodic, enabled, true);
    DROVER_DEFAULT(periodic, spec, "");
    DROVER_DEFAULT(periodic, spec_type, "cron");
    DROVER_DEFAULT(periodic, prohibit_overlap, false);
    if (periodic.time_zone().empty()) periodic.set_time_zone("UTC");
}

void fill(Multiregion& multiregion) {
    DROVER_DEFAULT(*multiregion.mutable_strategy(), max_parallel, 0);
    DROVER_DEFAULT(*multiregion.mutable_strategy(), on_failure, "");
    for (auto& region : *multiregion.mutable_regions()) DROVER_DEFAULT(region, count, 1);
}

void fill(ScalingPolicy& policy, int64_t count) {
    DROVER_DEFAULT(policy, enabled, true);
    if (policy.type().empty()) policy.set_type("horizontal");
    DROVER_DEFAULT(policy, min, count);
}

void fill(Resources& resources) {
    DROVER_DEFAULT(resources, cores, 0);
    DROVER_DEFAULT(resources, cpu, resources.cores() == 0 ? 100 : 0);
    DROVER_DEFAULT(resources, memory_mb, 300);
    for (auto& device : *resources.mutable_devices()) {
        DROVER_DEFAULT(device, count, 1u);
        for (auto& affinity : *device.mutable_affinities()) DROVER_DEFAULT(affinity, weight, 50);
    }
    if (resources.has_numa() && resources.numa().affinity().empty())
        resources.mutable_numa()->set_affinity("none");
}

void fill(ServiceCheck& check, const Service& service) {
    if (service.has_check_restart()) {
        if (check.has_check_restart())
            merge_under(service.check_restart(), *check.mutable_check_restart());
        else
            *check.mutable_check_restart() = service.check_restart();
    }
    if (check.has_check_restart()) DROVER_DEFAULT(*check.mutable_check_restart(), grace, kSecond);
    if (check.name().empty()) check.set_name(fmt::format("service: \"{}\" check", service.name()));
    if (check.on_update().empty()) check.set_on_update(service.on_update());
}

void fill(Service& service, const Job& job, const TaskGroup& group, const Task* task) {
    if (service.name().empty())
        service.set_name(task == nullptr ? fmt::format("{}-{}", job.name(), group.name())
                                         : fmt::format("{}-{}-{}", job.name(), group.name(), task->name()));
    if (service.provider().empty()) service.set_provider("consul");
    if (service.cluster().empty()) service.set_cluster("default");
    if (service.address_mode().empty()) service.set_address_mode("auto");
    if (service.on_update().empty()) service.set_on_update("require_healthy");
    for (auto& check : *service.mutable_checks()) fill(check, service);
    service.clear_check_restart();  // it lives on in the checks
    if (service.has_connect() && service.connect().has_sidecar_task()) {
        auto* sidecar = service.mutable_connect()->mutable_sidecar_task();
        DROVER_DEFAULT(*sidecar, kill_timeout, 5 * kSecond);
        DROVER_DEFAULT(*sidecar, shutdown_delay, 0);
    }
}

void fill(Template& tmpl) {
    DROVER_DEFAULT(tmpl, source_path, "");
    DROVER_DEFAULT(tmpl, dest_path, "");
    DROVER_DEFAULT(tmpl, embedded_tmpl, "");
    DROVER_DEFAULT(tmpl, change_mode, "restart");
    DROVER_DEFAULT(tmpl, change_signal, tmpl.change_mode() == "signal" ? "SIGHUP" : "");
    tmpl.set_change_signal(to_upper(tmpl.change_signal()));
    DROVER_DEFAULT(tmpl, once, false);
    DROVER_DEFAULT(tmpl, splay, 5 * kSecond);
    DROVER_DEFAULT(tmpl, perms, "0644");
    DROVER_DEFAULT(tmpl, left_delim, "{{");
    DROVER_DEFAULT(tmpl, right_delim, "}}");
    DROVER_DEFAULT(tmpl, envvars, false);
    DROVER_DEFAULT(tmpl, vault_grace, 0);
    DROVER_DEFAULT(tmpl, err_missing_key, false);
    if (!tmpl.has_change_script()) return;
    auto& script = *tmpl.mutable_change_script();
    DROVER_DEFAULT(script, command, "");
    DROVER_DEFAULT(script, timeout, 5 * kSecond);
    DROVER_DEFAULT(script, fail_on_error, false);
    DROVER_DEFAULT(script, run_on_first_render, false);
}

void fill(TaskArtifact& artifact) {
    DROVER_DEFAULT(artifact, getter_source, "");
    DROVER_DEFAULT(artifact, getter_mode, "any");
    DROVER_DEFAULT(artifact, getter_insecure, false);
    if (artifact.has_relative_dest()) return;
    if (artifact.getter_mode() != "file") return artifact.set_relative_dest("local/");
    const auto& source = artifact.getter_source();
    artifact.set_relative_dest("local/" + source.substr(source.rfind('/') + 1));
}

void fill(Vault& vault) {
    if (vault.cluster().empty()) vault.set_cluster("default");
    DROVER_DEFAULT(vault, namespace_, "");
    DROVER_DEFAULT(vault, env, true);
    DROVER_DEFAULT(vault, disable_file, false);
    DROVER_DEFAULT(vault, change_mode, "restart");
    DROVER_DEFAULT(vault, change_signal, "SIGHUP");
    DROVER_DEFAULT(vault, allow_token_expiration, false);
}

void fill(Task& task, const Job& job, const TaskGroup& group) {
    DROVER_DEFAULT(task, kill_timeout, 5 * kSecond);
    fill(*task.mutable_resources());
    auto& logs = *task.mutable_log_config();
    DROVER_DEFAULT(logs, max_files, 10);
    DROVER_DEFAULT(logs, max_file_size_mb, 10);
    DROVER_DEFAULT(logs, disabled, false);
    for (auto& affinity : *task.mutable_affinities()) DROVER_DEFAULT(affinity, weight, 50);
    for (auto& service : *task.mutable_services()) fill(service, job, group, &task);
    for (auto& artifact : *task.mutable_artifacts()) fill(artifact);
    for (auto& tmpl : *task.mutable_templates()) fill(tmpl);
    if (task.has_vault()) fill(*task.mutable_vault());
    if (task.has_consul() && task.consul().cluster().empty()) task.mutable_consul()->set_cluster("default");
    for (auto& mount : *task.mutable_volume_mounts()) {
        DROVER_DEFAULT(mount, read_only, false);
        DROVER_DEFAULT(mount, propagation_mode, "private");
        DROVER_DEFAULT(mount, selinux_label, "");
    }
    for (auto& policy : *task.mutable_scaling_policies()) fill(policy, 0);
    if (task.has_csi_plugin_config()) {
        auto& plugin = *task.mutable_csi_plugin_config();
        if (plugin.mount_dir().empty()) plugin.set_mount_dir("/csi");
        if (plugin.stage_publish_base_dir().empty()) plugin.set_stage_publish_base_dir("/local/csi");
        if (plugin.health_timeout() == 0) plugin.set_health_timeout(30 * kSecond);
    }
}

void fill(TaskGroup& group, const Job& job) {
    DROVER_DEFAULT(group, count, group.scaling().has_min() ? group.scaling().min() : 1);
    if (group.has_scaling()) fill(*group.mutable_scaling(), group.count());
    auto& disk = *group.mutable_ephemeral_disk();
    DROVER_DEFAULT(disk, sticky, false);
    DROVER_DEFAULT(disk, migrate, false);
    DROVER_DEFAULT(disk, size_mb, 300);
    if (group.has_consul() && group.consul().cluster().empty())
        group.mutable_consul()->set_cluster("default");
    if (job.has_update()) merge_under(job.update(), *group.mutable_update());
    if (group.has_update()) fill(*group.mutable_update());
    if (job.has_reschedule()) merge_under(job.reschedule(), *group.mutable_reschedule_policy());
    if (group.has_reschedule_policy() || !is_system(job)) fill(*group.mutable_reschedule_policy(), job);
    if (job.has_migrate()) merge_under(job.migrate(), *group.mutable_migrate());
    if (group.has_migrate() || job.type() == kJobTypeService) fill(*group.mutable_migrate());
    fill(*group.mutable_restart_policy(), job);
    if (group.has_disconnect()) {
        DROVER_DEFAULT(*group.mutable_disconnect(), replace, true);
        DROVER_DEFAULT(*group.mutable_disconnect(), reconcile, "best_score");
    }
    for (auto& spread : *group.mutable_spreads()) DROVER_DEFAULT(spread, weight, 50);
    for (auto& affinity : *group.mutable_affinities()) DROVER_DEFAULT(affinity, weight, 50);
    for (auto& service : *group.mutable_services()) fill(service, job, group, nullptr);
    for (auto& task : *group.mutable_tasks()) {
        fill(task, job, group);
        merge_under(group.restart_policy(), *task.mutable_restart_policy());
    }
}

void fill_job_scalars(Job& job) {
    DROVER_DEFAULT(job, id, "");
    if (job.name().empty()) job.set_name(job.id());
    DROVER_DEFAULT(job, region, std::string(kRegionDefault));
    DROVER_DEFAULT(job, namespace_, std::string(kNamespaceDefault));
    DROVER_DEFAULT(job, type, std::string(kJobTypeService));
    DROVER_DEFAULT(job, priority, kJobPriorityDefault);
    DROVER_DEFAULT(job, all_at_once, false);
    DROVER_DEFAULT(job, node_pool, "");
    DROVER_DEFAULT(job, stop, false);
    DROVER_DEFAULT(job, parent_id, "");
    DROVER_DEFAULT(job, consul_namespace, "");
    DROVER_DEFAULT(job, vault_namespace, "");
    DROVER_DEFAULT(job, nomad_token_id, "");
    DROVER_DEFAULT(job, status, "");
    DROVER_DEFAULT(job, status_description, "");
    DROVER_DEFAULT(job, stable, false);
    DROVER_DEFAULT(job, version, 0u);
    DROVER_DEFAULT(job, create_index, 0u);
    DROVER_DEFAULT(job, modify_index, 0u);
    DROVER_DEFAULT(job, job_modify_index, 0u);
}

// ---- the servers' layer ----

void fill_ports(NetworkResource& network) {
    for (auto* ports : {network.mutable_reserved_ports(), network.mutable_dynamic_ports()})
        for (auto& port : *ports)
            if (port.host_network().empty()) port.set_host_network("default");
}

void fill_check_stored(ServiceCheck& check, const Service& service) {
    if (service.provider() != "nomad") return;
    if (check.initial_status().empty()) check.set_initial_status("critical");
    if (check.type() == "http" && check.method().empty()) check.set_method("GET");
}

void fill_services_stored(google::protobuf::RepeatedPtrField<Service>& services, const Job& job) {
    for (auto& service : services) {
        if (service.namespace_().empty())
            service.set_namespace_(service.provider() == "nomad" ? job.namespace_()
                                                                 : std::string(kNamespaceDefault));
        for (auto& check : *service.mutable_checks()) fill_check_stored(check, service);
    }
}

void fill_identity(WorkloadIdentity& identity) {
    if (identity.name().empty()) identity.set_name("default");
    if (identity.name() == "default") {
        identity.clear_audience();
        identity.add_audience("nomadproject.io");
    }
    identity.set_change_signal(to_upper(identity.change_signal()));
}

void fill_task_stored(Task& task, const Job& job) {
    fill_services_stored(*task.mutable_services(), job);
    auto& resources = *task.mutable_resources();
    DROVER_DEFAULT(resources, disk_mb, 0);
    DROVER_DEFAULT(resources, iops, 0);
    DROVER_DEFAULT(resources, memory_max_mb, 0);
    DROVER_DEFAULT(resources, secrets_mb, 0);
    for (auto& network : *resources.mutable_networks()) fill_ports(network);
    fill_identity(*task.mutable_identity());
    for (auto& identity : *task.mutable_identities()) fill_identity(identity);
    for (auto& policy : *task.mutable_scaling_policies()) {
        auto& target = *policy.mutable_target();
        target["Namespace"] = job.namespace_();
        target["Job"] = job.id();
        target["Task"] = task.name();
    }
}

void fill_group_stored(TaskGroup& group, const Job& job) {
    DROVER_DEFAULT(group, prevent_reschedule_on_lost, false);
    for (auto& network : *group.mutable_networks()) fill_ports(network);
    fill_services_stored(*group.mutable_services(), job);
    for (auto& [name, volume] : *group.mutable_volumes())
        if (volume.name().empty()) volume.set_name(name);
    if (group.has_scaling()) {
        auto& target = *group.mutable_scaling()->mutable_target();
        target["Namespace"] = job.namespace_();
        target["Job"] = job.id();
        target["Group"] = group.name();
    }
    for (auto& task : *group.mutable_tasks()) fill_task_stored(task, job);
}

}  // namespace

void canonicalize_api(Job& job) {
    fill_job_scalars(job);
    if (job.has_periodic()) fill(*job.mutable_periodic());
    bool updates = job.type() == kJobTypeService || job.type() == kJobTypeSystem;
    if (job.has_update() || updates) fill(*job.mutable_update());
    if (job.has_multiregion()) fill(*job.mutable_multiregion());
    for (auto& group : *job.mutable_task_groups()) fill(group, job);
    for (auto& spread : *job.mutable_spreads()) DROVER_DEFAULT(spread, weight, 50);
    for (auto& affinity : *job.mutable_affinities()) DROVER_DEFAULT(affinity, weight, 50);
}

void canonicalize(Job& job, const CanonicalizeOptions& options) {
    if (!job.has_priority() || job.priority() == 0) job.set_priority(options.priority_default);
    if (job.namespace_().empty()) job.clear_namespace_();
    if (job.region().empty()) job.clear_region();
    canonicalize_api(job);
    DROVER_DEFAULT(job, dispatch_idempotency_token, "");
    DROVER_DEFAULT(job, submit_time, 0);
    if (job.datacenters().empty()) job.add_datacenters("*");
    if (job.node_pool().empty()) job.set_node_pool(options.node_pool);
    if (job.has_parameterized_job() && job.parameterized_job().payload().empty())
        job.mutable_parameterized_job()->set_payload("optional");
    for (auto& group : *job.mutable_task_groups()) fill_group_stored(group, job);
    // Merged into the groups above; only these two are kept, for old clients to see.
    if (job.has_update()) {
        UpdateStrategy kept;
        kept.set_stagger(job.update().stagger());
        kept.set_max_parallel(job.update().max_parallel());
        job.mutable_update()->Swap(&kept);
    }
    job.clear_reschedule();
    job.clear_migrate();
    add_implied_constraints(job);
}

}  // namespace drover::model
#undef DROVER_DEFAULT
