// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/alloc_runner.h"

#include <unistd.h>

#include <boost/asio/thread_pool.hpp>

#include "agent/alloc/health.h"
#include "agent/logs/logd_client.h"
#include "agent/task/events.h"
#include "agent/task/failpoint.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "model/status.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client.alloc_runner";
constexpr int64_t kRemoveRetryNs = 5 * kSecond;

bool valid(const model::Allocation& alloc) {
    const auto* group = model::find_group(alloc.job(), alloc.task_group());
    return group != nullptr && group->tasks_size() > 0;
}

// Which block says when this allocation is healthy; none: nobody asks.
std::optional<HealthRules> health_rules(const model::Allocation& alloc) {
    const auto& type = alloc.job().type();
    if (type != model::kJobTypeService && type != model::kJobTypeSystem) return std::nullopt;
    const auto* group = model::find_group(alloc.job(), alloc.task_group());
    if (group == nullptr) return std::nullopt;
    HealthRules rules;
    const auto take = [&rules](const auto& block) {
        if (block.has_min_healthy_time()) rules.min_healthy_ns = block.min_healthy_time();
        if (block.has_healthy_deadline()) rules.deadline_ns = block.healthy_deadline();
        return block.health_check() != "manual";
    };
    bool automatic = true;
    if (!alloc.deployment_id().empty())
        automatic = take(group->has_update() ? group->update() : alloc.job().update());
    else if (group->has_migrate())
        automatic = take(group->migrate());
    else
        return std::nullopt;
    if (!automatic) return std::nullopt;
    return rules;
}

}  // namespace

AllocRunner::AllocRunner(RunnerContext& context, std::shared_ptr<const model::Allocation> alloc,
                         Callbacks callbacks)
    : context_(context),
      strand_(boost::asio::make_strand(context.io)),
      alloc_(std::move(alloc)),
      id_(alloc_->id()),
      callbacks_(std::move(callbacks)),
      dir_(context.alloc_root, id_),
      health_timer_(strand_),
      time_timer_(strand_),
      retry_timer_(strand_) {}

AllocRunner::~AllocRunner() = default;

// ---- beginning
// -------------------------------------------------------------------------------------------------------

void AllocRunner::begin_new(std::map<std::string, std::string> orphans) {
    watched_since_ns_ = unix_now();
    store_record([this, orphans = std::move(orphans)] {
        failpoint("alloc_stored");
        build([this, orphans] {
            make_tasks();
            for (auto& [name, task] : tasks_) {
                const auto found = orphans.find(name);
                if (found != orphans.end())
                    task->begin_adopted(found->second);
                else
                    task->begin_fresh();
            }
            ready_ = true;
            if (contacted_) server_contact();
            evaluate();
        });
    });
}

void AllocRunner::begin_loaded(Store::StoredAlloc stored) {
    watched_since_ns_ = unix_now();
    record_ = *stored.alloc;
    record_.clear_alloc();
    make_tasks();
    bool needs_dirs = false;
    for (const auto& [name, task] : tasks_) {
        const auto found = stored.tasks.find(name);
        needs_dirs = needs_dirs || found == stored.tasks.end() ||
                     (found->second->phase() != client::RUNNING && found->second->phase() != client::DEAD);
    }
    auto begin = [this, tasks = std::move(stored.tasks)] {
        for (auto& [name, task] : tasks_) {
            const auto found = tasks.find(name);
            if (found == tasks.end())
                task->begin_fresh();
            else
                task->begin_loaded(*found->second);
        }
        ready_ = true;
        if (contacted_) server_contact();
        evaluate();
    };
    if (needs_dirs && !terminal())
        build(std::move(begin));
    else
        begin();
}

void AllocRunner::store_record(std::function<void()> then) {
    if (removing_) return;  // its records are being erased
    client::AllocRecord copy = record_;
    *copy.mutable_alloc() = *alloc_;
    context_.store.put_alloc(copy, on_strand([then = std::move(then)](AllocRunner&) {
                                 if (then) then();
                             }));
}

void AllocRunner::build(std::function<void()> then) {
    auto done = on_strand([then = std::move(then)](AllocRunner& self, Status status) {
        failpoint("dirs_built");
        if (!status) self.record_.set_setup_error(status.error().message());
        then();
    });
    boost::asio::post(context_.pool, [dir = dir_, done]() mutable { done(dir.build()); });
}

void AllocRunner::make_tasks() {
    if (!valid(*alloc_)) {
        record_.set_setup_error(fmt::format("job has no task group {:?}", alloc_->task_group()));
        return;
    }
    const auto* group = model::find_group(alloc_->job(), alloc_->task_group());
    for (const auto& task : group->tasks()) {
        tasks_[task.name()] =
            std::make_shared<TaskRunner>(context_, strand_, alloc_, task.name(), [this] { evaluate_soon(); });
    }
}

// ---- deciding
// --------------------------------------------------------------------------------------------------------

