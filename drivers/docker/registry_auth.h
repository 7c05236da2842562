// SPDX-License-Identifier: Apache-2.0
// Who we are to a registry: the task's auth block, else the plugin's config.json (with its credential
// helpers), else the plugin's helper. Runs helpers (docker-credential-NAME), reads files; what is secret goes
// into no error and no log.
#pragma once
#include <string>

#include "base/result.h"
#include "drivers/docker/docker_config.h"

namespace drover::drivers {

struct Credentials {
    std::string username, password, email, server;
    std::string identity_token;
    bool empty() const { return username.empty() && identity_token.empty(); }
};

// Empty credentials: none are known, the registry is asked without. Errors name the source that failed.
Result<Credentials> find_credentials(const std::string& registry, const DockerTaskConfig& task,
                                     const DockerPluginConfig& plugin);

// For X-Registry-Auth; empty for empty credentials.
std::string auth_header(const Credentials& credentials);

}  // namespace drover::drivers
