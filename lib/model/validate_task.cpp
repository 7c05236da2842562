// SPDX-License-Identifier: Apache-2.0
// See validate.h: tasks and what is inside them. Also the form of cron expressions.
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

// Whether a path that is relative to `levels` directories below the allocation's root leads out of the
// allocation.
bool escapes(std::string_view path, int levels) {
    int depth = levels;
    for (const auto& part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        depth += part == ".." ? -1 : 1;
        if (depth < 0) return true;
    }
    return false;
}

Findings check_device(const RequestedDevice& device) {
    Findings findings;
    if (device.name().empty())
        findings.add(
            "device name must be given as one of the following: type, vendor/type, or vendor/type/name");
    else if (split(device.name(), '/').size() > 3)
        findings.add(
            "device name \"{}\" must be given as one of the following: type, vendor/type, or "
            "vendor/type/name",
            device.name());
    if (device.has_count() && device.count() == 0) findings.add("device count must be at least 1");
    for (int i = 0; i < device.constraints_size(); i++)
        findings.nest(fmt::format("Constraint {} validation failed", i + 1),
                      check_constraint(device.constraints(i), Level::Device));
    for (int i = 0; i < device.affinities_size(); i++)
        findings.nest(fmt::format("Affinity {} validation failed", i + 1),
                      check_affinity(device.affinities(i)));
    return findings;
}

Findings check_template(const Template& tmpl) {
    Findings findings;
    if (tmpl.source_path().empty() && tmpl.embedded_tmpl().empty())
        findings.add("Must specify a source path or have an embedded template");
    if (tmpl.dest_path().empty())
        findings.add("Must specify a destination for the template");
    else if (tmpl.dest_path().find("${") == std::string::npos && escapes(tmpl.dest_path(), 1))
        findings.add("template destination escapes allocation directory");
    const auto& mode = tmpl.change_mode();
    if (!one_of(mode, {"noop", "restart", "signal", "script"}))
        findings.add("Invalid change mode \"{}\": expected noop, restart, signal or script", mode);
    if (mode == "signal" && tmpl.change_signal().empty())
        findings.add("Must specify signal value when change mode is signal");
    if (mode == "signal" && tmpl.envvars()) findings.add("cannot use signals with env var templates");
    if (mode == "script" && !tmpl.has_change_script())
        findings.add("must specify change script configuration value when change mode is script");
    if (mode == "script" && tmpl.has_change_script() && tmpl.change_script().command().empty())
        findings.add("must specify script path value when change mode is script");
    if (tmpl.splay() < 0) findings.add("Must specify positive splay value");
    static const RE2 kOctal("0?[0-7]{1,4}");
    if (!tmpl.perms().empty() && !RE2::FullMatch(tmpl.perms(), kOctal))
        findings.add("Failed to parse \"{}\" as octal", tmpl.perms());
    if (tmpl.wait().has_min() && tmpl.wait().has_max() && tmpl.wait().min() > tmpl.wait().max())
        findings.add("wait min {} is greater than max {}", format_duration(tmpl.wait().min()),
                     format_duration(tmpl.wait().max()));
    return findings;
}

Findings check_artifact(const TaskArtifact& artifact) {
    Findings findings;
    if (artifact.getter_source().empty()) findings.add("source must be specified");
    if (!one_of(artifact.getter_mode(), {"any", "file", "dir"}))
        findings.add("invalid artifact mode \"{}\"; must be one of: any, file, dir", artifact.getter_mode());
    if (artifact.relative_dest().find("${") == std::string::npos && escapes(artifact.relative_dest(), 1))
        findings.add("destination escapes allocation directory");
    auto checksum = artifact.getter_options().find("checksum");
    if (checksum == artifact.getter_options().end() || checksum->second.find("${") != std::string::npos)
        return findings;
    auto parts = split(checksum->second, ':');
    if (parts.size() != 2) {
        findings.add("checksum must be given as \"type:value\"; got \"{}\"", checksum->second);
        return findings;
    }
    const std::map<std::string, size_t> digits{{"md5", 32}, {"sha1", 40}, {"sha256", 64}, {"sha512", 128}};
    auto kind = digits.find(parts[0]);
    if (kind == digits.end())
        findings.add("unsupported checksum type: {}", parts[0]);
    else if (parts[1].size() != kind->second)
        findings.add("invalid {} checksum: {}", parts[0], parts[1]);
    return findings;
}

