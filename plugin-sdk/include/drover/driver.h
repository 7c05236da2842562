// SPDX-License-Identifier: Apache-2.0
// Driver: what an author of a driver plugin implements. serve.h runs it as a plugin process; drivers/mock is the
// smallest complete one. The rules that make tasks outlive agent and plugin are at each function.
//
// Threads: the SDK calls from a pool of threads that grows with the calls in progress, so every function may block
// (a stop waits for its task) and several run at the same time: guard what they share. Calls about one task are not
// ordered by the SDK either; a host does not destroy a task while it starts it. wait_task alone must not block.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "drover/exec.h"
#include "drover/hclspec.h"
#include "drover/types.h"

namespace drover::sdk {

enum class Force : bool { No = false, Yes = true };

// What the SDK gives a driver, once, before any other call.
struct DriverContext {
    // Where tasks keep what finds them again; one agent's drivers may share it, ids are unique. Absolute, private.
    // Set by drover's agent (DROVER_TASK_STATE_DIR); empty under another host: use a config option and a default.
    std::string task_state_dir;
    // Below which cgroup tasks make theirs (DROVER_CGROUP_PARENT, default "drover"); empty: no cgroups.
    std::string cgroup_parent;
    // Shows an event to the user. Any thread; kept in a bounded queue while no host listens.
    std::function<void(TaskEvent)> emit_event;
};

using ExitCallback = std::function<void(const ExitResult&)>;

class Driver {
 public:
    virtual ~Driver() = default;

    // --- who it is: no side effects, callable at any time, also before set_config
    virtual std::string name() const = 0;
    virtual std::string version() const = 0;  // "0.1.0"
    virtual Capabilities capabilities() const = 0;
    virtual std::optional<HclSpec> config_schema() const { return std::nullopt; }  // none: takes no config
    virtual HclSpec task_config_schema() const = 0;

    virtual void attach(DriverContext context) { context_ = std::move(context); }

    // The plugin's config block as msgpack. Idempotent; comes twice from Nomad's validation launches (without
    // `agent`), once for an instance that lives, and not again when a new agent reattaches. Take no exclusive locks
    // here: short-lived second instances run beside a live one.
    virtual Status set_config(std::string_view msgpack, const std::optional<AgentConfig>& agent);

    // Whether tasks can run here. Called when a host asks and then every fingerprint_period_ns(); what changed is sent
    // on. Fast.
    virtual Fingerprint fingerprint() = 0;
    virtual int64_t fingerprint_period_ns() const { return 30'000'000'000; }

    // --- a task
    // Starts the task and returns the handle that finds it again: with all that recovery needs in driver_state and
    // `config` as given. The task must live in a session of its own and outlive this process. On failure nothing of
    // it is left. An Error with Retry::Yes lets the restart policy try again. An id that exists: AlreadyExists.
    virtual Result<StartedTask> start_task(const TaskConfig& config) = 0;

    // Finds a task after this process or the agent was restarted; Ok at once when it is known already. The agent may
    // have died before it stored the handle: then driver_state is empty and handle.config has only the id. NotFound
    // when there is no such task.
    virtual Status recover_task(const TaskHandle& handle) = 0;

    // Calls `done` exactly once when the task has ended, also when it has already: from any thread, or from within.
    // Must not block. NotFound for an unknown task.
    virtual Status wait_task(const std::string& task_id, ExitCallback done) = 0;

    // Signal (empty: the driver's default), at most timeout_ns of patience, then kill the whole tree. Returns when
    // the task has ended. Unknown or ended tasks are Ok.
    virtual Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) = 0;

    // Forgets the task and removes everything it left on the machine. A running one is FailedPrecondition, or killed
    // first with force. For an unknown id: clean up whatever can be found under it (Ok when there is nothing).
    virtual Status destroy_task(const std::string& task_id, Force force) = 0;

    virtual Result<TaskStatus> inspect_task(const std::string& task_id) = 0;
    // Unimplemented: the host gets an open stream without samples. `id` and a missing timestamp are filled in.
    virtual Result<TaskStats> task_stats(const std::string& task_id);
    virtual Status signal_task(const std::string& task_id, const std::string& signal);
    // timeout_ns 0: none.
    virtual Result<ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                         int64_t timeout_ns);
    // Blocks until the program has ended and all its output is written to `stream`. NotFound for an unknown task,
    // Unimplemented (the default): this driver has no streaming exec.
    virtual Result<ExitResult> exec_task_streaming(const std::string& task_id, const ExecRequest& request,
                                                   ExecStream& stream);

    // --- networks: only with must_create_network; both idempotent
    virtual Result<CreatedNetwork> create_network(const std::string& alloc_id, const std::string& hostname);
    virtual Status destroy_network(const std::string& alloc_id, const NetworkIsolation& network);

 protected:
    const DriverContext& context() const { return context_; }

 private:
    DriverContext context_;
};

}  // namespace drover::sdk
