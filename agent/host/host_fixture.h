// SPDX-License-Identifier: Apache-2.0
// The fixture of the host's tests: a directory of plugins, a data directory, a running io_context, limits
// that are quick. Every wait is for a condition, with a deadline.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <condition_variable>
#include <thread>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "agent/host/plugin_host.h"
#include "agent/host/record.h"
#include "base/files.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"
#include "proto/model/model.pb.h"

namespace drover::agent {

constexpr auto kPatience = std::chrono::seconds(20);

inline bool eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the poll of a condition, not a guess
    }
    return true;
}

// An answer that comes by callback.
template <class T>
class Answer {
 public:
    Done<T> done() {
        return [state = state_](Result<T> result) {
            std::lock_guard lock(state->mutex);
            state->result = std::move(result);
            state->changed.notify_all();
        };
    }
    Result<T> get() {
        std::unique_lock lock(state_->mutex);
        if (!state_->changed.wait_for(lock, kPatience, [&] { return state_->result.has_value(); })) {
            return make_error(Code::DeadlineExceeded, "the test got no answer");
        }
        return *state_->result;
    }
    bool came() {
        std::lock_guard lock(state_->mutex);
        return state_->result.has_value();
    }

 private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<Result<T>> result;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

inline std::shared_ptr<const model::MapValue> map_of(const std::map<std::string, std::string>& texts,
                                                     const std::map<std::string, int64_t>& numbers = {}) {
    auto out = std::make_shared<model::MapValue>();
    for (const auto& [key, text] : texts) (*out->mutable_fields())[key].set_string_value(text);
    for (const auto& [key, number] : numbers) (*out->mutable_fields())[key].set_int_value(number);
    return out;
}

inline bool alive(pid_t pid) {
    return process_start_time(pid).has_value();
}

class HostTest : public ::testing::Test {
 protected:
    void SetUp() override {
        const char* build = std::getenv("DROVER_BUILD_DIR");
        ASSERT_TRUE(build) << "run by ctest, or set DROVER_BUILD_DIR";
        mock_ = std::string(build) + "/lib/drover/test-plugins/drover-driver-mock";
        ASSERT_TRUE(path_exists(mock_)) << mock_ << " is not built";
        char name[] = "/tmp/drover-host-XXXXXX";
        dir_ = ::mkdtemp(name);
        ASSERT_TRUE(make_dirs(dir_ + "/plugins"));
        ASSERT_TRUE(make_dirs(dir_ + "/data"));
        for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { io_.run(); });
    }
    void TearDown() override {
        if (host_) host_->stop(StopKind::Dev);
        host_.reset();
        work_.reset();
        for (auto& thread : threads_) thread.join();
        EXPECT_TRUE(remove_tree(dir_));
        auto group = cgroup::Cgroup::open("drover-test-" + std::to_string(::getpid()));
        if (group) EXPECT_TRUE(group->remove(5 * kSecond));
    }

    void install_mock() {
        ASSERT_EQ(::symlink(mock_.c_str(), (dir_ + "/plugins/drover-driver-mock").c_str()), 0);
    }
    void install_script(const std::string& name, const std::string& body) {
        ASSERT_TRUE(write_file(dir_ + "/plugins/" + name, "#!/bin/sh\n" + body, 0755));
    }
    static HostLimits quick() {
        HostLimits limits;
        limits.launch_ns = 10 * kSecond;
        limits.health_interval_ns = 100 * kMillisecond;
        limits.health_deadline_ns = 1500 * kMillisecond;
        limits.backoff_min_ns = 20 * kMillisecond;
        limits.backoff_max_ns = 200 * kMillisecond;
        limits.unhealthy_after_ns = 100 * kMillisecond;
        limits.connect_wait_ns = 10 * kSecond;
        return limits;
    }
    void start(std::vector<PluginBlock> blocks = {}, HostLimits limits = quick()) {
        PluginHostOptions options;
        options.data_dir = dir_ + "/data";
        options.bundled_plugin_dir = dir_ + "/plugins";
        options.blocks = std::move(blocks);
        options.cgroup_parent = "drover-test-" + std::to_string(::getpid());
        options.limits = limits;
        options.driver_denylist = denylist_;
        auto host = PluginHost::start(std::move(options), io_);
        ASSERT_TRUE(host) << host.error().message();
        host_ = std::move(*host);
    }
    void start_mock(std::vector<PluginBlock> blocks = {}, HostLimits limits = quick()) {
        start(std::move(blocks), limits);
        auto driver = host_->driver("mock_driver");
        ASSERT_TRUE(driver) << driver.error().message();
        driver_ = *driver;
        ASSERT_TRUE(eventually([&] { return driver_->status().generation != 0; }))
            << host_->plugin_status_json();
    }
    PluginStatus only() {
        auto all = host_->plugins();
        return all.empty() ? PluginStatus() : all[0];
    }
    bool reaches(PluginState state) {
        return eventually([&] { return only().state == state; });
    }

    sdk::TaskConfig task(const std::string& id, const std::map<std::string, std::string>& texts,
                         const std::map<std::string, int64_t>& numbers = {}) {
        Answer<std::string> config;
        driver_->decode_config(map_of(texts, numbers), {}, config.done());
        auto bytes = config.get();
        EXPECT_TRUE(bytes) << bytes.error().message();
        sdk::TaskConfig out;
        out.id = id;
        out.name = "web";
        out.alloc_id = "a1";
        if (bytes) out.msgpack_driver_config = *bytes;
        return out;
    }
    Result<sdk::StartedTask> start_task(const sdk::TaskConfig& config) {
        Answer<sdk::StartedTask> answer;
        driver_->start_task(config, answer.done());
        return answer.get();
    }
    Status recover(const sdk::TaskHandle& handle) {
        Answer<void> answer;
        driver_->recover_task(handle, answer.done());
        return answer.get();
    }
    Status destroy(const std::string& id) {
        Answer<void> answer;
        driver_->destroy_task(id, Driver::Destroy::Force, answer.done());
        return answer.get();
    }
    // The instance after `generation`.
    bool replaced(uint64_t generation) {
        return eventually([&] { return driver_->status().generation > generation; });
    }

    std::string dir_, mock_;
    std::vector<std::string> denylist_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
    std::vector<std::thread> threads_;
    std::unique_ptr<PluginHost> host_;
    std::shared_ptr<Driver> driver_;
};

}  // namespace drover::agent
