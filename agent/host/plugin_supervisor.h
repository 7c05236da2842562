// SPDX-License-Identifier: Apache-2.0
// PluginSupervisor: the life of one plugin: reattach or launch, handshake, configuration, streams, health,
// relaunch, shutdown. It attaches usable connections to the DriverClient or DeviceClient of the plugin's name. Made by
// PluginHost, one per file. The picture of the states is in plugin_host.h.
//
// Threads: lives on its own strand; the public members may be called from any thread.
// Crash: the record is durable before the process can do anything (spawn.h), and is removed only when the
// process is known to be gone, so the next agent finds it whatever happens in between.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "agent/host/backoff.h"
#include "agent/host/device_client.h"
#include "agent/host/discover.h"
#include "agent/host/driver_client.h"
#include "agent/host/plugin_host.h"
#include "agent/host/plugin_process.h"
#include "agent/host/plugin_rpc.h"
#include "agent/host/record.h"
#include "agent/host/spawn.h"

namespace drover::agent {

class PluginSupervisor;

// What supervisors need of their host. Outlives them; thread-safe; must not call back into the supervisor.
class SupervisorHost {
 public:
    virtual ~SupervisorHost() = default;
    // The supervisor's plugin calls itself `name`. An error when it may not be used: blocked by a list, or
    // another plugin of that name is newer. The older one is retired.
    virtual Result<std::shared_ptr<DriverClient>> claim_driver(PluginSupervisor& claimant,
                                                               const std::string& name,
                                                               const std::string& version) = 0;
    // The same for a device plugin.
    virtual Result<std::shared_ptr<DeviceClient>> claim_devices(PluginSupervisor& claimant,
                                                                const std::string& name,
                                                                const std::string& version) = 0;
    // The supervisor serves nothing any more: what it claimed is free for another plugin.
    virtual void release(PluginSupervisor& owner, const std::string& reason) = 0;
    virtual void task_event(const sdk::TaskEvent& event) = 0;
    // It has had its first fingerprint, or its first failure.
    virtual void settled(PluginSupervisor& supervisor) = 0;
};

class PluginSupervisor : public std::enable_shared_from_this<PluginSupervisor> {
 public:
    struct Spec {
        std::string file;  // empty: no longer installed or configured; what still runs of it is shut down
        std::string key;
        bool bundled = false;
        std::vector<std::string> args;
        std::shared_ptr<const model::MapValue> config;  // null: no config block
        std::string dir;                                // <data_dir>/client/plugins/<key>, exists
        std::string cgroup;                             // empty: not moved
        std::map<std::string, std::string> env;
        sdk::AgentConfig agent;
    };
    PluginSupervisor(Spec spec, const HostLimits& limits, boost::asio::io_context& io, SupervisorHost& host);

    void start();
    // Puts `spec` (of the same key) in place: what runs is shut down first, its tasks go on, then the new one
    // is launched and takes them over. An empty file only ends what runs. Also the way out of Failed. `done`
    // (may be null) once: when the new one is up, or with the reason of its first failure, which leaves the
    // tasks as they are.
    void replace(Spec spec, Done<void> done);
    // The same with the spec it has: an operator's restart.
    void restart(Done<void> done);
    // replace(), unless a process of exactly this executable and configuration is up or on its way.
    void refresh(Spec spec);
    // Orderly: lets go of the process. Dev: ends it and removes what it left. `done` once, on the strand.
    void stop(StopKind kind, std::function<void()> done);
    // Shuts the plugin down for good; the reason is shown.
    void retire(std::string reason);

    // After stop() is done: blocks until no callback of any of its calls can come any more.
    void wait_idle();

    PluginStatus status() const;
    const std::string& key() const { return key_; }
    // The plugin's name as far as it can be told before it runs: "exec" for drover-driver-exec.
    std::string log_name() const;

 private:
    enum class Retry { Yes, No };
    enum class Instance { Current, Stale };
    struct Survivor {
        UniqueFd pidfd;
        std::shared_ptr<PluginRpc> rpc;  // null: its launch was never finished
    };

