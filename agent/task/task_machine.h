// SPDX-License-Identifier: Apache-2.0
// The life of one task as a pure machine: step(event, now) -> actions. task_runner performs the actions on
// its strand and feeds back what came of them. No clock, thread, file or randomness in here; after a restart
// of the agent the stored record is loaded and step(Restarted) goes on from there.
//
//   WAITING -gate-> SETUP -hooks done-> STARTING -started-> RUNNING -kill, restart-> STOPPING
//      ^              ^  failed \          | failed  \         | exit                  | exit
//      |              |          v         v          \        v                       v
//      |              +--timer-- DELAY <- EXITED <-----+---- EXITED (destroy, then the restart policy, or
//      DEAD) |                                     ^         \ nobody knows it any more
//      +- operator's restart (DEAD)          +-server- LOST
//
// Intent before act: entering STARTING stores the task id before StartTask is sent, and RUNNING stores the
// handle. A restart in STARTING asks the driver by that id; what it does not know is destroyed by force
// before a new start. A plugin whose executable was replaced may refuse a task that runs: it is left alone,
// shown with the reason, and offered to each later instance; only a kill or restart ends it, by force.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "agent/task/restart_policy.h"
#include "proto/client/state.pb.h"

namespace drover::agent {

// What the machine needs of the job; made by task_spec.cpp, replaced when the allocation is updated in place.
struct TaskSpec {
    std::string alloc_id;
    std::string name;
    RestartRules restart;
    int64_t kill_timeout_ns = 5'000'000'000;  // capped by the client's maximum already
    int64_t shutdown_delay_ns = 0;
    std::string kill_signal;  // empty: the driver's own
};

// ---- events
// ----------------------------------------------------------------------------------------------------------

namespace task_event {
struct Restarted {};   // first event after loading a stored record
struct GateOpened {};  // its turn in the lifecycle has come
struct SetupDone {};
struct SetupFailed {
    model::TaskEvent event;  // "Setup Failure", "Failed Validation", "Driver Failure"
    Retry retry = Retry::No;
};
struct Started {
    client::TaskHandle handle;
    client::NetworkOverride network;
};
struct StartFailed {
    std::string error;
    Retry retry = Retry::No;
};
struct StartUnknown {};  // the driver died during StartTask
struct Recovered {
    std::string build;  // of the plugin that has it now; empty: not known
};
struct RecoverFailed {
    std::string error;
};  // the driver answered: it does not have it
struct RecoverRefused {
    std::string error;
};                      // another executable than the one that ran it cannot take it over, or there is none
struct DriverLost {};   // a call ended because the plugin is gone
struct DriverReady {};  // an instance of the plugin is up
struct Exited {
    client::ExitResult exit;
};
struct Destroyed {};  // logs are flushed, the driver has forgotten the instance
struct TimerFired {};
struct StopFailed {
    std::string error;
};
struct Kill {
    std::vector<model::TaskEvent> reasons;  // shown before "Killing"
    bool no_shutdown_delay = false;
};
struct Restart {  // asked for by an operator
    std::string reason;
    bool also_dead = false;
};
struct Signal {
    std::string signal;
    std::string reason;
};
struct ServerContact {};  // first answer of a server since the agent started
struct Note {
    model::TaskEvent event;
};  // only shown
struct Abort {
    model::TaskEvent event;
};  // the allocation could not be set up: dead and failed, never started
}  // namespace task_event

using TaskInput =
    std::variant<task_event::Restarted, task_event::GateOpened, task_event::SetupDone,
                 task_event::SetupFailed, task_event::Started, task_event::StartFailed,
                 task_event::StartUnknown, task_event::Recovered, task_event::RecoverFailed,
                 task_event::RecoverRefused, task_event::DriverLost, task_event::DriverReady,
                 task_event::Exited, task_event::Destroyed, task_event::TimerFired, task_event::StopFailed,
                 task_event::Kill, task_event::Restart, task_event::Signal, task_event::ServerContact,
                 task_event::Note, task_event::Abort>;

// ---- actions, to be performed in order
// ---------------------------------------------------------------------------------

namespace task_action {
// Store the record; actions after it wait until it is on disk.
struct Persist {
    std::shared_ptr<const client::TaskRecord> record;
};
struct Report {};    // the shown state has changed
struct RunSetup {};  // -> SetupDone | SetupFailed
struct StartTask {
    std::string task_id;
};  // -> Started | StartFailed | StartUnknown
struct RecoverTask {
    std::string task_id;
};  // with record().handle -> Recovered | RecoverFailed | RecoverRefused | DriverLost
struct WaitTask {
    std::string task_id;
};                 // -> Exited | DriverLost
struct StopTask {  // -> StopFailed; success shows as Exited
    std::string task_id;
    int64_t timeout_ns = 0;
    std::string signal;
};
struct Destroy {
    std::string task_id;
};                      // flush logs, DestroyTask(force) -> Destroyed; waits for the driver
struct AwaitDriver {};  // -> DriverReady, of an instance that has not refused the task yet
struct ArmTimer {
    int64_t delay_ns = 0;
};  // replaces the timer -> TimerFired
struct SendSignal {
    std::string task_id;
    std::string signal;
};
}  // namespace task_action

using TaskAction =
    std::variant<task_action::Persist, task_action::Report, task_action::RunSetup, task_action::StartTask,
                 task_action::RecoverTask, task_action::WaitTask, task_action::StopTask, task_action::Destroy,
                 task_action::AwaitDriver, task_action::ArmTimer, task_action::SendSignal>;
using TaskActions = std::vector<TaskAction>;

class TaskMachine {
 public:
    struct Tick {
        int64_t now_ns = 0;   // unix
        uint64_t random = 0;  // fresh bits
    };

