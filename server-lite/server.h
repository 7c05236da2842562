// SPDX-License-Identifier: Apache-2.0
// Server: one server of the cluster in this process: log, state, evaluation broker, scheduler workers, plan
// applier, heartbeats and the cluster RPC. Made by cli/agent_main.cpp; everything else asks through port().
// Never includes the agent: they meet at the cluster RPC.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace drover::ports {
class ClusterPort;
}

namespace drover::server {

// When what is no longer needed is removed. Nanoseconds.
struct GcOptions {
    int64_t eval_interval_ns = 5 * kMinute;
    int64_t eval_threshold_ns = kHour;
    int64_t batch_eval_threshold_ns = 24 * kHour;
    int64_t job_interval_ns = 5 * kMinute;
    int64_t job_threshold_ns = 4 * kHour;
    int64_t node_interval_ns = 5 * kMinute;
    int64_t node_threshold_ns = 24 * kHour;
    int64_t deployment_interval_ns = 5 * kMinute;
    int64_t deployment_threshold_ns = kHour;
};

struct ServerOptions {
    std::string data_dir;  // log and snapshots live in <data_dir>/server (0700); empty: in memory only (-dev)
    std::string region = "global";
    std::string datacenter = "dc1";
    std::string node_name;  // empty: the host's name
    std::string version;    // shown by Cluster.Stats

    // The cluster RPC (gRPC). An empty bind address: no listener, only port() answers. Port 0: the kernel
    // chooses.
    std::string rpc_bind_address;
    uint16_t rpc_port = 4647;
    std::string rpc_advertise;  // host:port told to clients; empty: what is bound

    // Heartbeats: ttl = max(min ttl, nodes / rate), up to twice that by jitter; the grace is added on this
    // side.
    int64_t heartbeat_min_ttl_ns = 10 * kSecond;
    int64_t heartbeat_grace_ns = 10 * kSecond;
    int64_t failover_heartbeat_ttl_ns = 300 * kSecond;  // for every known node after a start
    double heartbeats_per_second_max = 50;

    // Scheduling.
    uint32_t num_schedulers = 0;      // 0: one per core
    std::string scheduler_algorithm;  // default of a new cluster: "binpack" (empty) or "spread"
    bool memory_oversubscription = false;
    bool preemption_system = true, preemption_sysbatch = false, preemption_batch = false,
         preemption_service = false;
    int64_t eval_nack_timeout_ns = 60 * kSecond;
    uint32_t eval_delivery_limit = 3;

    // Jobs.
    int64_t job_default_priority = 50;
    int64_t job_max_priority = 100;
    uint32_t job_tracked_versions = 6;
    int64_t job_max_count = 50000;

    GcOptions gc;
    uint64_t snapshot_threshold = 8192;  // log entries between two snapshots
};

class Server {
 public:
    // Opens and replays the log, becomes leader (one server is a cluster of one) and starts working. Errors
    // name the file or address they are about; a damaged log is DataLoss and the file is kept as it is.
    static Result<std::unique_ptr<Server>> start(ServerOptions options);
    ~Server();  // stops

    // Ends the workers, answers what waits with Cancelled, syncs and closes the log. Idempotent; blocks until
    // done.
    void stop();

    // Every rpc of proto/cluster/cluster.proto, answered in this process. Lives as long as the Server; after
    // stop() calls are answered with Cancelled.
    ports::ClusterPort& port();

    // host:port of the RPC listener; empty without one.
    std::string rpc_address() const;

 private:
    struct Impl;
    explicit Server(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::server
