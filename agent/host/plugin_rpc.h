// SPDX-License-Identifier: Apache-2.0
// PluginRpc: one connection to one plugin process, every RPC of the protocol as an asynchronous call on SDK
// values. The connection is one socket, never dialled again: when it breaks, this plugin instance is lost.
// Used by the supervisor (base and controller calls, streams) and by DriverClient (a task's calls).
//
// Threads: everything from any thread; callbacks on gRPC's threads or the io_context's, never from inside the
// call. They must not block. An ended connection gives Unavailable (the call was not made) or Aborted (it was
// under way).
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/host/config_schema.h"
#include "agent/host/driver.h"
#include "agent/host/handshake.h"
#include "agent/host/limits.h"
#include "base/result.h"
#include "drover/types.h"

namespace boost::asio {
class io_context;
}

namespace drover::agent {

class PluginRpc {
 public:
    // Dials once; does not block for longer than a local connect. The io_context must outlive the last
    // callback.
    static Result<std::shared_ptr<PluginRpc>> connect(const Handshake& address, const HostLimits& limits,
                                                      boost::asio::io_context& io);
    ~PluginRpc();

    pid_t peer_pid() const;  // 0: not known (tcp)
    // Called when a call or stream ended in a way that looks like a dead connection, at most once.
    void on_trouble(std::function<void(std::string reason)> callback);
    // Ends every call; later ones answer Unavailable. Idempotent.
    void close();
    // Blocks until no callback of this connection is running or will run any more; after close().
    void wait_idle();
    bool idle() const;

    // --- every plugin
    void plugin_info(int64_t deadline_ns, Done<sdk::PluginInfo> done);
    void config_schema(Done<std::optional<ConfigSchema>> done);  // none: the plugin takes no config
    void set_config(std::string msgpack, const sdk::AgentConfig& agent, std::string api_version,
                    Done<void> done);
    void shutdown(Done<void> done);  // Controller.Shutdown, by limits.shutdown_ns
    // Reads what the plugin prints by this way, for ever; `text` gets stderr's and stdout's bytes.
    std::unique_ptr<OpenCall> stdio(std::function<void(const std::string& bytes)> text, Done<void> ended);

    // --- drivers
    void driver_init(Done<void> done);      // a plugin without it is fine
    void driver_shutdown(Done<void> done);  // the same
    void task_config_schema(Done<ConfigSchema> done);
    void capabilities(Done<sdk::Capabilities> done);
    std::unique_ptr<OpenCall> fingerprint(std::function<void(sdk::Fingerprint)> message, Done<void> ended);
    std::unique_ptr<OpenCall> task_events(std::function<void(sdk::TaskEvent)> message, Done<void> ended);
    void start_task(const sdk::TaskConfig& config, Done<sdk::StartedTask> done);
    void recover_task(const sdk::TaskHandle& handle, Done<void> done);
    std::unique_ptr<OpenCall> wait_task(const std::string& task_id, Done<sdk::ExitResult> done);
    void stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal,
                   Done<void> done);
    void destroy_task(const std::string& task_id, bool force, Done<void> done);
    void signal_task(const std::string& task_id, const std::string& signal, Done<void> done);
    void inspect_task(const std::string& task_id, Done<sdk::TaskStatus> done);
    std::unique_ptr<OpenCall> task_stats(const std::string& task_id, int64_t interval_ns,
                                         std::function<void(sdk::TaskStats)> message, Done<void> ended);
    void exec_task(const std::string& task_id, const std::vector<std::string>& command, int64_t timeout_ns,
                   Done<sdk::ExecOutput> done);

    struct Impl;

 private:
    explicit PluginRpc(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::agent
