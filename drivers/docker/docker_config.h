// SPDX-License-Identifier: Apache-2.0
// The config blocks of docker: the agent's plugin block and a task's. Names and defaults are those of Nomad's
// driver.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "drover/config.h"

namespace drover::drivers {

using StringMap = std::map<std::string, std::string>;

struct DockerAuth {
    std::string username;
    std::string password;
    std::string email;
    std::string server_address;
};
struct DockerDevice {
    std::string host_path;
    std::string container_path;
    std::string cgroup_permissions;
};
struct DockerBindOptions {
    std::string propagation;
};
struct DockerTmpfsOptions {
    int64_t size = 0;  // bytes; 0: no limit
    int64_t mode = 0;  // 0: the daemon's default
};
struct DockerVolumeDriver {
    std::string name;
    StringMap options;
};
struct DockerVolumeOptions {
    bool no_copy = false;
    StringMap labels;
    std::optional<DockerVolumeDriver> driver_config;
};
struct DockerMount {
    std::string type = "volume";  // bind, volume, tmpfs
    std::string target;
    std::string source;
    bool readonly = false;
    std::optional<DockerBindOptions> bind_options;
    std::optional<DockerTmpfsOptions> tmpfs_options;
    std::optional<DockerVolumeOptions> volume_options;
};
struct DockerLogging {
    std::string driver;  // the same as type
    std::string type;
    StringMap config;
};
struct DockerHealthchecks {
    bool disable = false;
};

struct DockerTaskConfig {
    std::string image;
    std::optional<DockerAuth> auth;
    bool auth_soft_fail = false;
    std::vector<std::string> cap_add, cap_drop;
    std::string command;
    std::vector<std::string> args;
    sdk::Value entrypoint;  // text or a list of it
    int64_t cpu_cfs_period = 100'000;
    bool cpu_hard_limit = false;
    std::string cpuset_cpus;
    std::string cgroupns;
    std::vector<DockerDevice> devices;
    std::vector<std::string> dns_servers, dns_search_domains, dns_options;
    std::vector<std::string> extra_hosts;
    bool force_pull = false;
    std::vector<std::string> group_add;
    std::optional<DockerHealthchecks> healthchecks;
    std::string hostname;
    std::chrono::nanoseconds image_pull_timeout{std::chrono::minutes(5)};
    bool init = false;
    bool interactive = false;
    std::string ipc_mode, pid_mode, userns_mode, uts_mode;
    std::string ipv4_address, ipv6_address;
    StringMap labels;
    std::string load;
    std::optional<DockerLogging> logging;
    std::string mac_address;
    int64_t memory_hard_limit = 0;  // MB
    std::vector<DockerMount> mount, mounts;
    std::vector<std::string> network_aliases;
    std::string network_mode;
    std::optional<int64_t> oom_score_adj;
    int64_t pids_limit = 0;
    std::vector<std::string> ports;
    std::map<std::string, int32_t> port_map;
    bool privileged = false;
    bool readonly_rootfs = false;
    std::string runtime;
    std::vector<std::string> security_opt;
    int64_t shm_size = 0;  // bytes
    StringMap storage_opt;
    StringMap sysctl;
    bool tty = false;
    StringMap ulimit;
    std::string volume_driver;
    std::vector<std::string> volumes;
    std::string work_dir;
};

struct DockerPluginAuth {
    std::string config;  // path of a config.json
    std::string helper;  // docker-credential-<helper>
};
struct DockerDangling {
    bool enabled = true;
    bool dry_run = false;
    std::chrono::nanoseconds period{std::chrono::minutes(5)};
    std::chrono::nanoseconds creation_grace{std::chrono::minutes(5)};
};
struct DockerGc {
    bool image = true;
    std::chrono::nanoseconds image_delay{std::chrono::minutes(3)};
    bool container = true;
    std::optional<DockerDangling> dangling_containers;
};
struct DockerVolumes {
    bool enabled = false;
    std::string selinuxlabel;
};

struct DockerPluginConfig {
    std::string endpoint = "unix:///var/run/docker.sock";
    std::optional<DockerPluginAuth> auth;
    std::vector<std::string> extra_labels;
    std::optional<DockerGc> gc;
    std::optional<DockerVolumes> volumes;
    bool allow_privileged = false;
    std::vector<std::string> allow_caps;
    std::vector<std::string> allow_runtimes{"runc", "nvidia"};
    std::string nvidia_runtime = "nvidia";
    int64_t pids_limit = 0;
    std::chrono::nanoseconds pull_activity_timeout{std::chrono::minutes(2)};
    bool disable_log_collection = false;
    std::optional<DockerLogging> logging;
    std::string infra_image;  // empty: a pause program of our own, put into an image when first needed
    std::chrono::nanoseconds infra_image_pull_timeout{std::chrono::minutes(5)};
    std::string state_dir;  // under a host that does not set DROVER_TASK_STATE_DIR

    DockerGc collection() const { return gc.value_or(DockerGc()); }
    DockerDangling dangling() const { return collection().dangling_containers.value_or(DockerDangling()); }
    bool volumes_enabled() const { return volumes && volumes->enabled; }
};

const sdk::Schema<DockerTaskConfig>& docker_task_schema();
const sdk::Schema<DockerPluginConfig>& docker_plugin_schema();

}  // namespace drover::drivers