std::vector<TaskView> AllocRunner::views() const {
    std::vector<TaskView> out;
    for (const auto& [name, task] : tasks_) {
        const auto& machine = task->machine();
        TaskView view;
        view.name = name;
        view.role = task_role(task->task().lifecycle().hook(), task->task().lifecycle().sidecar());
        view.leader = task->task().leader();
        view.begun = machine.begun();
        view.running = machine.record().state().state() == model::kTaskStateRunning;
        view.dead = machine.dead();
        view.failed = machine.failed();
        view.killing = machine.record().kill();
        out.push_back(std::move(view));
    }
    return out;
}

Wanted AllocRunner::wanted() const {
    if (destroying_) return Wanted::Abandon;
    return stopping_ || run_over_ ? Wanted::Stop : Wanted::Run;
}

// The server's wish becomes ours after the group's shutdown delay, and without one when max_run_duration is
// over.
void AllocRunner::check_times() {
    const auto* group = model::find_group(alloc_->job(), alloc_->task_group());
    if (group == nullptr || destroying_) return;
    const int64_t now = unix_now();
    int64_t next = 0;
    const auto due = [&next, now](int64_t at) {
        if (now >= at) return true;
        next = next == 0 ? at : std::min(next, at);
        return false;
    };
    if (model::server_terminal(*alloc_) && !stopping_) {
        if (stop_wanted_at_ == 0) stop_wanted_at_ = now;
        const bool wait = group->shutdown_delay() > 0 && !alloc_->desired_transition().no_shutdown_delay() &&
                          !all_dead(views());
        stopping_ = !wait || due(stop_wanted_at_ + group->shutdown_delay());
    }
    if (group->max_run_duration() > 0 && !run_over_) {
        if (record_.first_started_at_ns() == 0) {
            for (const auto& [name, task] : tasks_) {
                const auto at = task->machine().record().state().started_at();
                if (at != 0) record_.set_first_started_at_ns(at);
            }
            if (record_.first_started_at_ns() != 0) store_record(nullptr);
        }
        run_over_ = record_.first_started_at_ns() != 0 &&
                    due(record_.first_started_at_ns() + group->max_run_duration());
    }
    if (next == 0) return;
    time_timer_.expires_after(std::chrono::nanoseconds(next - now));
    time_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
        auto self = weak.lock();
        if (!ec && self && !self->detached_) self->evaluate();
    });
}

void AllocRunner::evaluate_soon() {
    if (evaluating_ || detached_) return;
    evaluating_ = true;
    on_strand([](AllocRunner& self) { self.evaluate(); })();
}

void AllocRunner::evaluate() {
    evaluating_ = true;  // changes made here are looked at once more, below
    if (!ready_) {
        evaluating_ = false;
        return;
    }
    if (!record_.setup_error().empty()) {
        for (auto& [name, task] : tasks_) {
            task->input(task_event::Abort{events::setup_failure(
                unix_now(), fmt::format("failed to setup alloc: {}", record_.setup_error()))});
        }
    }
    check_times();
    const auto decision = coordinate(views(), wanted());
    for (const auto& name : decision.start) tasks_.at(name)->input(task_event::GateOpened{});
    for (const auto& order : decision.kill) {
        task_event::Kill kill;
        if (order.why == KillOrder::Why::SiblingFailed)
            kill.reasons.push_back(events::sibling_failed(unix_now(), order.sibling));
        if (order.why == KillOrder::Why::LeaderDead) kill.reasons.push_back(events::leader_dead(unix_now()));
        if (order.why == KillOrder::Why::MainDead) kill.reasons.push_back(events::main_dead(unix_now()));
        kill.no_shutdown_delay = alloc_->desired_transition().no_shutdown_delay();
        tasks_.at(order.task)->input(kill);
    }
    evaluating_ = false;
    if (!decision.start.empty() || !decision.kill.empty()) evaluate_soon();
    check_health();
    if (all_dead(views())) {
        after_death();
    } else if (record_.terminal_at_ns() != 0) {  // an operator restarted it
        record_.clear_terminal_at_ns();
        record_.set_acknowledged(false);
    }
    if (!record_.acknowledged()) callbacks_.changed(status_update());
}

void AllocRunner::after_death() {
    if (record_.terminal_at_ns() == 0) {
        record_.set_terminal_at_ns(unix_now());
        health_timer_.cancel();
        store_record(nullptr);
    }
    if (destroying_ && !removing_) {
        removing_ = true;
        remove_everything();
    }
}

model::Allocation AllocRunner::status_update() const {
    model::Allocation update;
    update.set_id(id_);
    update.set_namespace_(alloc_->namespace_());
    update.set_job_id(alloc_->job_id());
    const auto seen = views();
    ClientStatus status = client_status(seen);
    if (seen.empty()) status = {"failed", fmt::format("failed to setup alloc: {}", record_.setup_error())};
    update.set_client_status(status.status);
    update.set_client_description(status.description);
    for (const auto& [name, task] : tasks_)
        (*update.mutable_task_states())[name] = task->machine().record().state();
    if (record_.has_deployment_status()) *update.mutable_deployment_status() = record_.deployment_status();
    return update;
}

