// SPDX-License-Identifier: Apache-2.0
// What is done before each start of a task, as a table of steps (order.cpp). A hook fills in the TaskConfig
// or prepares the disk; it runs on the blocking pool, must be repeatable (the agent may die between any two),
// and must leave nothing outside the allocation's directories and <data_dir>/client.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "agent/allocdir/alloc_dir.h"
#include "agent/task/env.h"
#include "base/result.h"
#include "drover/device.h"
#include "drover/types.h"

namespace drover::agent {

class LogdClient;

// All a hook sees. The messages are shared and const; `config` and `env` are the results.
struct TaskContext {
    std::shared_ptr<const model::Allocation> alloc;  // with its job
    const model::TaskGroup* group = nullptr;         // inside alloc
    const model::Task* task = nullptr;
    std::shared_ptr<const model::Node> node;
    sdk::Capabilities capabilities;
    AllocDir dir;
    std::string region;
    std::string cgroup_parent;
    std::string fifo_dir;  // <data_dir>/client/fifos/<alloc id>
    const std::map<std::string, std::string>* client_options = nullptr;
    LogdClient* logd = nullptr;  // null in tests: no logs are collected
    std::function<Result<sdk::DeviceReservation>(const model::AllocatedDeviceResource&)> reserve;  // blocks

    TaskEnv env;
    sdk::TaskConfig config;

    bool logs_disabled() const;
    std::string stream_id(const char* which) const;  // "<alloc id>/<task>/stdout"
    std::string fifo(const char* which) const;
};

enum class HookFailure { Setup, Validation };

struct Hook {
    const char* name;
    HookFailure failure;    // which event a failure becomes
    bool again_to_recover;  // also run (without side effects) to rebuild the config of a running task
    Status (*run)(TaskContext&);
};

std::span<const Hook> task_hooks();  // in order

Status validate_hook(TaskContext& context);
Status task_dir_hook(TaskContext& context);
Status env_hook(TaskContext& context);
Status resources_hook(TaskContext& context);
Status devices_hook(TaskContext& context);
Status logs_hook(TaskContext& context);
Status dispatch_payload_hook(TaskContext& context);

}  // namespace drover::agent
