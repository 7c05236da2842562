// SPDX-License-Identifier: Apache-2.0
// From a task's config to the body of the API's "create a container". Looks at the machine (files), makes
// nothing, asks no daemon. Errors name the field of the job that is wrong.
#pragma once
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "drivers/docker/docker_config.h"
#include "drover/types.h"

namespace drover::drivers {

// How our containers are marked. The owner is one plugin's state directory: two agents may share a daemon.
constexpr char kTaskLabel[] = "dev.drover.task";
constexpr char kOwnerLabel[] = "dev.drover.owner";
constexpr char kPauseLabel[] = "dev.drover.network";  // of the containers that hold an allocation's network
constexpr char kAllocLabel[] = "com.hashicorp.nomad.alloc_id";

struct ContainerFacts {
    std::string image;  // what to run: the image's id
    std::string owner;
    int64_t cpus = 1;                   // of the machine
    std::vector<std::string> runtimes;  // that the daemon knows
    std::string network_container;      // the one to join, from CreateNetwork
    std::string resolv_conf, hosts;     // files to mount over the container's, made by the driver
};

// `<task>-<alloc id>` in the letters docker takes.
std::string container_name(const sdk::TaskConfig& task);

Result<nlohmann::json> container_spec(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                                      const DockerPluginConfig& plugin, const ContainerFacts& facts);

// The three parts that are long enough for a file of their own (container_mounts.cpp): HostConfig's Binds,
// Mounts, Tmpfs and Devices.
Status add_mounts(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                  const DockerPluginConfig& plugin, const ContainerFacts& facts, nlohmann::json& host);

// `path` of the job, relative to the task's directory, where it really is; InvalidArgument with `field` when
// it leads out of the allocation, also by a symlink. What does not exist yet is fine as long as its parents
// stay inside.
Result<std::string> path_in_alloc(const sdk::TaskConfig& task, const std::string& path,
                                  std::string_view field);

}  // namespace drover::drivers