    // A new task ("Task received by client" is its first event), or one loaded from the store.
    static TaskMachine fresh(TaskSpec spec, Tick tick);
    static TaskMachine loaded(TaskSpec spec, client::TaskRecord record);

    TaskActions step(const TaskInput& input, Tick tick);

    const client::TaskRecord& record() const { return record_; }
    const TaskSpec& spec() const { return spec_; }
    void set_spec(TaskSpec spec) { spec_ = std::move(spec); }

    bool dead() const { return record_.phase() == client::DEAD; }
    bool waiting() const { return record_.phase() == client::WAITING; }
    bool failed() const { return record_.state().failed(); }
    // It began once: its gate does not close again.
    bool begun() const { return record_.phase() != client::WAITING; }
    // A task of this id may be alive in the driver.
    bool holds_instance() const;

 private:
    TaskMachine(TaskSpec spec, client::TaskRecord record)
        : spec_(std::move(spec)), record_(std::move(record)) {}

    void on(const task_event::Restarted&);
    void on(const task_event::GateOpened&);
    void on(const task_event::SetupDone&);
    void on(const task_event::SetupFailed&);
    void on(const task_event::Started&);
    void on(const task_event::StartFailed&);
    void on(const task_event::StartUnknown&);
    void on(const task_event::Recovered&);
    void on(const task_event::RecoverFailed&);
    void on(const task_event::RecoverRefused&);
    void on(const task_event::DriverLost&);
    void on(const task_event::DriverReady&);
    void on(const task_event::Exited&);
    void on(const task_event::Destroyed&);
    void on(const task_event::TimerFired&);
    void on(const task_event::StopFailed&);
    void on(const task_event::Kill&);
    void on(const task_event::Restart&);
    void on(const task_event::Signal&);
    void on(const task_event::ServerContact&);
    void on(const task_event::Note&);
    void on(const task_event::Abort&);

    void enter(client::TaskPhase phase) { record_.set_phase(phase); }
    void show(model::TaskEvent event);
    void show_state(std::string_view state);
    void persist();
    void begin_setup();
    void begin_stop();
    void send_stop();
    void end_instance();  // EXITED: report, store, destroy
    void decide();        // what follows EXITED
    void die();

    TaskSpec spec_;
    client::TaskRecord record_;

    // Not stored: what is under way in this process.
    enum class Link { None, Recovering, Attached, AwaitingDriver, Refused };
    Link link_ = Link::None;
    int stop_attempts_ = 0;
    bool setup_running_ = false;
    bool server_contacted_ = false;

    Tick tick_;  // of the step under way
    TaskActions actions_;
};

}  // namespace drover::agent
