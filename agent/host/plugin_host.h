// SPDX-License-Identifier: Apache-2.0
// PluginHost: finds plugins, launches or reattaches to them, supervises them, and hands out Drivers and DeviceSources.
// One per
// client agent, made by agent.cpp. A plugin that fails never stops the agent: its reason is kept and shown.
//
// Threads: everything inside runs on strands of the io_context given, which must be running; public members
// may be called from any thread, except that stop() blocks and must not be called from a thread of that
// io_context. Crash: before an instance is used its record is durable in
// <data_dir>/client/plugins/<name>/record.json, so the next host finds the process again.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/agent.h"
#include "agent/host/device.h"
#include "agent/host/driver.h"
#include "agent/host/limits.h"
#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace drover::model {
class Node;
class NodeTopology;
}  // namespace drover::model

namespace drover::agent {

struct PluginHostOptions {
    std::string data_dir;  // absolute; plugins' records are under <data_dir>/client/plugins
    std::string
        bundled_plugin_dir;  // its executables are always loaded; empty: bundled_plugin_dir_of_this_binary()
    std::string plugin_dir;  // executables here are loaded when they have a block; empty: none
    std::vector<PluginBlock> blocks;
    std::vector<std::string> driver_allowlist;  // driver names; empty: all
    std::vector<std::string> driver_denylist;
    std::string cgroup_parent = "drover";  // plugins live in <cgroup_parent>/plugins/<name>; empty: not moved
    uint32_t client_min_port = 14000;      // handed to plugins in SetConfig
    uint32_t client_max_port = 14512;
    std::shared_ptr<const model::NodeTopology> topology;  // the same; may be null
    HostLimits limits;
};

// <directory of the executable>/../lib/drover/plugins
std::string bundled_plugin_dir_of_this_binary();

//            launched          SetConfig done
//  Starting ----------------> Starting ---------> Healthy --(exits, hangs)--> BackingOff --(delay)-->
//  Starting Reattaching --(the recorded process is ours and answers)--> Healthy;  --(anything off)-->
//  Failed: refused by the host (no common version, bad config, blocked by a denylist); tried again only when
//  an operator asks (restart, reload). Any state --(restart, reload of another file or block)--> Starting.
enum class PluginState { Starting, Reattaching, Healthy, BackingOff, Failed, Stopped };
std::string_view plugin_state_name(
    PluginState state);  // "starting", "reattaching", "healthy", "backing off", "failed", "stopped"

struct PluginStatus {
    std::string file;         // path of the executable
    std::string name;         // what the plugin calls itself; the file's name while not known
    std::string type;         // "driver", "device", "" while not known
    std::string version;      // plugin_version
    std::string api_version;  // the one negotiated
    PluginState state = PluginState::Starting;
    std::string reason;     // why it is not healthy; the last one while it starts again
    int pid = 0;            // 0: none
    int64_t since = 0;      // unix ns of the last change of state
    uint64_t launches = 0;  // by this host
    bool bundled = false;
    bool reattached = false;  // the process is older than this host
};

class PluginHost {
 public:
    // Scans, and starts every plugin in the background. Errors: <data_dir>/client/plugins cannot be made.
    // Directories that are missing and files that are no plugins are warnings in the log.
    static Result<std::unique_ptr<PluginHost>> start(PluginHostOptions options, boost::asio::io_context& io);

    PluginHost(const PluginHost&) = delete;
    PluginHost& operator=(const PluginHost&) = delete;
    ~PluginHost();  // stop(Orderly) when nobody stopped it

    // Orderly leaves every plugin running, with its record. Dev shuts all of them down (Shutdown, 2 s,
    // SIGKILL) and removes records, sockets and cgroups. Open calls end with Unavailable or Aborted. Blocks
    // (Dev: some 2 s at most). Idempotent.
    void stop(StopKind kind);

    // The driver of this name, also while its plugin is not running. Before each plugin has told its name (or
    // failed), a name that is not known yet gives a Driver that waits for it; after that NotFound, saying
    // which drivers there are and why a plugin of that file name failed. The pointer keeps working until the
    // host is destroyed.
    Result<std::shared_ptr<Driver>> driver(const std::string& name);

    // The directories are read again, and the configuration's blocks replaced. What is new is launched; what
    // has changed (executable, block) is shut down and launched anew, its tasks go on and are recovered; what
    // is gone is shut down; what had failed is tried again; the rest is left alone. Returns when that has
    // begun.
    void reload(std::string plugin_dir, std::vector<PluginBlock> blocks);
    // Shuts the plugin of this name (its own, its file's, or that without drover-driver-) down and launches
    // the file as it is now. `done`: when it is up, or with the reason of the first failure (NotFound: no
    // such plugin). Its tasks go on either way.
    void restart(const std::string& name, Done<void> done);

    std::vector<PluginStatus> plugins() const;
    std::vector<DriverStatus> drivers() const;
    // The same for /v1/plugins: {"Plugins": [...], "Drivers": {...}}.
    std::string plugin_status_json() const;

    // Called with the new status whenever a driver's fingerprint or health changes, on a thread of the
    // io_context. Before any, for each driver that is known. One subscriber after another, in order.
    std::unique_ptr<OpenCall> on_driver_change(std::function<void(const DriverStatus&)> callback);
    // The device plugins that have been up once, in the order of their names.
    std::vector<std::shared_ptr<DeviceSource>> devices() const;
    // Called when groups() of any of them has changed, on a thread of the io_context; and once at the beginning.
    std::unique_ptr<OpenCall> on_device_change(std::function<void()> callback);
    // Driver events of tasks ("Driver" task events): routed by alloc_id and task_name.
    std::unique_ptr<OpenCall> on_task_event(std::function<void(const sdk::TaskEvent&)> callback);

    // Calls back once every plugin has sent its first fingerprint or has failed, at most after `wait_ns`:
    // what registration waits for.
    void when_settled(int64_t wait_ns, std::function<void()> callback);

    // Writes what a status says into a node: Drivers[name], attributes driver.<name> and driver.<name>.*.
    static void apply(const DriverStatus& status, model::Node& node);

 private:
    class Impl;
    explicit PluginHost(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::agent
