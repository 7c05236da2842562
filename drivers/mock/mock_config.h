// SPDX-License-Identifier: Apache-2.0
// What a job file may script of a mock task. Field names are those of Nomad's mock_driver where it has them.
#pragma once
#include <chrono>
#include <string>

#include "drover/config.h"

namespace drover::drivers {

struct MockTaskConfig {
    std::string start_error;               // StartTask fails with this
    bool start_error_recoverable = false;  // ... and may be tried again
    std::chrono::nanoseconds start_block_for{0};
    std::chrono::nanoseconds run_for{0};
    int32_t exit_code = 0;
    int32_t exit_signal = 0;
    std::string exit_err_msg;
    bool oom_killed = false;
    std::chrono::nanoseconds kill_after{0};  // how long the task goes on after it was told to stop
    std::string signal_error;
    std::string stdout_string;  // written at the start, and again
    int32_t stdout_repeat = 0;  // ... this many times
    std::chrono::nanoseconds stdout_repeat_duration{1'000'000};
    std::string driver_ip;  // a network override
    std::string crash_at;   // the name of an RPC about this task at which the plugin kills itself
    std::string hang_at;    // ... and at which it never answers
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
                                   .optional("crash_at", &C::crash_at)
                                   .optional("hang_at", &C::hang_at);
    return schema;
}

// The agent's plugin block: misbehaviour that has no task.
struct MockPluginConfig {
    std::string set_config_error;
    bool healthy = true;
    std::string crash_at;  // "Fingerprint", "SetConfig"
    std::string hang_at;
};

inline const sdk::Schema<MockPluginConfig>& mock_plugin_schema() {
    using C = MockPluginConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("set_config_error", &C::set_config_error)
                                   .optional("healthy", &C::healthy)
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
