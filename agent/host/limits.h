// SPDX-License-Identifier: Apache-2.0
// Every deadline and bound of the plugin host, in one place. Tests shorten the times through HostLimits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace drover::agent {

struct HostLimits {
    int64_t launch_ns = 60 * kSecond;  // from exec to the handshake line (Nomad's StartTimeout)
    int64_t connect_wait_ns =
        60 * kSecond;                // how long start_task and its like wait for a plugin that is not up
    int64_t call_ns = 30 * kSecond;  // PluginInfo, SetConfig, schemas, RecoverTask, DestroyTask, ...
    int64_t start_task_ns = 30 * kMinute;  // StartTask: pulling an image is part of it
    int64_t stop_slack_ns = 60 * kSecond;  // on top of the task's own kill timeout
    int64_t exec_ns = 30 * kMinute;
    int64_t health_interval_ns = 5 * kSecond;   // between health checks of an instance
    int64_t health_deadline_ns = 15 * kSecond;  // no answer to one of them in this time: the plugin hangs
    int64_t reattach_ns = 5 * kSecond;          // all of: connect, PluginInfo
    int64_t shutdown_ns = 2 * kSecond;          // from Controller.Shutdown to SIGKILL
    int64_t kill_ns = 5 * kSecond;              // from SIGKILL to the exit; then it is left to the kernel
    int64_t unhealthy_after_ns = 5 * kSecond;   // a plugin away for less does not make its driver unhealthy
    int64_t backoff_min_ns = 250 * kMillisecond;
    int64_t backoff_max_ns = 2 * kMinute;
    int64_t backoff_reset_ns =
        1 * kMinute;  // healthy for so long: the next failure begins at backoff_min again
    int64_t fingerprint_retry_min_ns =
        1 * kSecond;  // a fingerprint stream that ends is opened again after this, doubling
    int64_t fingerprint_retry_max_ns = 2 * kMinute;
};

constexpr size_t kHandshakeBytesMax = 8 << 10;  // the handshake line
constexpr size_t kLogLineBytesMax = 64 << 10;   // longer lines of a plugin's stderr are logged in pieces
constexpr int kPluginPipeBytes = 1 << 20;       // what a plugin can log while no agent reads
constexpr size_t kTaskConfigDepthMax = 64;      // nesting of a task's config and of a plugin's schema
static_assert(kHandshakeBytesMax <= kLogLineBytesMax);

}  // namespace drover::agent
