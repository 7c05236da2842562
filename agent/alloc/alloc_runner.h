// SPDX-License-Identifier: Apache-2.0
// AllocRunner owns one allocation on this node: its directory, its task runners, what they mean to one
// another, and what the servers hear of it. All members are called on its strand(), except where said
// otherwise. Crash: the allocation is stored before anything is made for it, and erased after everything is
// gone.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/alloc/coordinator.h"
#include "agent/store/store.h"
#include "agent/task/task_runner.h"

namespace drover::agent {

class AllocRunner : public std::enable_shared_from_this<AllocRunner> {
 public:
    struct Callbacks {
        // What a client may write of an allocation: ID, ClientStatus, ClientDescription, TaskStates,
        // DeploymentStatus.
        std::function<void(model::Allocation update)> changed;
        std::function<void(const std::string& id)> destroyed;
    };

    // From any thread; nothing happens before begin_*().
    AllocRunner(RunnerContext& context, std::shared_ptr<const model::Allocation> alloc, Callbacks callbacks);
    ~AllocRunner();

    const std::string& id() const { return id_; }  // any thread
    Strand strand() const { return strand_; }      // any thread

    // A new one. `orphans`: instances found on disk of which no record tells (task name -> task id).
    void begin_new(std::map<std::string, std::string> orphans);
    void begin_loaded(Store::StoredAlloc stored);

    void update(std::shared_ptr<const model::Allocation> alloc);  // a newer version from the server
    void server_contact();
    void acknowledged(const std::string& client_status);  // a server has this status now
    // Ends every task, then removes directory, FIFOs and records; destroyed() is called at the end.
    void destroy();
    // An orderly end of the agent: nothing is touched, nothing happens here any more.
    void detach();

    // For the API; an empty task means all of them. NotFound for an unknown task.
    Status restart(const std::string& task, bool all_tasks);
    void signal(const std::string& task, const std::string& signal, std::function<void(Status)> done);
    using Samples = std::map<std::string, sdk::TaskStats>;
    void stats(const std::string& task, std::function<void(Result<Samples>)> done);
    void driver_event(const sdk::TaskEvent& event);
    void log_disk_full(const std::string& task, const std::string& message);

    const model::Allocation& alloc() const { return *alloc_; }
    bool terminal() const { return record_.terminal_at_ns() != 0; }
    int64_t terminal_at_ns() const { return record_.terminal_at_ns(); }
    bool destroying() const { return destroying_; }
    const TaskRunner* find(const std::string& task) const;
    const AllocDir& dir() const { return dir_; }
    model::Allocation status_update() const;

 private:
    void store_record(std::function<void()> then);
    void build(std::function<void()> then);
    void make_tasks();
    void evaluate_soon();
    void evaluate();
    void check_times();
    void check_health();
    void after_death();
    void remove_everything();
    std::vector<TaskView> views() const;
    Wanted wanted() const;
    template <class F>
    auto on_strand(F&& f) {
        return [weak = weak_from_this(), strand = strand_, f = std::forward<F>(f)](auto&&... args) mutable {
            boost::asio::post(strand, [weak, f, ... values = std::forward<decltype(args)>(args)]() mutable {
                auto self = weak.lock();
                if (self && !self->detached_) f(*self, std::move(values)...);
            });
        };
    }

    RunnerContext& context_;
    Strand strand_;
    std::shared_ptr<const model::Allocation> alloc_;
    const std::string id_;
    Callbacks callbacks_;
    AllocDir dir_;
    client::AllocRecord record_;  // its `alloc` is filled in when stored
    std::map<std::string, std::shared_ptr<TaskRunner>> tasks_;
    bool ready_ = false;  // tasks are made, gates may open
    bool evaluating_ = false;
    bool contacted_ = false;
    bool destroying_ = false;
    bool removing_ = false;
    bool stopping_ = false;  // the server wants it stopped, and the group's shutdown delay is over
    bool run_over_ = false;  // max_run_duration
    int64_t stop_wanted_at_ = 0;
    bool detached_ = false;
    int64_t watched_since_ns_ = 0;
    boost::asio::steady_timer health_timer_;
    boost::asio::steady_timer time_timer_;
    boost::asio::steady_timer retry_timer_;
};

}  // namespace drover::agent
