// SPDX-License-Identifier: Apache-2.0
// One life of the agent's inner parts for tests: registry, runners, store, threads; without plugins, logd or
// servers. Destroying it leaves what it ran as a kill would.
#pragma once
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <thread>

#include "agent/alloc/alloc_registry.h"
#include "agent/alloc/fake_driver.h"
#include "base/uuid.h"

namespace drover::agent {

class TestAgent {
 public:
    TestAgent(const std::string& dir, std::shared_ptr<FakeDriver> driver, CollectRules rules,
              LogdClient* logd)
        : driver_(driver),
          work_(boost::asio::make_work_guard(io_)),
          pool_(2),
          store_(*Store::open(dir + "/state.db", Durability::Process)) {
        auto node = std::make_shared<model::Node>();
        node->set_id("n1");
        context_ = std::make_unique<RunnerContext>(
            RunnerContext{.io = io_,
                          .pool = pool_,
                          .store = *store_,
                          .logd = logd,
                          .driver = [driver](const std::string& name) -> Result<std::shared_ptr<Driver>> {
                              if (name != "fake")
                                  return make_error(Code::NotFound, "unknown driver {:?}", name);
                              return std::shared_ptr<Driver>(driver);
                          },
                          .node = [node] { return node; },
                          .reserve = driver->reserve,
                          .alloc_root = dir + "/alloc",
                          .fifo_root = dir + "/fifos",
                          .task_root = dir + "/tasks",
                          .region = "global",
                          .cgroup_parent = "drover",
                          .client_options = {}});
        registry = std::make_unique<AllocRegistry>(*context_, rules, [this](model::Allocation update) {
            std::lock_guard lock(mutex_);
            updates_[update.id()] = std::move(update);
            changed_.notify_all();
        });
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
        registry->load(store_->take_contents().allocs);
    }
    ~TestAgent() {
        registry->detach_all();
        work_.reset();
        io_.stop();
        for (auto& thread : threads_) thread.join();
        pool_.join();
        driver_->end_calls();
        registry.reset();  // its runners have timers on io_
    }

    model::Allocation last(const std::string& id) {
        std::lock_guard lock(mutex_);
        return updates_[id];
    }
    template <class Predicate>
    bool wait(const std::string& id, Predicate predicate) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return predicate(updates_[id]); });
    }
    bool wait_status(const std::string& id, const std::string& status) {
        return wait(id, [&](const model::Allocation& update) { return update.client_status() == status; });
    }

    std::unique_ptr<AllocRegistry> registry;

 private:
    std::shared_ptr<FakeDriver> driver_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    boost::asio::thread_pool pool_;
    std::unique_ptr<Store> store_;
    std::unique_ptr<RunnerContext> context_;
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, model::Allocation> updates_;
};

inline model::Task& add_task(model::Allocation& alloc, const std::string& name) {
    auto& task = *alloc.mutable_job()->mutable_task_groups(0)->add_tasks();
    task.set_name(name);
    task.set_driver("fake");
    (*alloc.mutable_allocated_resources()->mutable_tasks())[name].mutable_cpu()->set_cpu_shares(100);
    return task;
}

// A service (or batch) allocation of one task "server" on the fake driver.
inline model::Allocation make_alloc(const std::string& type = "service") {
    model::Allocation alloc;
    alloc.set_id(new_uuid());
    alloc.set_name("web.app[0]");
    alloc.set_job_id("web");
    alloc.set_task_group("app");
    alloc.set_desired_status("run");
    alloc.set_client_status("pending");
    alloc.set_alloc_modify_index(10);
    auto& job = *alloc.mutable_job();
    job.set_id("web");
    job.set_type(type);
    auto& group = *job.add_task_groups();
    group.set_name("app");
    group.mutable_restart_policy()->set_delay(0);
    add_task(alloc, "server");
    return alloc;
}

}  // namespace drover::agent
