// SPDX-License-Identifier: Apache-2.0
// PluginProcess: a small host for tests. Launches a plugin's binary as an agent would, does the handshake, and offers
// the driver protocol as plain calls with a deadline each (devices: device_calls.h). For conformance tests of any
// plugin, ours or another's; the real host is agent/host. One thread at a time, except wait_task.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drover/hclspec.h"
#include "drover/types.h"
#include "plugin-sdk/testing/exec_session.h"

namespace drover::sdk::testing {

struct LaunchOptions {
    std::string binary;
    StringMap env;            // added to a minimal environment with the cookie
    std::string stderr_path;  // a file; empty: /dev/null
    bool cookie = true;
    int64_t call_timeout_ns = 30'000'000'000;  // also how long the handshake may take
};

class PluginProcess {
 public:
    // An Error tells what the plugin printed instead of a handshake line, or how it ended.
    static Result<std::unique_ptr<PluginProcess>> launch(const LaunchOptions& options);
    ~PluginProcess();  // SIGKILL when it still runs; removes its socket

    pid_t pid() const;
    const std::string& handshake() const;      // the line as printed
    int64_t launch_ns() const;                 // from the start of the process to the line
    std::string printed_after_handshake();     // to stdout; the first 64 KiB
    const std::string& socket() const;         // empty: tcp
    void kill();                               // SIGKILL, and wait
    Result<int> shutdown(int64_t timeout_ns);  // the orderly way; the exit status
    static Result<int> run_to_end(const LaunchOptions& options, std::string* output);  // no handshake expected

    Result<PluginInfo> info();
    Result<std::optional<HclSpec>> config_schema();
    Status set_config(const std::string& msgpack, const std::optional<AgentConfig>& agent);
    Result<HclSpec> task_config_schema();
    Result<Capabilities> capabilities();
    Result<Fingerprint> fingerprint();  // the first message of the stream
    Result<bool> healthy();             // grpc.health.v1, service "plugin"
    Result<StartedTask> start_task(const TaskConfig& config);
    Status recover_task(const TaskHandle& handle);
    // DeadlineExceeded when the task outlives the timeout. Any thread.
    Result<ExitResult> wait_task(const std::string& task_id, int64_t timeout_ns);
    // One WaitTask for each id at the same time; `waiting` is called once all of them have reached the plugin.
    Result<std::vector<ExitResult>> wait_many(const std::vector<std::string>& task_ids, int64_t timeout_ns,
                                              const std::function<void()>& waiting);
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal);
    Status destroy_task(const std::string& task_id, bool force);
    Result<TaskStatus> inspect_task(const std::string& task_id);
    Result<std::vector<TaskStats>> task_stats(const std::string& task_id, int64_t interval_ns, size_t samples);
    Result<TaskEvent> task_event();  // the first of the stream
    Status signal_task(const std::string& task_id, const std::string& signal);
    Result<CreatedNetwork> create_network(const std::string& alloc_id, const std::string& hostname);
    Status destroy_network(const std::string& alloc_id, const NetworkIsolation& network);
    Result<ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                 int64_t timeout_ns);
    std::unique_ptr<ExecSession> exec_task_streaming(const std::string& task_id, const ExecRequest& request);
    // For calls of another service: testing/device_calls.h.
    const std::shared_ptr<grpc::Channel>& channel() const;
    // Whether the streams that hosts leave open (stdio, broker, events) are still open after being asked for.
    Result<bool> idle_streams_stay_open();

 private:
    struct Impl;
    explicit PluginProcess(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::sdk::testing