void AllocRunner::check_health() {
    if (record_.deployment_status().has_healthy() || alloc_->deployment_status().has_healthy()) return;
    const auto rules = health_rules(*alloc_);
    if (!rules || wanted() != Wanted::Run) return;
    std::vector<HealthView> tasks;
    for (auto& view : views()) {
        const auto started = tasks_.at(view.name)->machine().record().state().started_at();
        tasks.push_back({std::move(view), started});
    }
    const int64_t now = unix_now();
    const auto verdict = assess_health(*rules, tasks, watched_since_ns_, now);
    if (!verdict.healthy) {
        health_timer_.expires_after(
            std::chrono::nanoseconds(std::max<int64_t>(verdict.next_at_ns - now, kMillisecond)));
        health_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& ec) {
            auto self = weak.lock();
            if (!ec && self && !self->detached_) self->evaluate();
        });
        return;
    }
    auto& status = *record_.mutable_deployment_status();
    status = alloc_->deployment_status();
    status.set_healthy(*verdict.healthy);
    status.set_timestamp(now);
    store_record(nullptr);
    if (!*verdict.healthy) {
        for (auto& [name, task] : tasks_)
            task->input(task_event::Note{events::alloc_unhealthy(now, verdict.why)});
    }
}

// ---- told by others
// --------------------------------------------------------------------------------------------------

void AllocRunner::update(std::shared_ptr<const model::Allocation> alloc) {
    if (alloc->alloc_modify_index() <= alloc_->alloc_modify_index() && alloc_->alloc_modify_index() != 0)
        return;
    const bool other_deployment = alloc->deployment_id() != alloc_->deployment_id();
    if (other_deployment) {
        record_.clear_deployment_status();
        watched_since_ns_ = unix_now();
    }
    const auto* group = model::find_group(alloc->job(), alloc->task_group());
    bool same_tasks = group != nullptr && static_cast<size_t>(group->tasks_size()) == tasks_.size();
    for (const auto& [name, task] : tasks_)
        same_tasks = same_tasks && model::find_task(*group, name) != nullptr;
    if (same_tasks) {
        alloc_ = std::move(alloc);
        for (auto& [name, task] : tasks_) task->update(alloc_);
    } else {
        // Servers never change the tasks of an allocation in place; whatever this is, stopping must still
        // work.
        auto kept = std::make_shared<model::Allocation>(*alloc_);
        kept->set_desired_status(alloc->desired_status());
        kept->set_alloc_modify_index(alloc->alloc_modify_index());
        *kept->mutable_desired_transition() = alloc->desired_transition();
        alloc_ = std::move(kept);
    }
    store_record(nullptr);
    if (ready_) evaluate();
}

void AllocRunner::server_contact() {
    contacted_ = true;
    if (!ready_) return;
    for (auto& [name, task] : tasks_) task->input(task_event::ServerContact{});
}

void AllocRunner::acknowledged(const std::string& client_status) {
    const bool final = terminal() && client_status == status_update().client_status();
    if (record_.acknowledged() == final) return;
    record_.set_acknowledged(final);
    store_record(nullptr);
}

void AllocRunner::detach() {
    detached_ = true;
    health_timer_.cancel();
    time_timer_.cancel();
    retry_timer_.cancel();
    for (auto& [name, task] : tasks_) task->detach();
}

// ---- the end
// ---------------------------------------------------------------------------------------------------------

void AllocRunner::destroy() {
    if (destroying_) return;
    destroying_ = true;
    if (ready_) evaluate();
}

void AllocRunner::remove_everything() {
    auto done = on_strand([](AllocRunner& self, Status status) {
        if (!status) {
            log::error(kComponent, "cannot remove allocation; trying again",
                       {{"alloc_id", self.id_}, {"error", status.error().message()}});
            self.retry_timer_.expires_after(std::chrono::nanoseconds(kRemoveRetryNs));
            self.retry_timer_.async_wait([weak = self.weak_from_this()](const boost::system::error_code& ec) {
                auto again = weak.lock();
                if (!ec && again && !again->detached_) again->remove_everything();
            });
            return;
        }
        failpoint("alloc_destroyed");
        self.context_.store.erase_alloc(self.id_, self.on_strand([](AllocRunner& gone) {
            auto keep = gone.shared_from_this();
            gone.detach();
            gone.callbacks_.destroyed(gone.id_);
        }));
    });
    std::vector<std::string> names;
    for (const auto& [name, task] : tasks_) names.push_back(name);
    boost::asio::post(context_.pool, [names, dir = dir_, logd = context_.logd, id = id_,
                                      fifos = fmt::format("{}/{}", context_.fifo_root, id_), done]() mutable {
        for (const auto& name : names) {
            for (const char* which : {"stdout", "stderr"}) {
                if (logd == nullptr) continue;
                auto removed = logd->remove(fmt::format("{}/{}/{}", id, name, which));
                if (!removed) return done(Status(std::move(removed).error()));
            }
        }
        auto status = remove_tree(fifos);
        if (status) status = dir.destroy();
        done(std::move(status));
    });
}

}  // namespace drover::agent
