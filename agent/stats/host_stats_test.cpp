// SPDX-License-Identifier: Apache-2.0
#include "agent/stats/host_stats.h"

#include <gtest/gtest.h>

#include "drover/types.h"

namespace drover::agent {
namespace {

TEST(HostStats, ReadsThisMachine) {
    HostStatsProbe probe("/tmp", 2000);
    const auto stats = probe.read();
    ASSERT_TRUE(stats) << stats.error().message();
    EXPECT_GT(stats->memory().total(), 1u << 20);
    EXPECT_LE(stats->memory().used(), stats->memory().total());
    EXPECT_GE(stats->cpu_size(), 1);
    EXPECT_NEAR(stats->cpu(0).user() + stats->cpu(0).system() + stats->cpu(0).idle(), 100,
                60);  // steal is left out
    EXPECT_GT(stats->alloc_dir_stats().size(), 0u);
    EXPECT_GT(stats->uptime(), 0u);
    EXPECT_FALSE(HostStatsProbe("/no/such/dir", 1).read());
}

TEST(HostStats, OnlyWhatWasMeasuredIsNamed) {
    sdk::TaskStats stats;
    stats.timestamp_unix_ns = 7;
    stats.total.cpu.percent = 50.0;
    stats.total.memory.rss_bytes = 1000;
    const auto usage = to_model(stats, 2000);
    EXPECT_EQ(usage.resource_usage().cpu_stats().total_ticks(), 1000);
    ASSERT_EQ(usage.resource_usage().cpu_stats().measured_size(), 1);
    EXPECT_EQ(usage.resource_usage().memory_stats().measured(0), "RSS");
    model::ResourceUsage total;
    add_usage(total, usage.resource_usage());
    add_usage(total, usage.resource_usage());
    EXPECT_EQ(total.memory_stats().rss(), 2000u);
    EXPECT_EQ(total.memory_stats().measured_size(), 1);
}

}  // namespace
}  // namespace drover::agent