Findings check_vault(const Vault& vault) {
    Findings findings;
    if (!one_of(vault.change_mode(), {"noop", "restart", "signal"}))
        findings.add("Unknown change mode \"{}\"", vault.change_mode());
    if (vault.change_mode() == "signal" && vault.change_signal().empty())
        findings.add("Signal must be specified when using change mode \"signal\"");
    for (const auto& policy : vault.policies())
        if (policy == "root") findings.add("Can not specify \"root\" policy");
    return findings;
}

Findings check_identity(const WorkloadIdentity& identity) {
    Findings findings;
    bool is_default = identity.name().empty() || identity.name() == "default";
    static const RE2 kName(R"([a-zA-Z0-9-_]{1,128})");
    if (!is_default && !RE2::FullMatch(identity.name(), kName))
        findings.add("invalid name \"{}\". Must match regex ^[a-zA-Z0-9-_]{{1,128}}$", identity.name());
    if (!is_default && identity.audience().empty())
        findings.add("identity \"{}\" must have at least one audience", identity.name());
    if (is_default && identity.ttl() != 0) findings.add("ttl for default identity not yet supported");
    if (identity.ttl() < 0) findings.add("ttl must be >= 0");
    if (!one_of(identity.change_mode(), {"", "noop", "restart", "signal"}))
        findings.add("invalid change_mode: {}", identity.change_mode());
    if (identity.change_mode() == "signal" && identity.change_signal().empty())
        findings.add("change_signal must be specified if using change_mode=\"signal\"");
    if (!identity.filepath().empty() && !identity.file())
        findings.add("file parameter must be true in order to specify filepath");
    if (escapes(identity.filepath(), 1)) findings.add("filepath escapes allocation directory");
    return findings;
}

void check_names_inside(const Task& task, Findings& findings) {
    static const RE2 kSecretName(R"([a-zA-Z0-9_]+)");
    std::set<std::string> seen;
    for (const auto& secret : task.secrets()) {
        if (!RE2::FullMatch(secret.name(), kSecretName))
            findings.add("secret name \"{}\" must consist of letters, digits and underscores", secret.name());
        if (!seen.insert(secret.name()).second) findings.add("secret \"{}\" is defined twice", secret.name());
        if (secret.provider().empty()) findings.add("secret \"{}\" must have a provider", secret.name());
        if (secret.path().empty()) findings.add("secret \"{}\" must have a path", secret.name());
        bool builtin = secret.provider() == "nomad" || secret.provider() == "vault";
        if (builtin && !secret.env().empty())
            findings.add("secret \"{}\": env is only for providers that are plugins", secret.name());
    }
    seen.clear();
    for (const auto& action : task.actions()) {
        if (action.command().empty()) findings.add("action \"{}\": command cannot be empty", action.name());
        bool space = action.name().find_first_of(" \t\r\n") != std::string::npos;
        if (action.name().empty() || action.name().size() > 128 || space)
            findings.add("invalid action name \"{}\": expected 1 to 128 characters without white space",
                         action.name());
        if (!seen.insert(action.name()).second) findings.add("action \"{}\" is defined twice", action.name());
    }
    seen.clear();
    for (const auto& identity : task.identities())
        if (!seen.insert(identity.name()).second)
            findings.add("identity \"{}\" is defined twice", identity.name());
}

