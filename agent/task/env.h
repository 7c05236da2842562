// SPDX-License-Identifier: Apache-2.0
// The environment of a task and the interpolation of ${...} in its strings, from the allocation, the node and
// what the driver's isolation makes of the paths. Pure. Used by the env hook.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace drover::model {
class Allocation;
class Node;
class Task;
class TaskGroup;
}  // namespace drover::model

namespace drover::agent {

struct EnvInput {
    const model::Allocation& alloc;  // with its job
    const model::TaskGroup& group;
    const model::Task& task;
    const model::Node& node;
    std::string region;
    std::string alloc_dir;  // as the task sees them
    std::string task_dir;   // .../local
    std::string secrets_dir;
    std::string parent_cgroup;
    std::map<std::string, std::string>
        host_env;  // already filtered; empty when the driver brings its own image
};

struct TaskEnv {
    std::map<std::string, std::string> env;   // what the process gets
    std::map<std::string, std::string> node;  // "node.datacenter", "attr.cpu.arch", "meta.rack" -> value
};

TaskEnv build_env(const EnvInput& input);

// Replaces ${node.x}, ${attr.x}, ${meta.x}, ${env["X"]}, ${NOMAD_X} (any variable of the environment); an
// unknown one stays as it is. "$${" is a literal "${". Never fails.
std::string interpolate(std::string_view text, const TaskEnv& env);

// The variables under their HCL names, for the driver's own templates.
std::map<std::string, std::string> hcl_variables(const TaskEnv& env);

// [A-Za-z0-9_], everything else becomes '_'.
std::string env_key(std::string_view text);

}  // namespace drover::agent
