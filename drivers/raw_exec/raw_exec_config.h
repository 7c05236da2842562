// SPDX-License-Identifier: Apache-2.0
// The config blocks of raw_exec: the agent's plugin block and a task's.
#pragma once
#include "drover/config.h"

namespace drover::drivers {

struct RawExecPluginConfig {
    bool enabled = false;
    std::string state_dir;  // under a host that does not set DROVER_TASK_STATE_DIR
    std::string denied_host_uids;  // "0,100-199"
    std::string denied_host_gids;
    int64_t pids_limit = 0;  // each task's, and the most it may ask for; 0: none
};

inline const sdk::Schema<RawExecPluginConfig>& raw_exec_plugin_schema() {
    static const auto schema = sdk::Schema<RawExecPluginConfig>()
                                   .optional("enabled", &RawExecPluginConfig::enabled)
                                   .optional("state_dir", &RawExecPluginConfig::state_dir)
                                   .optional("denied_host_uids", &RawExecPluginConfig::denied_host_uids)
                                   .optional("denied_host_gids", &RawExecPluginConfig::denied_host_gids)
                                   .optional("pids_limit", &RawExecPluginConfig::pids_limit);
    return schema;
}

struct RawExecTaskConfig {
    std::string command;
    std::vector<std::string> args;
    std::string work_dir;
    std::optional<int32_t> oom_score_adj;
    std::string cgroup_v2_override;                         // the task's group is made below this one
    std::map<std::string, std::string> cgroup_v1_override;  // controller -> group; the same one for all
    bool enforce_limits = false;                            // cpu and memory as exec
    int64_t pids_limit = 0;                                 // 0: the plugin's
    std::map<std::string, std::string> ulimit;
};

inline const sdk::Schema<RawExecTaskConfig>& raw_exec_task_schema() {
    using C = RawExecTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .required("command", &C::command)
                                   .optional("args", &C::args)
                                   .optional("work_dir", &C::work_dir)
                                   .optional("oom_score_adj", &C::oom_score_adj)
                                   .optional("cgroup_v2_override", &C::cgroup_v2_override)
                                   .optional("cgroup_v1_override", &C::cgroup_v1_override)
                                   .optional("enforce_limits", &C::enforce_limits)
                                   .optional("pids_limit", &C::pids_limit)
                                   .optional("ulimit", &C::ulimit);
    return schema;
}

}  // namespace drover::drivers
