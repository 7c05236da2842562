// SPDX-License-Identifier: Apache-2.0
// Driver: one task driver as the task runner sees it. It stays valid while its plugin process is killed,
// relaunched, reattached or upgraded; what a call needs to know about that is in its error (below).
// Implemented by driver_client.cpp over gRPC, and by fakes in tests. It never restarts a task and never
// decides about one.
//
// Threads: every member may be called from any thread and never blocks. `done` is called exactly once, on an
// unspecified thread (gRPC's or the host's), never from inside the call; it must not block.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "drover/types.h"

namespace drover::model {
class MapValue;
}  // namespace drover::model

namespace drover::agent {

template <class T>
using Done = std::function<void(Result<T>)>;

// How calls fail, beside the plugin's own errors (whose Code and Retry bit are passed through, and whose
// codes never are one of these two):
//   Unavailable  the plugin is not running, or this instance of it does not hold the task: nothing was done.
//   Aborted      the plugin died or hung while the call was under way: whether it was done is not known.
inline bool plugin_down(const Error& error) {
    return error.code() == Code::Unavailable;
}
inline bool outcome_unknown(const Error& error) {
    return error.code() == Code::Aborted;
}
inline bool plugin_lost(const Error& error) {
    return plugin_down(error) || outcome_unknown(error);
}

// What the driver's fingerprint said last; what a node's Drivers map shows.
struct DriverStatus {
    std::string name;
    bool detected = false;
    bool healthy = false;
    std::string description;                        // "Healthy", or why not
    std::map<std::string, std::string> attributes;  // formatted as node attributes: "driver.exec" = "true"
    int64_t updated_at = 0;                         // unix ns
    uint64_t generation = 0;  // 0: not connected now; otherwise counts the plugin's instances

    friend bool operator==(const DriverStatus&, const DriverStatus&) = default;
};

// A call or subscription that stays open. Destroying or cancel()ing it ends it: its callbacks are not called
// any more (one may still be running on another thread), so an ended call's `done` is the one exception to
// "exactly once".
class OpenCall {
 public:
    virtual ~OpenCall() = default;
    virtual void cancel() = 0;
};

class Driver {
 public:
    virtual ~Driver() = default;

    virtual const std::string& name() const = 0;
    virtual DriverStatus status() const = 0;

    // Called with the generation each time an instance of the plugin has become usable (first launch,
    // relaunch, reattach), and at once when one is: the moment to recover_task() everything this driver
    // should hold. Never again after the subscription is destroyed.
    virtual std::unique_ptr<OpenCall> on_connected(std::function<void(uint64_t generation)> callback) = 0;

    // These two are answered from the newest instance's schema, also while no instance runs; before the first
    // one was up they wait for it (limits.h connect_wait_ns).
    virtual void capabilities(Done<sdk::Capabilities> done) = 0;
    // The task's `config` by the plugin's own hclspec: templates evaluated with `variables` (names as in HCL:
    // "NOMAD_TASK_NAME", "node.class", "meta.x", each also as env["x"]), unknown keys and wrong types refused
    // (InvalidArgument, one finding a line, with the path inside the config). The result is TaskConfig's
    // msgpack_driver_config.
    virtual void decode_config(std::shared_ptr<const model::MapValue> config,
                               std::map<std::string, std::string> variables, Done<std::string> done) = 0;

    // These two wait for an instance (connect_wait_ns), then Unavailable.
    // Aborted means that the task may or may not run: ask by its id with recover_task() and a handle that
    // holds only `config` (SDK plugins look into the task's state directory, and then hold the task); if that
    // fails, destroy_task(Force) before anything is started anew.
    virtual void start_task(sdk::TaskConfig config, Done<sdk::StartedTask> done) = 0;
    virtual void recover_task(sdk::TaskHandle handle, Done<void> done) = 0;

    // The rest is about a task that this instance of the plugin holds, by start_task or recover_task; if it
    // does not (a relaunch since), they answer Unavailable at once, except destroy_task, which is always
    // sent. wait_task has no deadline: it ends with the exit, an error of the driver, or Aborted/Unavailable.
    // Several at once are fine.
    virtual std::unique_ptr<OpenCall> wait_task(const std::string& task_id, Done<sdk::ExitResult> done) = 0;
    // Ends when the task has exited or was killed; deadline: timeout_ns and stop_slack_ns. An empty signal is
    // the driver's default.
    virtual void stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal,
                           Done<void> done) = 0;
    enum class Destroy : bool { IfExited = false, Force = true };
    virtual void destroy_task(const std::string& task_id, Destroy how, Done<void> done) = 0;
    virtual void signal_task(const std::string& task_id, const std::string& signal, Done<void> done) = 0;
    virtual void inspect_task(const std::string& task_id, Done<sdk::TaskStatus> done) = 0;
    // `sample` for each sample until `done` tells why the stream ended.
    virtual std::unique_ptr<OpenCall> stream_stats(const std::string& task_id, int64_t interval_ns,
                                                   std::function<void(sdk::TaskStats)> sample,
                                                   Done<void> done) = 0;
    // One command inside the task. A timeout of 0 has none of the driver's own; the call ends by exec_ns.
    virtual void exec_task(const std::string& task_id, std::vector<std::string> command, int64_t timeout_ns,
                           Done<sdk::ExecOutput> done) = 0;
};

}  // namespace drover::agent
