// SPDX-License-Identifier: Apache-2.0
// The task's names, paths and environment. Paths are as the task sees them: the host's for a driver without
// isolation, /alloc, /local, /secrets for one that gives the task a root of its own. The host's own
// environment is merged in (except what the client option env.denylist names) unless the driver brings an
// image.
#include <unistd.h>

#include "agent/task/hooks/hook.h"
#include "base/strings.h"

extern char** environ;  // NOLINT: POSIX

namespace drover::agent {
namespace {

constexpr const char* kDenied =
    "CONSUL_TOKEN,CONSUL_HTTP_TOKEN,CONSUL_HTTP_TOKEN_FILE,NOMAD_TOKEN,VAULT_TOKEN,NOMAD_LICENSE,AWS_ACCESS_"
    "KEY_ID,"
    "AWS_SECRET_ACCESS_KEY,AWS_SESSION_TOKEN,GOOGLE_APPLICATION_CREDENTIALS";

std::map<std::string, std::string> host_environment(const std::map<std::string, std::string>& options) {
    const auto configured = options.find("env.denylist");
    const auto denied = split(configured != options.end() ? configured->second : kDenied, ',');
    std::map<std::string, std::string> env;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const auto equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0) continue;
        const std::string key(text.substr(0, equals));
        if (starts_with(key, "DROVER_") || starts_with(key, "NOMAD_")) continue;
        if (std::find(denied.begin(), denied.end(), key) != denied.end()) continue;
        env[key] = std::string(text.substr(equals + 1));
    }
    return env;
}

}  // namespace

Status env_hook(TaskContext& context) {
    const auto& alloc = *context.alloc;
    const auto& task = *context.task;
    const bool own_root = context.capabilities.fs_isolation == sdk::FsIsolation::Image ||
                          context.capabilities.fs_isolation == sdk::FsIsolation::Chroot;
    const std::string task_root = context.dir.task(task.name());
    EnvInput input{.alloc = alloc,
                   .group = *context.group,
                   .task = task,
                   .node = *context.node,
                   .region = context.region,
                   .alloc_dir = own_root ? "/alloc" : context.dir.shared(),
                   .task_dir = own_root ? "/local" : task_root + "/local",
                   .secrets_dir = own_root ? "/secrets" : task_root + "/secrets",
                   .parent_cgroup = context.cgroup_parent,
                   .host_env = {}};
    if (context.capabilities.fs_isolation != sdk::FsIsolation::Image) {
        input.host_env = host_environment(*context.client_options);
    }
    context.env = build_env(input);

    auto& config = context.config;
    config.name = task.name();
    config.alloc_id = alloc.id();
    config.job_id = alloc.job_id();
    config.job_name = alloc.job().name();
    config.parent_job_id = alloc.job().parent_id();
    config.task_group_name = alloc.task_group();
    config.namespace_name = alloc.namespace_();
    config.node_id = context.node->id();
    config.node_name = context.node->name();
    config.env = context.env.env;
    config.user = interpolate(task.user(), context.env);
    config.alloc_dir = context.dir.path();
    config.stdout_path = context.logs_disabled() ? "/dev/null" : context.fifo("stdout");
    config.stderr_path = context.logs_disabled() ? "/dev/null" : context.fifo("stderr");
    return {};
}

}  // namespace drover::agent
