// SPDX-License-Identifier: Apache-2.0
// The values that a driver plugin and its host exchange: plain structs, complete when built, no generated classes.
// Field by field Nomad's driver protocol; units are in the names. Errors are drover::Error (base/result.h): its
// retry() bit is Nomad's "recoverable", which decides whether the restart policy may try a failed start again.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace drover::sdk {

using StringMap = std::map<std::string, std::string>;

// --- the plugin -----------------------------------------------------------------------------------------------

enum class PluginType : int { Unknown = 0, Driver = 2, Device = 3 };

struct PluginInfo {
    PluginType type = PluginType::Unknown;
    std::string name;
    std::string version;                    // "0.1.0"
    std::vector<std::string> api_versions;  // "v0.1.0"
    friend bool operator==(const PluginInfo&, const PluginInfo&) = default;
};

struct CpuCore {
    enum class Grade : int { Performance = 0, Efficiency = 1 };
    uint32_t socket_id = 0;
    uint32_t node_id = 0;  // NUMA node
    uint32_t core_id = 0;
    Grade grade = Grade::Performance;
    bool disabled = false;
    uint64_t base_mhz = 0;
    uint64_t max_mhz = 0;
    uint64_t guess_mhz = 0;
    friend bool operator==(const CpuCore&, const CpuCore&) = default;
};

struct Topology {
    std::vector<uint32_t> numa_node_ids;
    uint32_t distance_dimension = 0;
    std::vector<uint32_t> distances;  // row-major, dimension squared (checked when read from the wire)
    std::vector<CpuCore> cores;
    uint64_t override_total_mhz = 0;
    uint64_t override_withheld_mhz = 0;
    friend bool operator==(const Topology&, const Topology&) = default;
};

// What the agent tells a plugin about itself. Absent in the validation launches of a Nomad agent.
struct AgentConfig {
    uint32_t port_min = 0;
    uint32_t port_max = 0;
    std::optional<Topology> topology;
    friend bool operator==(const AgentConfig&, const AgentConfig&) = default;
};

enum class FsIsolation : int { None = 0, Chroot = 1, Image = 2, Unveil = 3 };
enum class NetworkMode : int { Host = 0, Group = 1, Task = 2, None = 3 };

struct Capabilities {
    bool send_signals = false;
    bool exec = false;
    FsIsolation fs_isolation = FsIsolation::None;
    std::vector<NetworkMode> network_modes;
    bool must_create_network = false;
    bool accepts_mounts = true;  // host and CSI volumes
    bool disable_log_collection = false;
    bool dynamic_workload_users = false;
    friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

// A typed value with a unit, such as 4 GiB.
struct Attribute {
    std::variant<std::monostate, bool, int64_t, double, std::string> value;
    std::string unit;
    // As node attributes show it: "4GiB", "true", "1".
    std::string text() const;
    friend bool operator==(const Attribute&, const Attribute&) = default;
};

enum class Health : int { Undetected = 0, Unhealthy = 1, Healthy = 2 };

struct Fingerprint {
    std::map<std::string, Attribute> attributes;  // "driver.<name>.version" and so on
    Health health = Health::Undetected;
    std::string description;
    std::string error;  // not empty: the fingerprint itself failed
    friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

// --- a task's config ------------------------------------------------------------------------------------------

struct NetworkPort {
    std::string label;
    int32_t value = 0;
    friend bool operator==(const NetworkPort&, const NetworkPort&) = default;
};
struct NetworkResource {
    std::string device;
    std::string cidr;
    std::string ip;
    int32_t mbits = 0;
    std::vector<NetworkPort> reserved_ports;
    std::vector<NetworkPort> dynamic_ports;
    friend bool operator==(const NetworkResource&, const NetworkResource&) = default;
};
struct PortMapping {
    std::string label;
    int32_t host_port = 0;
    int32_t to = 0;  // 0: the same as host_port
    std::string host_ip;
    friend bool operator==(const PortMapping&, const PortMapping&) = default;
};
struct LinuxResources {
    int64_t cpu_period_us = 0;
    int64_t cpu_quota_us = 0;
    int64_t cpu_shares = 0;  // the same number as Resources::cpu_mhz
    int64_t memory_limit_bytes = 0;
    int64_t oom_score_adj = 0;
    std::string cpuset_cpus;
    double compute_fraction = 0;  // cpu_mhz / what the node has to give
    std::string cpuset_cgroup;
    friend bool operator==(const LinuxResources&, const LinuxResources&) = default;
};
struct Resources {
    int64_t cpu_mhz = 0;
    int64_t memory_mb = 0;
    int64_t memory_max_mb = 0;  // 0: memory_mb is the limit
    std::vector<NetworkResource> networks;
    LinuxResources linux_resources;
    std::vector<PortMapping> ports;
    friend bool operator==(const Resources&, const Resources&) = default;
};

struct Mount {
    std::string task_path;
    std::string host_path;
    bool read_only = false;
    std::string propagation_mode;  // "" "private" "host-to-task" "bidirectional"
    std::string selinux_label;
    std::string request_name;
    friend bool operator==(const Mount&, const Mount&) = default;
};
struct DeviceNode {
    std::string task_path;
    std::string host_path;
    std::string cgroup_permissions;  // of "rwm"
    friend bool operator==(const DeviceNode&, const DeviceNode&) = default;
};

struct HostsConfig {
    std::string hostname;
    std::string address;
    friend bool operator==(const HostsConfig&, const HostsConfig&) = default;
};
struct NetworkIsolation {
    NetworkMode mode = NetworkMode::Host;
    std::string path;  // of the network namespace
    StringMap labels;
    std::optional<HostsConfig> hosts;
    friend bool operator==(const NetworkIsolation&, const NetworkIsolation&) = default;
};
struct DnsConfig {
    std::vector<std::string> servers;
    std::vector<std::string> searches;
    std::vector<std::string> options;
    friend bool operator==(const DnsConfig&, const DnsConfig&) = default;
};

struct TaskConfig {
    std::string id;  // "<alloc id>/<task>/<8 hex>", new for each start
    std::string name;
    std::string alloc_id;
    std::string job_id;
    std::string job_name;
    std::string parent_job_id;
    std::string task_group_name;
    std::string namespace_name;
    std::string node_id;
    std::string node_name;
    std::string msgpack_driver_config;  // the task's config block: Schema<T>::decode() reads it
    StringMap env;
    StringMap device_env;
    Resources resources;
    std::vector<Mount> mounts;
    std::vector<DeviceNode> devices;
    std::string user;
    std::string alloc_dir;
    std::string stdout_path;  // a FIFO: open it for writing only
    std::string stderr_path;
    std::optional<NetworkIsolation> network_isolation;  // absent: the host's network
    std::optional<DnsConfig> dns;