    // --- supervisor_launch.cpp: from nothing to a configured plugin
    void begin();
    Result<Survivor> find_survivor(const PluginRecord& record);
    void reattach(PluginRecord record);
    void launch();
    void sweep_directory();
    Result<Spawned> spawn();
    void on_handshake(const std::string& line);
    void connected(std::shared_ptr<PluginRpc> rpc);
    Status accept_info(const sdk::PluginInfo& info);
    void configure();
    void set_config(std::string msgpack);
    void configured();
    void driver_ready(ConfigSchema schema, sdk::Capabilities capabilities);

    // --- supervisor_device.cpp: a device plugin's streams
    void devices_ready();
    void open_device_fingerprint();
    void take_devices(std::vector<sdk::DeviceGroup> groups);
    void open_device_stats();
    void no_devices(const std::string& why);

    // --- plugin_supervisor.cpp: from a configured plugin to its end
    void healthy();
    void open_fingerprint();
    void open_task_events();
    void schedule_health_check();
    void check_health();
    void lost(std::string reason, Retry retry = Retry::Yes);
    void replace_now(Spec spec, Done<void> done);
    void answer_replacement(Status status);
    void set_unhealthy(const std::string& description);
    void unhealthy_later();
    void disown();
    Instance compare(const Spec& spec) const;
    void let_go_of_connection();
    void forget_process();
    void shut_down(std::function<void()> done);
    void finish_stop(StopKind kind);
    void remove_traces();
    void ended();
    void set_state(PluginState state, std::string reason);
    void watch_process(pid_t pid, UniqueFd pidfd, PluginProcess::Streams streams, bool expect_handshake);

    // Runs `f` on the strand unless the attempt it belongs to is over by then.
    template <class F>
    auto bound(F f) {
        return [weak = weak_from_this(), attempt = attempt_, f = std::move(f)](auto... arguments) mutable {
            auto self = weak.lock();
            if (!self) return;
            boost::asio::post(self->strand_,
                              [self, attempt, f, ... arguments = std::move(arguments)]() mutable {
                                  if (self->attempt_ == attempt) f(std::move(arguments)...);
                              });
        };
    }
    // The same after a time.
    void after(boost::asio::steady_timer& timer, int64_t delay_ns, std::function<void()> f);
    std::string record_path() const { return spec_.dir + "/record.json"; }
    static std::string config_hash(const Spec& spec);

    const std::string key_;
    Spec spec_;
    const HostLimits limits_;
    boost::asio::io_context& io_;
    SupervisorHost& host_;
    const Strand strand_;
    boost::asio::steady_timer attempt_timer_;  // launch deadline, backoff, shutdown
    boost::asio::steady_timer health_timer_;
    boost::asio::steady_timer unhealthy_timer_;
    boost::asio::steady_timer fingerprint_timer_;
    boost::asio::steady_timer events_timer_;
    boost::asio::steady_timer shutdown_timer_;

    uint64_t attempt_ = 0;  // counts everything that makes what was under way void
    bool stopping_ = false;
    bool settled_ = false;
    std::string boot_id_;
    PluginRecord record_;  // of process_
    std::shared_ptr<PluginProcess> process_;
    std::shared_ptr<PluginRpc> rpc_;
    std::shared_ptr<DriverClient> client_;   // of a driver
    std::shared_ptr<DeviceClient> devices_;  // of a device plugin
    std::unique_ptr<OpenCall> stdio_, fingerprint_, task_events_, device_stats_;
    std::function<void()> stop_done_;
    Done<void> replaced_;           // whoever asked for the replacement under way
    int64_t healthy_since_ns_ = 0;  // mono; 0: not healthy
    bool shown_unhealthy_ = false;  // its driver or devices are, because of this plugin
    Backoff backoff_, fingerprint_backoff_, events_backoff_;
    std::minstd_rand random_;

    mutable std::mutex status_mutex_;  // status() is asked from other threads
    PluginStatus status_;
    std::vector<std::shared_ptr<PluginRpc>> closed_;  // connections whose last callbacks may still come
};

}  // namespace drover::agent
