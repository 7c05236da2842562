// SPDX-License-Identifier: Apache-2.0
// Core: the parts of one server and how they hang together. Owned by Server; the endpoints and the leader's
// helpers hold a reference. Threads: the log's writer (which applies), the plan applier, the scheduler
// workers, the timer thread, the pool. Nothing of it blocks the apply thread.
#pragma once
#include <atomic>
#include <memory>
#include <thread>

#include "proto/raft/command.pb.h"
#include "server-lite/broker/blocked_evals.h"
#include "server-lite/broker/eval_broker.h"
#include "server-lite/broker/plan_applier.h"
#include "server-lite/broker/timer_queue.h"
#include "server-lite/broker/work_pool.h"
#include "server-lite/fsm/fsm.h"
#include "server-lite/raft/consensus.h"
#include "server-lite/server.h"
#include "server-lite/state/state_store.h"

namespace drover::server {

class Heartbeats;
class ClientUpdates;
class DeploymentWatcher;
class Drainer;
class Janitor;

struct Core {
    explicit Core(ServerOptions options);
    ~Core();
    Status start();
    void stop();

    // Stamps the time and puts the command into the log. `done` as Consensus::Done: on the apply thread, must
    // not block.
    void propose(cmd::Command command, raft::Consensus::Done done);
    void propose_quietly(cmd::Command command, std::string_view what);  // a failure is logged
    void config_changed();  // the broker may have been paused or not
    bool leader() const { return leading_; }
    std::string rpc_address() const;  // what clients are told

    ServerOptions options;
    StateStore store;
    Fsm fsm{store};
    TimerQueue timers;
    WorkPool pool;
    EvalBroker broker;
    BlockedEvals blocked;
    std::unique_ptr<raft::Consensus> log;
    std::unique_ptr<PlanApplier> applier;
    std::unique_ptr<Heartbeats> heartbeats;
    std::unique_ptr<ClientUpdates> client_updates;
    std::unique_ptr<DeploymentWatcher> deployments;
    std::unique_ptr<Drainer> drainer;
    std::unique_ptr<Janitor> janitor;
    std::string bound_address;
    int64_t started_at = 0;

 private:
    void establish_leadership();
    void restore_evals(const State& state);
    void applied(const Effects& effects, uint64_t index);
    void broker_attention();
    void rearm_broker();
    void reap();
    void run_worker(unsigned number);
    void process(const EvalBroker::Delivery& delivery);
    void give_up(const EvalPtr& eval, StatePtr state);
    void unblock_max_plans_later();

    std::atomic<bool> leading_{false}, stopping_{false}, reap_posted_{false};
    std::mutex rearm_mutex_;
    uint64_t broker_timer_ = 0;
    std::vector<std::thread> workers_;
};

// Evaluations that a change of a node calls for: one per job with live allocations there, and per system job
// that wants it.
std::vector<model::Evaluation> node_evals(const State& state, const model::Node& node,
                                          std::string_view trigger, int64_t now);
// A pending evaluation of a job.
model::Evaluation job_eval(const model::Job& job, std::string_view trigger, int64_t now);

}  // namespace drover::server