    std::string task_dir() const { return alloc_dir + "/" + name; }          // holds local, secrets, private, tmp
    std::string shared_alloc_dir() const { return alloc_dir + "/alloc"; }    // holds data, logs, tmp
    friend bool operator==(const TaskConfig&, const TaskConfig&) = default;
};

// --- a task's life --------------------------------------------------------------------------------------------

enum class TaskState : int { Unknown = 0, Running = 1, Exited = 2 };

// What the host stores and gives back to recover_task. After a restart of a Nomad agent `config` comes without
// msgpack_driver_config: all that recovery needs is in driver_state, or is found by the task's id.
struct TaskHandle {
    int32_t version = 0;  // the driver's own numbering; 0 is reserved
    TaskConfig config;
    TaskState state = TaskState::Unknown;
    std::string driver_state;
    friend bool operator==(const TaskHandle&, const TaskHandle&) = default;
};

// An address or port map that replaces the host's for this task (Nomad: NetworkOverride).
struct DriverNetwork {
    std::map<std::string, int32_t> port_map;
    std::string address;
    bool auto_advertise = false;
    friend bool operator==(const DriverNetwork&, const DriverNetwork&) = default;
};

struct StartedTask {
    TaskHandle handle;
    std::optional<DriverNetwork> network;
    friend bool operator==(const StartedTask&, const StartedTask&) = default;
};

struct ExitResult {
    int32_t exit_code = 0;
    int32_t signal = 0;
    bool oom_killed = false;
    std::string error;  // not empty: how the task ended is not known, and why
    bool successful() const { return exit_code == 0 && signal == 0 && error.empty(); }
    friend bool operator==(const ExitResult&, const ExitResult&) = default;
};

struct TaskStatus {
    std::string id;
    std::string name;
    TaskState state = TaskState::Unknown;
    int64_t started_unix_ns = 0;    // 0: not yet
    int64_t completed_unix_ns = 0;  // 0: not yet
    ExitResult exit;                // without `error`: the protocol has no place for it here
    StringMap attributes;
    std::optional<DriverNetwork> network;
    friend bool operator==(const TaskStatus&, const TaskStatus&) = default;
};

// What is absent was not measured. Percentages: 100 is one core.
struct CpuUsage {
    std::optional<double> system_percent;
    std::optional<double> user_percent;
    std::optional<double> total_mhz;
    std::optional<uint64_t> throttled_periods;
    std::optional<uint64_t> throttled_ns;
    std::optional<double> percent;
    friend bool operator==(const CpuUsage&, const CpuUsage&) = default;
};
struct MemoryUsage {
    std::optional<uint64_t> rss_bytes;
    std::optional<uint64_t> cache_bytes;
    std::optional<uint64_t> max_usage_bytes;
    std::optional<uint64_t> kernel_bytes;
    std::optional<uint64_t> kernel_max_bytes;
    std::optional<uint64_t> usage_bytes;
    std::optional<uint64_t> swap_bytes;
    friend bool operator==(const MemoryUsage&, const MemoryUsage&) = default;
};
struct ResourceUsage {
    CpuUsage cpu;
    MemoryUsage memory;
    friend bool operator==(const ResourceUsage&, const ResourceUsage&) = default;
};
struct TaskStats {
    std::string id;
    int64_t timestamp_unix_ns = 0;
    ResourceUsage total;
    std::map<std::string, ResourceUsage> by_pid;  // key: the pid in decimal
    friend bool operator==(const TaskStats&, const TaskStats&) = default;
};

// Something the driver wants the user to see among the task's events, such as a download's progress.
struct TaskEvent {
    std::string task_id;
    std::string alloc_id;
    std::string task_name;
    int64_t timestamp_unix_ns = 0;
    std::string message;
    StringMap annotations;
    friend bool operator==(const TaskEvent&, const TaskEvent&) = default;
};

struct ExecOutput {
    std::string stdout_bytes;
    std::string stderr_bytes;
    ExitResult exit;
    friend bool operator==(const ExecOutput&, const ExecOutput&) = default;
};

struct CreatedNetwork {
    NetworkIsolation network;
    bool created = false;  // false: it was there already
    friend bool operator==(const CreatedNetwork&, const CreatedNetwork&) = default;
};

// A failure that a later start of the same task may not have (an image that could not be fetched, ...).
inline Error recoverable_error(std::string message) {
    return Error(Code::FailedPrecondition, std::move(message), Retry::Yes);
}

}  // namespace drover::sdk
