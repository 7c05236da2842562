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
};

inline const sdk::Schema<IsolationPluginConfig>& isolation_plugin_schema() {
    using C = IsolationPluginConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("runtime", &C::runtime)
                                   .optional("state_dir", &C::state_dir)
                                   .optional("default_pid_mode", &C::default_pid_mode)
                                   .optional("default_ipc_mode", &C::default_ipc_mode)
                                   .optional("no_pivot_root", &C::no_pivot_root)
                                   .optional("allow_caps", &C::allow_caps);
    return schema;
}

struct IsolationTaskConfig {
    std::string work_dir;
    std::string pid_mode;  // "private", "host"; empty: the plugin's default
    std::string ipc_mode;
    std::vector<std::string> cap_add;
    std::vector<std::string> cap_drop;
};

inline const sdk::Schema<IsolationTaskConfig>& isolation_task_schema() {
    using C = IsolationTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("work_dir", &C::work_dir)
                                   .optional("pid_mode", &C::pid_mode)
                                   .optional("ipc_mode", &C::ipc_mode)
                                   .optional("cap_add", &C::cap_add)
                                   .optional("cap_drop", &C::cap_drop);
    return schema;
}

}  // namespace drover::drivers::oci
