// SPDX-License-Identifier: Apache-2.0
// What a job file may script of a mock task, and an agent's plugin block of the plugin. Field names are those
// of Nomad's mock_driver where it has them. docs/drivers/mock.md explains each one.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "drover/config.h"

namespace drover::drivers {

using Duration = std::chrono::nanoseconds;

// What happens at one RPC, the first `times` it is called (0: each time).
struct MockRpc {
    std::string name;
    Duration delay{0};
    std::string error;  // after the delay; empty: it goes on
    bool recoverable = false;
    int32_t times = 0;
};

inline const sdk::Schema<MockRpc>& mock_rpc_schema() {
    static const auto schema = sdk::Schema<MockRpc>()
                                   .required("name", &MockRpc::name)
                                   .optional("delay", &MockRpc::delay)
                                   .optional("error", &MockRpc::error)
                                   .optional("recoverable", &MockRpc::recoverable)
                                   .optional("times", &MockRpc::times);
    return schema;
}

// How something prints and ends: a task, and a command in it.
struct MockExec {
    Duration run_for{0};
    int32_t exit_code = 0;
    int32_t exit_signal = 0;
    std::string exit_err_msg;
    std::string stdout_string;  // written at the start, and again
    int32_t stdout_repeat = 0;  // ... this many times
    Duration stdout_repeat_duration{1'000'000};
};

inline const sdk::Schema<MockExec>& mock_exec_schema() {
    using C = MockExec;
    static const auto schema = sdk::Schema<C>()
                                   .optional("run_for", &C::run_for)
                                   .optional("exit_code", &C::exit_code)
                                   .optional("exit_signal", &C::exit_signal)
                                   .optional("exit_err_msg", &C::exit_err_msg)
                                   .optional("stdout_string", &C::stdout_string)
                                   .optional("stdout_repeat", &C::stdout_repeat)
                                   .optional("stdout_repeat_duration", &C::stdout_repeat_duration);
    return schema;
}

struct MockTaskConfig {
    std::string start_error;               // StartTask fails with this
    bool start_error_recoverable = false;  // ... and may be tried again
    Duration start_block_for{0};
    Duration run_for{0};
    int32_t exit_code = 0;
    int32_t exit_signal = 0;
    std::string exit_err_msg;
    bool oom_killed = false;
    Duration kill_after{0};  // how long the task goes on after it was told to stop
    std::string signal_error;
    std::string stdout_string;  // written at the start, and again
    int32_t stdout_repeat = 0;  // ... this many times
    Duration stdout_repeat_duration{1'000'000};
    std::string driver_ip;  // a network override
    bool driver_advertise = true;
    std::string driver_port_map;           // "label:number"
    Duration plugin_exit_after{0};         // the plugin's process ends so long after the start; 0: not
    std::optional<MockExec> exec_command;  // what every command run in the task does; none: exec is refused
    std::vector<MockRpc> rpc;              // delays and errors of the RPCs about this task
    std::string crash_at;  // the name of an RPC about this task at which the plugin kills itself
    std::string hang_at;   // ... and at which it never answers
};

inline const sdk::Schema<MockTaskConfig>& mock_task_schema() {
    using C = MockTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("start_error", &C::start_error)
                                   .optional("start_error_recoverable", &C::start_error_recoverable)
                                   .optional("start_block_for", &C::start_block_for)
                                   .optional("run_for", &C::run_for)
                                   .optional("exit_code", &C::exit_code)
                                   .optional("exit_signal", &C::exit_signal)
                                   .optional("exit_err_msg", &C::exit_err_msg)
                                   .optional("oom_killed", &C::oom_killed)
                                   .optional("kill_after", &C::kill_after)
                                   .optional("signal_error", &C::signal_error)
                                   .optional("stdout_string", &C::stdout_string)
                                   .optional("stdout_repeat", &C::stdout_repeat)
                                   .optional("stdout_repeat_duration", &C::stdout_repeat_duration)
                                   .optional("driver_ip", &C::driver_ip)
                                   .optional("driver_advertise", &C::driver_advertise)
                                   .optional("driver_port_map", &C::driver_port_map)
                                   .optional("plugin_exit_after", &C::plugin_exit_after)
                                   .block("exec_command", &C::exec_command, mock_exec_schema())
                                   .blocks("rpc", &C::rpc, mock_rpc_schema())
                                   .optional("crash_at", &C::crash_at)
                                   .optional("hang_at", &C::hang_at);
    return schema;
}

// From `after` on (counted from SetConfig), until the next one.
struct MockHealth {
    Duration after{0};
    std::string state;  // "healthy", "unhealthy", "undetected"
    std::string description;
};

inline const sdk::Schema<MockHealth>& mock_health_schema() {
    static const auto schema = sdk::Schema<MockHealth>()
                                   .required("after", &MockHealth::after)
                                   .required("state", &MockHealth::state)
                                   .optional("description", &MockHealth::description);
    return schema;
}

// The agent's plugin block: misbehaviour that has no task.
struct MockPluginConfig {
    std::string set_config_error;
    bool healthy = true;
    std::vector<MockHealth> health;  // how the health changes, in the order of `after`
    Duration fingerprint_period{30'000'000'000};
    Duration exit_after{0};    // the process ends so long after SetConfig; 0: not
    std::vector<MockRpc> rpc;  // PluginInfo ConfigSchema SetConfig Capabilities TaskConfigSchema Fingerprint
    std::vector<std::string> faults;  // rules of the protocol that are broken on purpose: fault_names()
    std::string crash_at;             // one of the RPCs above
    std::string hang_at;
};

inline const sdk::Schema<MockPluginConfig>& mock_plugin_schema() {
    using C = MockPluginConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("set_config_error", &C::set_config_error)
                                   .optional("healthy", &C::healthy)
                                   .blocks("health", &C::health, mock_health_schema())
                                   .optional("fingerprint_period", &C::fingerprint_period)
                                   .optional("exit_after", &C::exit_after)
                                   .blocks("rpc", &C::rpc, mock_rpc_schema())
                                   .optional("faults", &C::faults)
                                   .optional("crash_at", &C::crash_at)
                                   .optional("hang_at", &C::hang_at);
    return schema;
}

// What finds a task again: the script and when it began (the task itself is only a clock).
struct MockHandle {
    int64_t started_unix_ns = 0;
    std::string config;
};

inline const sdk::Schema<MockHandle>& mock_handle_schema() {
    static const auto schema = sdk::Schema<MockHandle>()
                                   .required("started_unix_ns", &MockHandle::started_unix_ns)
                                   .required("config", &MockHandle::config);
    return schema;
}

}  // namespace drover::drivers
