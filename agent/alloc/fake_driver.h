// SPDX-License-Identifier: Apache-2.0
// A driver in memory for tests of the runners: its "tasks" outlive it as those of a real plugin do. die() is
// the death of the plugin process, come_back() the next instance; forget() is what a reboot does.
#pragma once
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/host/driver.h"

namespace drover::agent {

class FakeDriver : public Driver {
 public:
    struct Task {
        sdk::TaskConfig config;
        bool running = true;
        bool held = true;  // by the present instance
        sdk::ExitResult exit;
    };
    enum class OnStart { Work, Fail, FailRecoverable, DieBefore, DieAfter };

    ~FakeDriver() override {
        for (auto& thread : threads_) thread.join();
    }

    // ---- for tests
    void die() {
        std::vector<Done<sdk::ExitResult>> waiting;
        {
            std::lock_guard lock(mutex);
            up = false;
            for (auto& [id, task] : tasks) task.held = false;
            for (auto& [serial, wait] : waits_) waiting.push_back(std::move(wait.done));
            waits_.clear();
        }
        for (auto& done : waiting) later([done] { done(make_error(Code::Aborted, "plugin died")); });
    }
    void come_back() {
        std::vector<std::function<void(uint64_t)>> callbacks;
        {
            std::lock_guard lock(mutex);
            up = true;
            ++generation;
            for (auto& [serial, callback] : connected_) callbacks.push_back(callback);
        }
        for (auto& callback : callbacks) later([callback, g = generation] { callback(g); });
    }
    void forget() {
        std::lock_guard lock(mutex);
        tasks.clear();
    }
    // As the plugin host's stop: when it returns no callback of the agent runs any more, and none is held.
    void end_calls() {
        for (;;) {
            std::vector<std::thread> running;
            {
                std::lock_guard lock(threads_mutex_);
                running.swap(threads_);
            }
            if (running.empty()) break;
            for (auto& thread : running) thread.join();
        }
        // Declared before the lock, so that they end after it: what they hold may close calls, which takes it.
        std::map<uint64_t, Wait> waits;
        std::map<uint64_t, std::function<void(uint64_t)>> connected;
        std::lock_guard lock(mutex);
        waits.swap(waits_);
        connected.swap(connected_);
    }
    void exit(const std::string& id, int code) {
        std::vector<Done<sdk::ExitResult>> waiting;
        {
            std::lock_guard lock(mutex);
            end(id, code, waiting);
        }
        for (auto& done : waiting) later([done, code] { done(exited(code)); });
    }
    // Waits until `predicate` holds under the mutex; ten seconds at most.
    template <class Predicate>
    bool wait_until(Predicate predicate) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, std::chrono::seconds(10), predicate);
    }
    std::vector<std::string> running() {
        std::vector<std::string> ids;
        for (auto& [id, task] : tasks) {
            if (task.running) ids.push_back(id);
        }
        return ids;
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, Task> tasks;
    std::vector<std::string> started, recovered, stopped, destroyed, signals;
    OnStart on_start = OnStart::Work;
    bool up = true;
    bool stop_ends = true;
    uint64_t generation = 1;

    // ---- Driver
    const std::string& name() const override { return name_; }
    DriverStatus status() const override { return {}; }

    std::unique_ptr<OpenCall> on_connected(std::function<void(uint64_t)> callback) override {
        std::lock_guard lock(mutex);
        const uint64_t serial = ++serial_;
        connected_[serial] = callback;
        if (up) later([callback, g = generation] { callback(g); });
        return open([this, serial] { connected_.erase(serial); });
    }
    void capabilities(Done<sdk::Capabilities> done) override {
        later([done] { done(sdk::Capabilities{}); });
    }
    void decode_config(std::shared_ptr<const model::MapValue>, std::map<std::string, std::string>,
                       Done<std::string> done) override {
        later([done] { done(std::string("cfg")); });
    }
    void start_task(sdk::TaskConfig config, Done<sdk::StartedTask> done) override {
        std::lock_guard lock(mutex);
        if (!up) return later([done] { done(make_error(Code::Unavailable, "plugin is not running")); });
        if (on_start == OnStart::Fail)
            return later([done] { done(make_error(Code::Unknown, "no such command")); });
        if (on_start == OnStart::FailRecoverable)
            return later([done] { done(sdk::recoverable_error("registry is down")); });
        const bool dies = on_start == OnStart::DieBefore || on_start == OnStart::DieAfter;
        if (on_start != OnStart::DieBefore) {
            started.push_back(config.id);
            tasks[config.id].config = config;
        }
        on_start = OnStart::Work;
        changed.notify_all();
        if (dies) {
            up = false;
            for (auto& [id, task] : tasks) task.held = false;
            return later([done] { done(make_error(Code::Aborted, "plugin died")); });
        }
        sdk::StartedTask result;
        result.handle.config = config;
        result.handle.version = 1;
        result.handle.driver_state = "state of " + config.id;
        later([done, result] { done(result); });
    }
    void recover_task(sdk::TaskHandle handle, Done<void> done) override {
        std::lock_guard lock(mutex);
        if (!up) return later([done] { done(make_error(Code::Unavailable, "plugin is not running")); });
        const auto found = tasks.find(handle.config.id);
        if (found == tasks.end()) return later([done] { done(make_error(Code::NotFound, "no such task")); });
        recovered.push_back(handle.config.id);
        found->second.held = true;
        changed.notify_all();
        later([done] { done({}); });
    }
    std::unique_ptr<OpenCall> wait_task(const std::string& task_id, Done<sdk::ExitResult> done) override {
        std::lock_guard lock(mutex);
        const auto found = tasks.find(task_id);
        if (!up || found == tasks.end() || !found->second.held) {
            later([done] { done(make_error(Code::Unavailable, "not held")); });
            return open([] {});
        }
        if (!found->second.running) {
            later([done, exit = found->second.exit] { done(exit); });
            return open([] {});
        }
        const uint64_t serial = ++serial_;
        waits_[serial] = {task_id, done};
        return open([this, serial] { waits_.erase(serial); });
    }
    void stop_task(const std::string& task_id, int64_t, const std::string&, Done<void> done) override {
        std::vector<Done<sdk::ExitResult>> waiting;
        {
            std::lock_guard lock(mutex);
            stopped.push_back(task_id);
            if (!up) return later([done] { done(make_error(Code::Unavailable, "plugin is not running")); });
            if (stop_ends) end(task_id, 130, waiting);
            changed.notify_all();
        }
        for (auto& one : waiting) later([one] { one(exited(130)); });
        later([done] { done({}); });
    }
    void destroy_task(const std::string& task_id, Destroy, Done<void> done) override {
        std::lock_guard lock(mutex);
        if (!up) return later([done] { done(make_error(Code::Unavailable, "plugin is not running")); });
        destroyed.push_back(task_id);
        tasks.erase(task_id);
        changed.notify_all();
        later([done] { done({}); });
    }
    void signal_task(const std::string&, const std::string& signal, Done<void> done) override {
        std::lock_guard lock(mutex);
        signals.push_back(signal);
        later([done] { done({}); });
    }
    void inspect_task(const std::string&, Done<sdk::TaskStatus> done) override {
        later([done] { done(make_error(Code::Unimplemented, "")); });
    }
    std::unique_ptr<OpenCall> stream_stats(const std::string& id, int64_t,
                                           std::function<void(sdk::TaskStats)> sample, Done<void>) override {
        later([sample, id] {
            sdk::TaskStats stats;
            stats.id = id;
            stats.total.memory.rss_bytes = 4096;
            sample(stats);
        });
        return open([] {});
    }
    void exec_task(const std::string&, std::vector<std::string>, int64_t,
                   Done<sdk::ExecOutput> done) override {
        later([done] { done(make_error(Code::Unimplemented, "")); });
    }

 private:
    struct Wait {
        std::string task_id;
        Done<sdk::ExitResult> done;
    };
    class Open : public OpenCall {
     public:
        Open(std::mutex& mutex, std::function<void()> end) : mutex_(mutex), end_(std::move(end)) {}
        ~Open() override { cancel(); }
        void cancel() override {
            std::lock_guard lock(mutex_);
            if (auto end = std::exchange(end_, nullptr)) end();
        }

     private:
        std::mutex& mutex_;
        std::function<void()> end_;
    };
    std::unique_ptr<OpenCall> open(std::function<void()> end) {
        return std::make_unique<Open>(mutex, std::move(end));
    }

    static sdk::ExitResult exited(int code) {
        sdk::ExitResult result;
        result.exit_code = code;
        return result;
    }
    void end(const std::string& id, int code, std::vector<Done<sdk::ExitResult>>& waiting) {
        const auto found = tasks.find(id);
        if (found == tasks.end()) return;
        found->second.running = false;
        found->second.exit = exited(code);
        std::erase_if(waits_, [&](auto& entry) {
            if (entry.second.task_id != id) return false;
            waiting.push_back(std::move(entry.second.done));
            return true;
        });
    }
    // As gRPC's threads do: from elsewhere, never from inside the call.
    void later(std::function<void()> call) {
        std::lock_guard lock(threads_mutex_);
        threads_.emplace_back(std::move(call));
    }

    std::string name_ = "fake";
    uint64_t serial_ = 0;
    std::map<uint64_t, Wait> waits_;
    std::map<uint64_t, std::function<void(uint64_t)>> connected_;
    std::mutex threads_mutex_;
    std::vector<std::thread> threads_;
};

}  // namespace drover::agent