void check_files(const TaskGroup& group, const Task& task, Findings& findings) {
    for (int i = 0; i < task.artifacts_size(); i++)
        findings.nest(fmt::format("Artifact {} validation failed", i + 1), check_artifact(task.artifacts(i)));
    std::map<std::string, int> destinations;
    for (int i = 0; i < task.templates_size(); i++) {
        const auto& tmpl = task.templates(i);
        findings.nest(fmt::format("Template {} validation failed", i + 1), check_template(tmpl));
        auto [before, fresh] = destinations.emplace(tmpl.dest_path(), i + 1);
        if (!fresh) findings.add("Template {} has same destination as {}", i + 1, before->second);
    }
    if (task.has_dispatch_payload()) {
        const auto& file = task.dispatch_payload().file();
        if (file.empty())
            findings.add("Dispatch Payload validation failed: destination must be set");
        else if (escapes(file, 0))
            findings.add("Dispatch Payload validation failed: destination escapes allocation directory");
    }
    for (int i = 0; i < task.volume_mounts_size(); i++) {
        const auto& mount = task.volume_mounts(i);
        if (mount.volume().empty())
            findings.add("Volume Mount ({}) references an empty volume name", i);
        else if (!group.volumes().contains(mount.volume()))
            findings.add("Volume Mount ({}) references undefined volume {}", i, mount.volume());
        if (!one_of(mount.propagation_mode(), {"", "private", "host-to-task", "bidirectional"}))
            findings.add("Volume Mount ({}) has an invalid propagation mode: \"{}\"", i,
                         mount.propagation_mode());
        if (!one_of(mount.selinux_label(), {"", "z", "Z"}))
            findings.add("Volume Mount ({}) has an invalid SELinux label: \"{}\"", i, mount.selinux_label());
    }
}

void check_logs(const TaskGroup& group, const Task& task, Findings& findings) {
    const auto& logs = task.log_config();
    if (logs.max_files() < 1) findings.add("minimum number of files is 1; got {}", logs.max_files());
    if (logs.max_file_size_mb() < 1)
        findings.add("minimum file size is 1MB; got {}", logs.max_file_size_mb());
    int64_t disk = group.ephemeral_disk().size_mb();
    double use = static_cast<double>(logs.max_files()) * static_cast<double>(logs.max_file_size_mb());
    if (!logs.disabled() && disk > 0 && use >= static_cast<double>(disk))
        findings.add("log storage ({:.0f} MB) must be less than requested disk capacity ({} MB)", use, disk);
}

void check_times(const Job& job, const TaskGroup& group, const Task& task, Findings& findings) {
    if (task.kill_timeout() < 0) findings.add("KillTimeout must be a positive value");
    bool limited =
        job.type() == kJobTypeService && group.has_update() && group.update().progress_deadline() > 0;
    if (limited && task.kill_timeout() > group.update().progress_deadline())
        findings.add("KillTimout ({}) longer than the group's ProgressDeadline ({})",
                     format_duration(task.kill_timeout()),
                     format_duration(group.update().progress_deadline()));
    if (task.shutdown_delay() < 0) findings.add("ShutdownDelay must be a positive value");
}

}  // namespace

Findings check_resources(const Resources& resources) {
    Findings findings;
    if (resources.cores() > 0 && resources.cpu() > 0)
        findings.add("Task can only ask for 'cpu' or 'cores' resource, not both.");
    if (resources.cores() < 0) findings.add("minimum Cores value is 0; got {}", resources.cores());
    Findings minimum;
    if (resources.cores() <= 0 && resources.cpu() < 1)
        minimum.add("minimum CPU value is 1; got {}", resources.cpu());
    if (resources.memory_mb() < 10)
        minimum.add("minimum MemoryMB value is 10; got {}", resources.memory_mb());
    findings.nest(minimum);
    if (resources.disk_mb() > 0)
        findings.add("Task can't ask for disk resources, they have to be specified at the task group level.");
    for (int i = 0; i < resources.devices_size(); i++)
        findings.nest(fmt::format("device {} failed validation", i + 1), check_device(resources.devices(i)));
    int64_t max = resources.memory_max_mb();
    if (max < -1 || (max > 0 && max < resources.memory_mb()))
        findings.add("MemoryMaxMB value ({}) should be larger than MemoryMB value ({})", max,
                     resources.memory_mb());
    if (resources.secrets_mb() < 0 || resources.secrets_mb() > resources.memory_mb())
        findings.add("SecretsMB value ({}) must be between 0 and MemoryMB ({})", resources.secrets_mb(),
                     resources.memory_mb());
    if (resources.has_numa()) {
        const auto& affinity = resources.numa().affinity();
        if (!one_of(affinity, {"none", "prefer", "require"}))
            findings.add("numa affinity must be one of none, prefer, or require");
        if (affinity != "none" && resources.cores() <= 0)
            findings.add("numa affinity \"{}\" needs cores to be set", affinity);
        std::set<std::string> devices;
        for (const auto& device : resources.devices()) devices.insert(device.name());
        for (const auto& name : resources.numa().devices())
            if (!devices.contains(name))
                findings.add("numa device \"{}\" not requested in task resources", name);
    }
    return findings;
}

