// SPDX-License-Identifier: Apache-2.0
// The closed sets of words that the schema stores as strings, and what they imply. Pure.
#pragma once
#include <cstdint>
#include <string_view>

#include "model/fwd.h"

namespace drover::model {

inline constexpr std::string_view kJobTypeService = "service";
inline constexpr std::string_view kJobTypeBatch = "batch";
inline constexpr std::string_view kJobTypeSystem = "system";
inline constexpr std::string_view kJobTypeSysBatch = "sysbatch";
inline constexpr std::string_view kJobTypeCore = "_core";

inline constexpr std::string_view kJobStatusPending = "pending";
inline constexpr std::string_view kJobStatusRunning = "running";
inline constexpr std::string_view kJobStatusDead = "dead";

inline constexpr int64_t kJobPriorityMin = 1;
inline constexpr int64_t kJobPriorityDefault = 50;
inline constexpr int64_t kJobPriorityMax = 100;
inline constexpr int64_t kCorePriority = 32767;

inline constexpr std::string_view kNamespaceDefault = "default";
inline constexpr std::string_view kRegionDefault = "global";
inline constexpr std::string_view kNodePoolDefault = "default";
inline constexpr std::string_view kNodePoolAll = "all";

inline constexpr std::string_view kNodeStatusInit = "initializing";
inline constexpr std::string_view kNodeStatusReady = "ready";
inline constexpr std::string_view kNodeStatusDown = "down";
inline constexpr std::string_view kNodeStatusDisconnected = "disconnected";
inline constexpr std::string_view kNodeEligible = "eligible";
inline constexpr std::string_view kNodeIneligible = "ineligible";

inline constexpr std::string_view kAllocDesiredRun = "run";
inline constexpr std::string_view kAllocDesiredStop = "stop";
inline constexpr std::string_view kAllocDesiredEvict = "evict";
inline constexpr std::string_view kAllocClientPending = "pending";
inline constexpr std::string_view kAllocClientRunning = "running";
inline constexpr std::string_view kAllocClientComplete = "complete";
inline constexpr std::string_view kAllocClientFailed = "failed";
inline constexpr std::string_view kAllocClientLost = "lost";
inline constexpr std::string_view kAllocClientUnknown = "unknown";

inline constexpr std::string_view kTaskStatePending = "pending";
inline constexpr std::string_view kTaskStateRunning = "running";
inline constexpr std::string_view kTaskStateDead = "dead";

inline constexpr std::string_view kEvalStatusBlocked = "blocked";
inline constexpr std::string_view kEvalStatusPending = "pending";
inline constexpr std::string_view kEvalStatusComplete = "complete";
inline constexpr std::string_view kEvalStatusFailed = "failed";
inline constexpr std::string_view kEvalStatusCancelled = "canceled";

inline constexpr std::string_view kTriggerJobRegister = "job-register";
inline constexpr std::string_view kTriggerJobDeregister = "job-deregister";
inline constexpr std::string_view kTriggerPeriodicJob = "periodic-job";
inline constexpr std::string_view kTriggerNodeDrain = "node-drain";
inline constexpr std::string_view kTriggerNodeUpdate = "node-update";
inline constexpr std::string_view kTriggerAllocStop = "alloc-stop";
inline constexpr std::string_view kTriggerScheduled = "scheduled";
inline constexpr std::string_view kTriggerRollingUpdate = "rolling-update";
inline constexpr std::string_view kTriggerDeploymentWatcher = "deployment-watcher";
inline constexpr std::string_view kTriggerFailedFollowUp = "failed-follow-up";
inline constexpr std::string_view kTriggerMaxPlans = "max-plan-attempts";
inline constexpr std::string_view kTriggerRetryFailedAlloc = "alloc-failure";
inline constexpr std::string_view kTriggerQueuedAllocs = "queued-allocs";
inline constexpr std::string_view kTriggerPreemption = "preemption";
inline constexpr std::string_view kTriggerScaling = "job-scaling";
inline constexpr std::string_view kTriggerMaxDisconnectTimeout = "max-disconnect-timeout";
inline constexpr std::string_view kTriggerReconnect = "reconnect";

inline constexpr std::string_view kDeploymentRunning = "running";
inline constexpr std::string_view kDeploymentPaused = "paused";
inline constexpr std::string_view kDeploymentFailed = "failed";
inline constexpr std::string_view kDeploymentSuccessful = "successful";
inline constexpr std::string_view kDeploymentCancelled = "cancelled";
inline constexpr std::string_view kDeploymentPending = "pending";
inline constexpr std::string_view kDeploymentBlocked = "blocked";
inline constexpr std::string_view kDeploymentUnblocking = "unblocking";
inline constexpr std::string_view kDeploymentInitializing = "initializing";

inline constexpr std::string_view kLifecyclePrestart = "prestart";
inline constexpr std::string_view kLifecyclePoststart = "poststart";
inline constexpr std::string_view kLifecyclePoststop = "poststop";

// The client has nothing running any more: complete, failed or lost.
bool client_terminal(const Allocation& alloc);
// The server wants it stopped or evicted.
bool server_terminal(const Allocation& alloc);
// Either of the two.
bool terminal(const Allocation& alloc);
bool eval_terminal(std::string_view status);  // complete, failed, canceled
bool deployment_active(
    std::string_view status);  // running, paused, pending, blocked, unblocking, initializing

// The number in "job.group[3]"; -1 when the name has none.
int64_t alloc_index(std::string_view alloc_name);

const TaskGroup* find_group(const Job& job, std::string_view name);  // null when absent
const Task* find_task(const TaskGroup& group, std::string_view name);
bool is_periodic(const Job& job);       // has an enabled periodic block
bool is_parameterized(const Job& job);  // and is not itself a dispatched child

}  // namespace drover::model
