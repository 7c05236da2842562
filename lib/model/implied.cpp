// SPDX-License-Identifier: Apache-2.0
// See implied.h.
#include "model/implied.h"

#include <set>

#include "base/strings.h"
#include "proto/model/model.pb.h"

namespace drover::model {

namespace {

void imply(TaskGroup& group, const std::string& left, std::string_view operand, const std::string& right) {
    for (const auto& constraint : group.constraints())
        if (constraint.l_target() == left && constraint.operand() == operand &&
            constraint.r_target() == right)
            return;
    auto* constraint = group.add_constraints();
    constraint->set_l_target(left);
    constraint->set_operand(std::string(operand));
    constraint->set_r_target(right);
}

// "default" is the cluster whose attributes have no name in them.
std::string version_of(std::string_view system, const std::string& cluster) {
    if (cluster.empty() || cluster == "default") return fmt::format("${{attr.{}.version}}", system);
    return fmt::format("${{attr.{}.{}.version}}", system, cluster);
}

void imply_services(TaskGroup& group, const google::protobuf::RepeatedPtrField<Service>& services) {
    for (const auto& service : services) {
        if (service.provider() == "nomad")
            imply(group, "${attr.nomad.service_discovery}", "=", "true");
        else
            imply(group, version_of("consul", service.cluster()), "semver", ">= 1.8.0");
    }
}

void imply_signals(TaskGroup& group) {
    std::set<std::string> signals;
    for (const auto& task : group.tasks()) {
        if (!task.kill_signal().empty()) signals.insert(task.kill_signal());
        if (task.has_vault() && task.vault().change_mode() == "signal")
            signals.insert(task.vault().change_signal());
        for (const auto& tmpl : task.templates())
            if (tmpl.change_mode() == "signal") signals.insert(tmpl.change_signal());
        for (const auto& identity : task.identities())
            if (identity.change_mode() == "signal") signals.insert(identity.change_signal());
    }
    if (signals.empty()) return;
    imply(group, "${attr.os.signals}", "set_contains", join({signals.begin(), signals.end()}, ","));
}

void imply_secrets(TaskGroup& group, const Task& task) {
    for (const auto& secret : task.secrets())
        if (secret.provider() != "nomad" && secret.provider() != "vault" && !secret.provider().empty())
            imply(group, fmt::format("${{attr.plugins.secrets.{}.version}}", secret.provider()), "is_set",
                  "");
}

}  // namespace

void add_implied_constraints(Job& job) {
    for (auto& group : *job.mutable_task_groups()) {
        imply_services(group, group.services());
        for (const auto& task : group.tasks()) {
            imply_services(group, task.services());
            if (task.has_vault())
                imply(group, version_of("vault", task.vault().cluster()), "semver", ">= 0.6.1");
            imply_secrets(group, task);
            if (!task.identities().empty()) imply(group, "${attr.nomad.version}", "semver", ">= 1.7.0-a");
            const auto& numa = task.resources().numa().affinity();
            if (!numa.empty() && numa != "none") {
                imply(group, "${attr.nomad.version}", "semver", ">= 1.7.0-dev");
                imply(group, "${attr.kernel.name}", "=", "linux");
            }
        }
        for (const auto& network : group.networks()) {
            if (network.mode() != "bridge") continue;
            for (auto plugin : {"bridge", "firewall", "host-local", "loopback", "portmap"})
                imply(group, fmt::format("${{attr.plugins.cni.version.{}}}", plugin), "semver", ">= 0.4.0");
        }
        imply_signals(group);
    }
}

}  // namespace drover::model
