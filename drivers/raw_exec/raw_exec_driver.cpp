// SPDX-License-Identifier: Apache-2.0
#include "drivers/raw_exec/raw_exec_driver.h"

#include "base/files.h"
#include "base/strings.h"
#include "drivers/common/command_path.h"
#include "drivers/common/limits.h"
#include "drivers/common/users.h"

namespace drover::drivers {
namespace {

// Below which group the task's is made: the job's own choice, or ours.
Result<std::string> cgroup_path(const RawExecTaskConfig& config, const std::string& ours, const std::string& task_id) {
    if (ours.empty()) return std::string();
    std::string base = config.cgroup_v2_override;
    if (cgroup::mounted().version == cgroup::Version::V1) {
        base.clear();
        for (const auto& [controller, path] : config.cgroup_v1_override) {
            if (!base.empty() && base != path) {
                return make_error(
                    Code::InvalidArgument,
                    "cgroup_v1_override: one group for all controllers is supported, found \"{}\" and \"{}\"", base,
                    path);
            }
            base = path;
        }
    }
    while (starts_with(base, "/")) base.erase(0, 1);
    return base.empty() ? ours : join_path(base, sdk::task_dir_name(task_id));
}

}  // namespace

sdk::Capabilities RawExecDriver::capabilities() const {
    return {.send_signals = true,
            .exec = true,
            .fs_isolation = sdk::FsIsolation::None,
            .network_modes = {sdk::NetworkMode::Host, sdk::NetworkMode::Group},
            .must_create_network = false,
            .accepts_mounts = false,
            .disable_log_collection = false,
            .dynamic_workload_users = false};
}

std::optional<sdk::HclSpec> RawExecDriver::config_schema() const { return raw_exec_plugin_schema().spec(); }
sdk::HclSpec RawExecDriver::task_config_schema() const { return raw_exec_task_schema().spec(); }

Status RawExecDriver::set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) {
    DROVER_TRY(RawExecPluginConfig config, raw_exec_plugin_schema().decode(msgpack));
    DROVER_CHECK(DeniedIds::parse(config.denied_host_uids, config.denied_host_gids));
    configure(config.state_dir, agent);
    std::lock_guard lock(mutex_);
    config_ = std::move(config);
    return {};
}

RawExecPluginConfig RawExecDriver::config() const {
    std::lock_guard lock(mutex_);
    return config_;
}

sdk::Fingerprint RawExecDriver::fingerprint() {
    if (!config().enabled)
        return {.attributes = {}, .health = sdk::Health::Undetected, .description = "disabled", .error = ""};
    return {.attributes = {{"driver.raw_exec", {true, ""}}},
            .health = sdk::Health::Healthy,
            .description = "Healthy",
            .error = ""};
}

Result<sdk::ProcessSpec> RawExecDriver::prepare(const sdk::TaskConfig& task) {
    const RawExecPluginConfig plugin = this->config();
    if (!plugin.enabled) {
        return make_error(Code::FailedPrecondition,
                          "raw_exec is disabled: set enabled = true in the agent's plugin \"raw_exec\" config");
    }
    DROVER_TRY(RawExecTaskConfig config, raw_exec_task_schema().decode(task.msgpack_driver_config));
    sdk::ProcessSpec spec;
    spec.task_id = task.id;
    spec.work_dir = config.work_dir.empty() ? task.task_dir() : config.work_dir;
    if (spec.work_dir[0] != '/')
        return make_error(Code::InvalidArgument, "work_dir: must be an absolute path, found \"{}\"", spec.work_dir);
    if (!path_exists(spec.work_dir))
        return make_error(Code::NotFound, "work_dir: \"{}\" does not exist", spec.work_dir);
    auto path = task.env.find("PATH");
    DROVER_TRY(spec.command, find_command(config.command, join_path(task.task_dir(), "local"), task.task_dir(),
                                          path == task.env.end() ? kDefaultPath : path->second, {{"/", ""}}));
    spec.args = config.args;
    for (const auto& [key, value] : task.env) spec.env.push_back(key + "=" + value);
    spec.stdout_path = task.stdout_path;
    spec.stderr_path = task.stderr_path;
    DROVER_TRY(DeniedIds denied, DeniedIds::parse(plugin.denied_host_uids, plugin.denied_host_gids));
    if (!task.user.empty()) {
        DROVER_TRY(spec.user, find_user(task.user));
        DROVER_CHECK(denied.check(task.user, *spec.user));
    }
    DROVER_TRY(spec.rlimits, parse_ulimits(config.ulimit));
    if (config.oom_score_adj) spec.oom_score_adj = *config.oom_score_adj;
    DROVER_TRY(spec.cgroup, cgroup_path(config, task_cgroup(task.id), task.id));
    DROVER_TRY(auto pids_max, pids_limit(config.pids_limit, plugin.pids_limit));
    if (spec.cgroup.empty()) {
        if (!config.enforce_limits && !pids_max) return spec;
        return make_error(Code::FailedPrecondition, "enforce_limits and pids_limit require cgroups");
    }
    if (config.enforce_limits)
        spec.limits = resource_limits(task.resources);
    else
        spec.limits.cpuset_cpus = task.resources.linux_resources.cpuset_cpus;
    spec.limits.pids_max = pids_max;
    return spec;
}

}  // namespace drover::drivers
