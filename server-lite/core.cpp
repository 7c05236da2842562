// SPDX-License-Identifier: Apache-2.0
#include "server-lite/core.h"

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/uuid.h"
#include "model/status.h"
#include "server-lite/broker/client_updates.h"
#include "server-lite/broker/deployment_watcher.h"
#include "server-lite/broker/drainer.h"
#include "server-lite/broker/heartbeats.h"
#include "server-lite/broker/janitor.h"
#include "server-lite/raft_io/single_log.h"
#include "server-lite/scheduler/feasible.h"
#include "server-lite/scheduler/scheduler.h"

namespace drover::server {
namespace {

Now now() {
    return {mono_now(), unix_now()};
}

unsigned cores() {
    return std::max(1u, std::thread::hardware_concurrency());
}

uint64_t seed() {
    const auto id = new_uuid();
    return std::hash<std::string>()(id);
}

}  // namespace

model::Evaluation job_eval(const model::Job& job, std::string_view trigger, int64_t now) {
    model::Evaluation eval;
    eval.set_id(new_uuid());
    eval.set_namespace_(job.namespace_());
    eval.set_priority(job.priority());
    eval.set_type(job.type());
    eval.set_triggered_by(std::string(trigger));
    eval.set_job_id(job.id());
    eval.set_job_modify_index(job.job_modify_index());
    eval.set_status(std::string(model::kEvalStatusPending));
    eval.set_create_time(now);
    eval.set_modify_time(now);
    return eval;
}

std::vector<model::Evaluation> node_evals(const State& state, const model::Node& node,
                                          std::string_view trigger, int64_t now) {
    std::map<JobId, JobPtr> jobs;
    for (const auto& record : state.node_allocs(node.id())) {
        const auto& alloc = *record->alloc;
        if (model::terminal(alloc)) continue;
        auto job = state.job(alloc.namespace_(), alloc.job_id());
        jobs.emplace(JobId{alloc.namespace_(), alloc.job_id()}, job ? job : record->job);
    }
    state.jobs.each([&](const std::string&, const JobPtr& job) {
        if (job->type() == model::kJobTypeSystem && !job->stop() && in_pool(*job, node) &&
            in_datacenters(*job, node))
            jobs.emplace(JobId{job->namespace_(), job->id()}, job);
    });
    std::vector<model::Evaluation> out;
    for (const auto& [id, job] : jobs) {
        out.push_back(job_eval(*job, trigger, now));
        out.back().set_node_id(node.id());
        out.back().set_node_modify_index(node.modify_index());
    }
    return out;
}

Core::Core(ServerOptions o)
    : options(std::move(o)),
      pool(std::max(2u, cores())),
      broker({options.eval_nack_timeout_ns, options.eval_delivery_limit}, [this] { broker_attention(); }),
      blocked(
          [this](std::vector<EvalPtr> evals) {
              for (auto& eval : evals) broker.enqueue(std::move(eval), now());
          },
          [this] { broker_attention(); }) {}

Core::~Core() {
    stop();
}

std::string Core::rpc_address() const {
    return options.rpc_advertise.empty() ? bound_address : options.rpc_advertise;
}

Status Core::start() {
    started_at = unix_now();
    raft::SingleLogOptions log_options;
    if (!options.data_dir.empty()) log_options.dir = join_path(options.data_dir, "server");
    log_options.snapshot_threshold = options.snapshot_threshold;
    DROVER_TRY(auto opened, raft::SingleLog::open(log_options, fsm));
    log = std::move(opened);
    fsm.set_hook([this](const Effects& effects, uint64_t index) { applied(effects, index); });
    applier = std::make_unique<PlanApplier>(store, *log);
    heartbeats = std::make_unique<Heartbeats>(*this);
    client_updates = std::make_unique<ClientUpdates>(*this);
    deployments = std::make_unique<DeploymentWatcher>(*this);
    drainer = std::make_unique<Drainer>(*this);
    janitor = std::make_unique<Janitor>(*this);
    establish_leadership();
    const unsigned count = options.num_schedulers > 0 ? options.num_schedulers : cores();
    for (unsigned i = 0; i < count; ++i) workers_.emplace_back([this, i] { run_worker(i); });
    return {};
}

void Core::establish_leadership() {
    const auto state = store.snapshot();
    broker.set_enabled(!state->config->pause_eval_broker());
    blocked.set_enabled(!state->config->pause_eval_broker());
    leading_ = true;
    if (state->config->modify_index() == 0) {
        cmd::Command command;
        auto& config = *command.mutable_scheduler_config()->mutable_config();
        config.set_scheduler_algorithm(options.scheduler_algorithm.empty() ? "binpack"
                                                                           : options.scheduler_algorithm);
        config.set_memory_oversubscription_enabled(options.memory_oversubscription);
        config.mutable_preemption_config()->set_system_scheduler_enabled(options.preemption_system);
        config.mutable_preemption_config()->set_sys_batch_scheduler_enabled(options.preemption_sysbatch);
        config.mutable_preemption_config()->set_batch_scheduler_enabled(options.preemption_batch);
        config.mutable_preemption_config()->set_service_scheduler_enabled(options.preemption_service);
        config.set_node_limit_for_feasibility_checks(100);
        propose_quietly(std::move(command), "write the default scheduler configuration");
    }
    restore_evals(*state);
    state->nodes.each([&](const std::string& id, const NodePtr& node) {
        if (node->status() != model::kNodeStatusDown)
            heartbeats->start(id, options.failover_heartbeat_ttl_ns);
    });
    pool.post([this] {
        deployments->look_at_all();
        drainer->look_at_all();
    });
    janitor->start();
    unblock_max_plans_later();
}

// What waited for room is tried again: room may have come while nobody looked.
void Core::restore_evals(const State& state) {
    state.evals.each([&](const std::string&, const EvalPtr& eval) {
        if (eval->status() == model::kEvalStatusPending || eval->status() == model::kEvalStatusBlocked)
            broker.enqueue(eval, now());
    });
}

void Core::config_changed() {
    pool.post([this] {
        const auto state = store.snapshot();
        const bool enable = !state->config->pause_eval_broker();
        if (broker.enabled() == enable) return;
        broker.set_enabled(enable);
        blocked.set_enabled(enable);
        if (enable) restore_evals(*state);
    });
}

void Core::unblock_max_plans_later() {
    timers.schedule(mono_now() + kMinute, [this] {
        pool.post([this] {
            blocked.unblock_max_plans();
            unblock_max_plans_later();
        });
    });
}

void Core::propose(cmd::Command command, raft::Consensus::Done done) {
    command.set_time(unix_now());
    log->propose(command.SerializeAsString(), std::move(done));
}

void Core::propose_quietly(cmd::Command command, std::string_view what) {
    propose(std::move(command), [what = std::string(what)](Result<uint64_t> index) {
        if (!index && index.error().code() != Code::Cancelled)
            log::error("server", "failed to " + what, {{"error", index.error().message()}});
    });
}

// On the apply thread, after the state is published.
void Core::applied(const Effects& effects, uint64_t index) {
    if (!leading_) return;
    for (const auto& job : effects.satisfied_jobs)
        if (!store.snapshot()->job(job.first, job.second)) blocked.untrack(job);
    for (const auto& eval : effects.evals) {
        if (eval->status() == model::kEvalStatusPending)
            broker.enqueue(eval, now());
        else if (eval->status() == model::kEvalStatusBlocked)
            blocked.block(eval);
        else if (eval->status() == model::kEvalStatusComplete && eval->failed_tg_allocs().empty())
            blocked.untrack({eval->namespace_(), eval->job_id()});
    }
    for (const auto& computed_class : effects.freed_classes) blocked.unblock(computed_class, index);
    for (const auto& id : effects.deployments) pool.post([this, id] { deployments->look(id); });
    std::set<std::string> nodes = effects.nodes;
    nodes.insert(effects.freed_nodes.begin(), effects.freed_nodes.end());
    for (const auto& id : nodes) {
        const auto node = store.snapshot()->node(id);
        if (!node || node->status() == model::kNodeStatusDown) heartbeats->clear(id);
        if (node && node->has_drain_strategy()) pool.post([this, id] { drainer->look(id); });
    }
}

// Something is due sooner, or there is something to write about evaluations that were dropped.
void Core::broker_attention() {
    rearm_broker();
    if (!reap_posted_.exchange(true))
        pool.post([this] {
            reap_posted_ = false;
            reap();
        });
}

void Core::rearm_broker() {
    const int64_t due = broker.tick(now());
    std::lock_guard lock(rearm_mutex_);
    if (broker_timer_ != 0) timers.cancel(broker_timer_);
    broker_timer_ = 0;
    if (due != INT64_MAX) broker_timer_ = timers.schedule(due, [this] { broker_attention(); });
}

void Core::reap() {
    cmd::Command command;
    auto& evals = *command.mutable_eval_upsert();
    auto cancel = [&](const EvalPtr& eval, std::string description) {
        const auto current = store.snapshot()->eval(eval->id());
        if (!current || model::eval_terminal(current->status())) return;
        auto& cancelled = *evals.add_evals();
        cancelled = *current;
        cancelled.set_status(std::string(model::kEvalStatusCancelled));
        cancelled.set_status_description(std::move(description));
    };
    for (const auto& eval : broker.take_cancelable())
        cancel(eval, "canceled after more recent eval was processed");
    for (const auto& eval : blocked.take_duplicates())
        cancel(eval, fmt::format("existing blocked evaluation exists for job \"{}\"", eval->job_id()));
    for (const auto& eval : broker.take_failed()) {
        const auto current = store.snapshot()->eval(eval->id());
        if (!current || model::eval_terminal(current->status())) continue;
        auto failed = *current;
        failed.set_status(std::string(model::kEvalStatusFailed));
        failed.set_status_description(
            fmt::format("evaluation reached delivery limit ({})", options.eval_delivery_limit));
        if (auto job = store.snapshot()->job(eval->namespace_(), eval->job_id())) {
            auto next = job_eval(*job, model::kTriggerFailedFollowUp, unix_now());
            next.set_previous_eval(eval->id());
            next.set_wait_until(unix_now() + kMinute +
                                static_cast<int64_t>(seed() % static_cast<uint64_t>(5 * kMinute)));
            failed.set_next_eval(next.id());
            *evals.add_evals() = std::move(next);
        }
        *evals.add_evals() = std::move(failed);
    }
    if (evals.evals_size() > 0) propose_quietly(std::move(command), "write dropped evaluations");
}

// ---- scheduler workers
// -----------------------------------------------------------------------------------------------

void Core::run_worker(unsigned) {
    const std::vector<std::string> types = {"service", "batch", "system", "sysbatch"};
    while (auto delivery = broker.dequeue(types)) {
        try {
            process(*delivery);
        } catch (const std::exception& e) {
            log::error("server.worker", "scheduler failed",
                       {{"eval_id", delivery->eval->id()}, {"error", e.what()}});
            broker.nack(delivery->eval->id(), delivery->token, now());
        }
    }
}

void Core::process(const EvalBroker::Delivery& delivery) {
    const auto& id = delivery.eval->id();
    uint64_t wait_index = delivery.eval->modify_index();
    const int attempts = attempts_max(delivery.eval->type());
    for (int attempt = 0; attempt < attempts; ++attempt) {
        const auto state = store.wait_for(wait_index, 5 * kSecond);
        const auto eval = state->eval(id);
        if (state->index < wait_index) {
            broker.nack(id, delivery.token, now());
            return;
        }
        if (!eval || model::eval_terminal(eval->status())) {
            broker.ack(id, delivery.token, now());
            return;
        }
        auto decision = schedule({state, eval, unix_now(), seed()});
        if (!broker.extend(id, delivery.token, now())) return;  // too slow: another worker has it
        auto result = applier->submit_and_wait(std::move(decision.plan));
        if (!result) {
            if (result.error().code() != Code::Cancelled)
                log::error("server.worker", "failed to submit plan",
                           {{"eval_id", id}, {"error", result.error().message()}});
            broker.nack(id, delivery.token, now());
            return;
        }
        if (result->full) {
            broker.ack(id, delivery.token, now());
            return;
        }
        if (result->progress) attempt = -1;
        wait_index = result->index;
    }
    give_up(delivery.eval, store.snapshot());
    broker.ack(id, delivery.token, now());
}

// Plans were refused again and again: the evaluation fails, and what is left waits for room or for a minute
// to pass.
void Core::give_up(const EvalPtr& eval, StatePtr state) {
    cmd::Command command;
    auto failed = *eval;
    failed.set_status(std::string(model::kEvalStatusFailed));
    failed.set_status_description(fmt::format("maximum attempts reached ({})", attempts_max(eval->type())));
    if (eval->type() == model::kJobTypeService || eval->type() == model::kJobTypeBatch) {
        auto next = blocked_eval(*eval, nullptr, state->index, new_uuid());
        next.set_triggered_by(std::string(model::kTriggerMaxPlans));
        next.set_status_description("created due to placement conflicts");
        next.set_escaped_computed_class(true);
        failed.set_blocked_eval(next.id());
        *command.mutable_eval_upsert()->add_evals() = std::move(next);
    }
    *command.mutable_eval_upsert()->add_evals() = std::move(failed);
    propose_quietly(std::move(command), "write a failed evaluation");
}

void Core::stop() {
    if (stopping_.exchange(true)) return;
    leading_ = false;
    broker.stop();
    if (applier) applier->stop();
    for (auto& worker : workers_) worker.join();
    timers.stop();
    if (log) log->stop();
    pool.stop();
}

}  // namespace drover::server
