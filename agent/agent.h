// SPDX-License-Identifier: Apache-2.0
// ClientAgent: the client half of a drover agent: plugin host, alloc and task runners, local store, link to
// the servers. Made by cli/agent_main.cpp, once per process. It never talks HTTP and never reads
// configuration files.
//
// Threads: kIoThreads threads run one Asio io_context (every runner, the link and the store's queue are
// strands or timers on it); kBlockingThreads threads run what blocks (disk, SQLite, driver calls that have no
// asynchronous form); gRPC has its own. Their number does not depend on the number of tasks.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::model {
class MapValue;
class Node;
}  // namespace drover::model
namespace drover::ports {
class ClusterPort;
class NodePort;
}  // namespace drover::ports

namespace drover::agent {

// One `plugin "label" { args = [...] config { ... } }` block of the agent's configuration.
struct PluginBlock {
    std::string label;  // the driver's name or the file's
    std::vector<std::string> args;
    std::shared_ptr<const model::MapValue> config;  // null: no config block
};

struct ClientOptions {
    std::string data_dir;   // absolute; <data_dir>/client holds state, tasks, plugins' records (0700)
    std::string alloc_dir;  // empty: <data_dir>/alloc
    bool dev = false;  // nothing survives stop(): tasks, plugins and logd are stopped, directories removed
    std::string region = "global";

    // The node as fingerprinted and configured: Name, Datacenter, NodeClass, NodePool, Meta, Attributes,
    // Resources, NodeResources, ReservedResources, HTTPAddr, CgroupParent, NodeMaxAllocs... The agent fills
    // ID, SecretID, Drivers, the drivers' attributes, Status.
    std::shared_ptr<const model::Node> node;

    std::string cgroup_parent = "drover";  // relative to the cgroup root
    std::string plugin_dir;                // empty: <data_dir>/plugins
    std::string bundled_plugin_dir;        // P/lib/drover/plugins; its executables are always loaded
    std::string libexec_dir;               // P/libexec/drover: drover-shim, drover-logd
    std::vector<PluginBlock> plugins;
    std::map<std::string, std::string> options;  // client options (driver.allowlist, env.denylist, ...)
    std::string log_level = "INFO";              // handed to plugins

    int64_t max_kill_timeout_ns = 30'000'000'000;
    int32_t gc_max_allocs = 50;  // terminal allocations kept on disk before the oldest is collected
    int64_t gc_interval_ns = 60'000'000'000;
    double gc_disk_usage_threshold = 80;  // percent of the allocations' file system
    double gc_inode_usage_threshold = 70;
};

// What happens to what the agent runs: Orderly leaves all of it running, as a kill -9 does; Dev ends and
// removes it.
enum class StopKind { Orderly, Dev };

class ClientAgent {
 public:
    // Opens the store, reattaches to plugins and tasks, and begins to register with the cluster in the
    // background (no server needs to be reachable). Errors: data_dir not usable, or in use by another agent;
    // a corrupt or newer state file is set aside with an error log line and is no error here. `cluster` must
    // outlive the agent.
    static Result<std::unique_ptr<ClientAgent>> start(ClientOptions options, ports::ClusterPort& cluster);

    ClientAgent(const ClientAgent&) = delete;
    ClientAgent& operator=(const ClientAgent&) = delete;
    ~ClientAgent();  // stop(Orderly) when nobody stopped it

    // Blocks until done: Orderly within about a second (pending updates are stored, not waited for); Dev
    // within the tasks' kill timeouts. Idempotent. From any thread but the agent's own.
    void stop(StopKind kind);

    ports::NodePort& node_port();
    std::string node_id() const;

    // True after the first registration was acknowledged by a server. For banners and tests.
    bool registered() const;

    // SIGHUP: the parts that may change while running (log level of new plugins, meta and attributes of the
    // node).
    void reload(std::shared_ptr<const model::Node> node);

 private:
    class Impl;
    explicit ClientAgent(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::agent
