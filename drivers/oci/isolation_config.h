// SPDX-License-Identifier: Apache-2.0
// The config that all drivers with containers share (exec, java), beside what says which command to run: the agent's
// plugin block and a task's.
#pragma once
#include "drover/config.h"

namespace drover::drivers::oci {

struct IsolationPluginConfig {
    std::string runtime = "runc";  // or crun: a name to look for, or an absolute path
    std::string state_dir;         // under a host that does not set DROVER_TASK_STATE_DIR
    std::string default_pid_mode = "private";
    std::string default_ipc_mode = "private";
    bool no_pivot_root = false;
    std::vector<std::string> allow_caps;
    std::string denied_host_uids;  // "0,100-199"
    std::string denied_host_gids;
    std::map<std::string, std::string> chroot_env;  // this machine's path -> the task's; empty: a default set
    std::vector<std::string> image_paths;           // below which a job's image_dir may be
    std::string seccomp_profile;                    // "default" (also empty), "unconfined" or a file in OCI's format
    bool no_new_privileges = true;
    std::string userns_host_ids;  // "100000-165535": tasks get user namespaces with these ids
    int64_t pids_limit = 16'384;  // each task's, and the most it may ask for; 0: none
};

inline const sdk::Schema<IsolationPluginConfig>& isolation_plugin_schema() {
    using C = IsolationPluginConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("runtime", &C::runtime)
                                   .optional("state_dir", &C::state_dir)
                                   .optional("default_pid_mode", &C::default_pid_mode)
                                   .optional("default_ipc_mode", &C::default_ipc_mode)
                                   .optional("no_pivot_root", &C::no_pivot_root)
                                   .optional("allow_caps", &C::allow_caps)
                                   .optional("denied_host_uids", &C::denied_host_uids)
                                   .optional("denied_host_gids", &C::denied_host_gids)
                                   .optional("chroot_env", &C::chroot_env)
                                   .optional("image_paths", &C::image_paths)
                                   .optional("seccomp_profile", &C::seccomp_profile)
                                   .optional("no_new_privileges", &C::no_new_privileges)
                                   .optional("userns_host_ids", &C::userns_host_ids)
                                   .optional("pids_limit", &C::pids_limit);
    return schema;
}

struct IsolationTaskConfig {
    std::string work_dir;
    std::string pid_mode;  // "private", "host"; empty: the plugin's default
    std::string ipc_mode;
    std::vector<std::string> cap_add;
    std::vector<std::string> cap_drop;
    std::string image_dir;    // an unpacked image in place of this machine's directories; relative: in the task's
    std::string userns_mode;  // "host": none, although the plugin has ids for it
    int64_t pids_limit = 0;   // 0: the plugin's
    bool cpu_hard_limit = false;
    int64_t cpu_cfs_period = 100'000;  // microseconds
    std::optional<uint64_t> io_weight;
    std::map<std::string, std::string> ulimit;
};

inline const sdk::Schema<IsolationTaskConfig>& isolation_task_schema() {
    using C = IsolationTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("work_dir", &C::work_dir)
                                   .optional("pid_mode", &C::pid_mode)
                                   .optional("ipc_mode", &C::ipc_mode)
                                   .optional("cap_add", &C::cap_add)
                                   .optional("cap_drop", &C::cap_drop)
                                   .optional("image_dir", &C::image_dir)
                                   .optional("userns_mode", &C::userns_mode)
                                   .optional("pids_limit", &C::pids_limit)
                                   .optional("cpu_hard_limit", &C::cpu_hard_limit)
                                   .optional("cpu_cfs_period", &C::cpu_cfs_period)
                                   .optional("io_weight", &C::io_weight)
                                   .optional("ulimit", &C::ulimit);
    return schema;
}

}  // namespace drover::drivers::oci
