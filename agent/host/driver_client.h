// SPDX-License-Identifier: Apache-2.0
// DriverClient: the Driver that runners hold, over whatever instance of the plugin lives at the moment. The
// supervisor attaches and detaches connections; calls go to the newest one, or wait for one, or fail as
// driver.h says.
//
// Threads: any. A mutex guards the few fields; no callback is made while it is held.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "agent/host/config_schema.h"
#include "agent/host/driver.h"
#include "agent/host/limits.h"
#include "agent/host/plugin_rpc.h"

namespace drover::agent {

class DriverClient : public Driver, public std::enable_shared_from_this<DriverClient> {
 public:
    using StatusListener = std::function<void(const DriverStatus&)>;
    DriverClient(std::string name, const HostLimits& limits, boost::asio::io_context& io,
                 StatusListener listener);
    ~DriverClient() override;

    // --- for the supervisor
    // A usable instance: calls that waited are sent, on_connected subscribers are told.
    void attach(std::shared_ptr<PluginRpc> rpc, ConfigSchema schema, sdk::Capabilities capabilities);
    // The instance is gone. Status and schema stay as they are.
    void detach();
    void set_fingerprint(const sdk::Fingerprint& fingerprint);
    // Not usable for longer than a moment, or not at all.
    void set_unhealthy(const std::string& description);
    // No plugin will ever serve this name, or the host stops: calls fail at once with `error`.
    void give_up(Error error);

    // --- Driver
    const std::string& name() const override { return name_; }
    DriverStatus status() const override;
    std::unique_ptr<OpenCall> on_connected(std::function<void(uint64_t generation)> callback) override;
    void capabilities(Done<sdk::Capabilities> done) override;
    void decode_config(std::shared_ptr<const model::MapValue> config,
                       std::map<std::string, std::string> variables, Done<std::string> done) override;
    void start_task(sdk::TaskConfig config, Done<sdk::StartedTask> done) override;
    void recover_task(sdk::TaskHandle handle, Done<void> done) override;
    std::unique_ptr<OpenCall> wait_task(const std::string& task_id, Done<sdk::ExitResult> done) override;
    void stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal,
                   Done<void> done) override;
    void destroy_task(const std::string& task_id, Destroy how, Done<void> done) override;
    void signal_task(const std::string& task_id, const std::string& signal, Done<void> done) override;
    void inspect_task(const std::string& task_id, Done<sdk::TaskStatus> done) override;
    std::unique_ptr<OpenCall> stream_stats(const std::string& task_id, int64_t interval_ns,
                                           std::function<void(sdk::TaskStats)> sample,
                                           Done<void> done) override;
    void exec_task(const std::string& task_id, std::vector<std::string> command, int64_t timeout_ns,
                   Done<sdk::ExecOutput> done) override;

 private:
    // One usable instance and what was learned from it.
    struct Instance {
        std::shared_ptr<PluginRpc> rpc;
        ConfigSchema schema;
        sdk::Capabilities capabilities;
        uint64_t generation;
    };
    using InstancePtr = std::shared_ptr<const Instance>;
    struct Waiter;
    struct Subscriber;
    class Subscription;

    // Calls `use` with the instance as soon as there is one: from the io_context when it is there, else when
    // it comes, or with an error after connect_wait_ns. Any: the last known instance is enough, also when it
    // is gone.
    enum class Need { Live, Any };
    void with_instance(Need need, std::function<void(Result<InstancePtr>)> use);
    // The live instance, if it holds the task.
    Result<InstancePtr> holding(const std::string& task_id) const;
    void remember(const InstancePtr& instance, const std::string& task_id);
    void forget(const std::string& task_id);
    template <class T>
    void fail(const Done<T>& done, Error error);
    void update(const std::function<void(DriverStatus&)>& change);

    const std::string name_;
    const HostLimits limits_;
    boost::asio::io_context& io_;
    const StatusListener listener_;

    mutable std::mutex mutex_;
    InstancePtr live_;  // null: none now
    InstancePtr last_;
    uint64_t generations_ = 0;
    std::set<std::string> tasks_;  // held by live_
    DriverStatus status_;
    std::optional<Error> gone_;
    std::vector<std::shared_ptr<Waiter>> waiters_;
    std::vector<std::shared_ptr<Subscriber>> subscribers_;
};

}  // namespace drover::agent
