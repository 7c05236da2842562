// SPDX-License-Identifier: Apache-2.0
// TaskRunner performs what the task machine decides: hooks, driver calls, storing, timers. It lives on its
// allocation's strand; every public member must be called there. It decides nothing itself. Crash: the
// machine's record is stored before and after each act; see task_machine.h for what a new agent does then.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include "agent/host/driver.h"
#include "agent/task/hooks/hook.h"
#include "agent/task/runner_context.h"
#include "agent/task/task_machine.h"

namespace drover::agent {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;

class TaskRunner : public std::enable_shared_from_this<TaskRunner> {
 public:
    // `changed` is called on the strand whenever the shown state has changed. `alloc` has its job and this
    // task.
    TaskRunner(RunnerContext& context, Strand strand, std::shared_ptr<const model::Allocation> alloc,
               std::string name, std::function<void()> changed);
    ~TaskRunner();

    void begin_fresh();
    void begin_loaded(client::TaskRecord record);
    // A task directory was found that no record tells of (the state file was lost): ask the driver by that
    // id.
    void begin_adopted(const std::string& task_id);

    void input(const TaskInput& event);
    void update(std::shared_ptr<const model::Allocation> alloc);  // in place

    // `done` once the driver has answered; FailedPrecondition when it does not run.
    void signal(const std::string& signal, std::function<void(Status)> done);
    // The newest sample of the driver; the first call opens the stream, which closes some time after the last
    // one.
    void stats(std::function<void(Result<sdk::TaskStats>)> done);

    // Ends open calls and timers; the task goes on. Nothing happens here any more.
    void detach();

    const TaskMachine& machine() const { return *machine_; }
    // An instance was started once, so there may be logs; false before begin_*().
    bool started() const { return machine_ && machine_->record().state().started_at() != 0; }
    const std::string& name() const { return name_; }
    const model::Task& task() const { return *task_; }

 private:
    void use(std::shared_ptr<const model::Allocation> alloc);
    void pump();
    void perform(const task_action::Persist& action);
    void perform(const task_action::Report& action);
    void perform(const task_action::RunSetup& action);
    void perform(const task_action::StartTask& action);
    void perform(const task_action::RecoverTask& action);
    void perform(const task_action::WaitTask& action);
    void perform(const task_action::StopTask& action);
    void perform(const task_action::Destroy& action);
    void perform(const task_action::AwaitDriver& action);
    void perform(const task_action::ArmTimer& action);
    void perform(const task_action::SendSignal& action);

    // Runs on the strand unless this runner is gone or detached meanwhile.
    template <class F>
    auto on_strand(F&& f) {
        return [weak = weak_from_this(), strand = strand_, f = std::forward<F>(f)](auto&&... args) mutable {
            boost::asio::post(strand, [weak, f, ... values = std::forward<decltype(args)>(args)]() mutable {
                auto self = weak.lock();
                if (self && !self->detached_) f(*self, std::move(values)...);
            });
        };
    }
    Result<std::shared_ptr<Driver>> driver();
    TaskContext make_context(sdk::Capabilities capabilities) const;
    void run_hooks(sdk::Capabilities capabilities);
    void decode_config(std::shared_ptr<TaskContext> context);
    void setup_failed(model::TaskEvent event, Retry retry);
    void recover_with(const std::string& task_id, Result<sdk::Capabilities> capabilities);
    void destroy_in_driver(const std::string& task_id);
    void when_connected(std::function<void()> then);
    void release_logs();
    void log_events();
    void open_stats();

    RunnerContext& context_;
    Strand strand_;
    std::shared_ptr<const model::Allocation> alloc_;
    const model::TaskGroup* group_ = nullptr;
    const model::Task* task_ = nullptr;
    std::string name_;
    std::function<void()> changed_;
    std::unique_ptr<TaskMachine> machine_;

    std::deque<TaskAction> queue_;
    bool storing_ = false;
    int64_t logged_until_ns_ = 0;  // events up to here are in the agent's log
    bool detached_ = false;
    sdk::TaskConfig config_;       // of the next start, made by the hooks
    bool logs_drained_ = false;    // after the last exit: nothing is left in the FIFOs
    bool logs_releasing_ = false;  // a start that comes meanwhile waits
    bool setup_waits_ = false;

    std::unique_ptr<OpenCall> wait_;
    std::unique_ptr<OpenCall> connected_;
    uint64_t connected_serial_ = 0;  // which subscription a callback belongs to
    int connect_tries_ = 0;
    boost::asio::steady_timer timer_;
    uint64_t timer_serial_ = 0;
    boost::asio::steady_timer retry_timer_;
    std::function<void(Status)> signal_done_;

    std::unique_ptr<OpenCall> stats_;
    std::optional<sdk::TaskStats> sample_;
    std::vector<std::function<void(Result<sdk::TaskStats>)>> stats_waiting_;
    int64_t stats_wanted_at_ = 0;  // mono
};

}  // namespace drover::agent