Findings check_task(const Job& job, const TaskGroup& group, const Task& task) {
    Findings findings;
    if (task.name().empty()) findings.add("Missing task name");
    if (task.name().find_first_of("/\\") != std::string::npos)
        findings.add("Task name cannot include slashes");
    else if (task.name().find('\0') != std::string::npos)
        findings.add("Task name cannot include null characters");
    else if (task.name() == "." || task.name() == "..")
        findings.add("Task name cannot be \"{}\"", task.name());
    if (task.name() == "alloc")
        findings.add("Task name cannot be \"alloc\": it is the name of the shared directory");
    if (task.driver().empty()) findings.add("Missing task driver");
    check_times(job, group, task, findings);
    findings.nest(check_resources(task.resources()));
    check_logs(group, task, findings);
    for (int i = 0; i < task.constraints_size(); i++)
        findings.nest(fmt::format("Constraint {} validation failed", i + 1),
                      check_constraint(task.constraints(i), Level::Task));
    if (job.type() == kJobTypeSystem && !task.affinities().empty())
        findings.add("System jobs may not have an affinity block");
    for (int i = 0; job.type() != kJobTypeSystem && i < task.affinities_size(); i++)
        findings.nest(fmt::format("Affinity {} validation failed", i + 1),
                      check_affinity(task.affinities(i)));
    check_files(group, task, findings);
    if (task.has_vault()) findings.nest("Vault validation failed", check_vault(task.vault()));
    if (task.has_identity()) findings.append(check_identity(task.identity()));
    for (const auto& identity : task.identities())
        findings.nest(fmt::format("Identity {} is invalid", identity.name()), check_identity(identity));
    if (task.has_lifecycle() && !one_of(task.lifecycle().hook(), {"prestart", "poststart", "poststop"})) {
        if (task.lifecycle().hook().empty())
            findings.add("no lifecycle hook provided");
        else
            findings.add("invalid hook: {}", task.lifecycle().hook());
    }
    if (task.leader() && task.has_lifecycle() && !task.lifecycle().sidecar())
        findings.add("Task {} cannot be leader: it has a lifecycle block and is no sidecar", task.name());
    check_names_inside(task, findings);
    if (task.has_csi_plugin_config() &&
        !one_of(task.csi_plugin_config().type(), {"node", "controller", "monolith"}))
        findings.add(
            "CSIPluginConfig PluginType must be one of 'node', 'controller', or 'monolith', got: \"{}\"",
            task.csi_plugin_config().type());
    return findings;
}

bool is_cron(std::string_view text) {
    text = trim(text);
    if (starts_with(text, "@"))
        return one_of(text, {"@hourly", "@daily", "@weekly", "@monthly", "@annually", "@yearly"});
    static const RE2 kField(R"([0-9A-Za-z*,/?#-]+)");
    int fields = 0;
    for (const auto& part : split(text, ' ')) {
        if (part.empty()) continue;
        fields++;
        if (!RE2::FullMatch(part, kField)) return false;
    }
    return fields >= 5 && fields <= 7;
}

}  // namespace drover::model
