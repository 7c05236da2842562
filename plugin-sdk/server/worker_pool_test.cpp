// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/worker_pool.h"

#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <thread>

namespace drover::sdk {
namespace {

// Blocked calls must not keep others waiting: each gets a thread, up to the limit.
TEST(WorkerPool, GrowsWithWhatBlocks) {
    constexpr int kJobs = 20;
    std::latch together(kJobs);
    std::promise<void> all;
    std::atomic<int> left = kJobs;
    WorkerPool pool(kJobs);
    for (int i = 0; i < kJobs; ++i) {
        pool.post([&] {
            together.arrive_and_wait();  // only passes when all of them run at the same time
            if (--left == 0) all.set_value();
        });
    }
    EXPECT_EQ(all.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(WorkerPool, RunsEverythingWithinItsLimit) {
    std::atomic<int> done = 0, running = 0, most = 0;
    {
        WorkerPool pool(2);
        for (int i = 0; i < 200; ++i) {
            pool.post([&] {
                int now = ++running;
                int seen = most.load();
                while (now > seen && !most.compare_exchange_weak(seen, now)) {
                }
                std::this_thread::yield();
                --running;
                ++done;
            });
        }
    }
    EXPECT_EQ(done, 200);
    EXPECT_LE(most, 2);
}

TEST(WorkerPool, IdleThreadsGo) {
    WorkerPool pool(4, 1'000'000);
    std::promise<void> ran;
    pool.post([&] { ran.set_value(); });
    ran.get_future().wait();
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (pool.threads() > 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_EQ(pool.threads(), 0u);
    std::promise<void> again;
    pool.post([&] { again.set_value(); });
    EXPECT_EQ(again.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

}  // namespace
}  // namespace drover::sdk
