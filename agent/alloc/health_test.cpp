// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/health.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace drover::agent {
namespace {

HealthView view(bool running, int64_t started_at, TaskRole role = TaskRole::Main) {
    HealthView v;
    v.task.name = "t";
    v.task.role = role;
    v.task.running = running;
    v.started_at_ns = started_at;
    return v;
}

const HealthRules kRules{10 * kSecond, 5 * kMinute};

TEST(Health, HealthyAfterTheMinimumTimeWithoutARestart) {
    EXPECT_EQ(assess_health(kRules, {view(true, 5 * kSecond)}, 0, 6 * kSecond),
              (HealthVerdict{std::nullopt, 15 * kSecond, ""}));
    EXPECT_EQ(assess_health(kRules, {view(true, 5 * kSecond)}, 0, 15 * kSecond),
              (HealthVerdict{true, 0, ""}));
    // A restart at 14 s begins the time anew.
    EXPECT_EQ(assess_health(kRules, {view(true, 14 * kSecond)}, 0, 15 * kSecond),
              (HealthVerdict{std::nullopt, 24 * kSecond, ""}));
}

TEST(Health, ADeadMainTaskIsUnhealthyAtOnce) {
    auto dead = view(false, 0);
    dead.task.dead = true;
    EXPECT_EQ(assess_health(kRules, {dead}, 0, kSecond).healthy, std::optional<bool>(false));
}

TEST(Health, PrestartMustEndAndPoststopDoesNotMatter) {
    const auto prestart_running = view(true, 0, TaskRole::Prestart);
    EXPECT_EQ(assess_health(kRules, {view(true, 0), prestart_running}, 0, 20 * kSecond).healthy,
              std::nullopt);
    auto prestart_dead = view(false, 0, TaskRole::Prestart);
    prestart_dead.task.dead = true;
    EXPECT_EQ(assess_health(kRules, {view(true, 0), prestart_dead, view(false, 0, TaskRole::Poststop)}, 0,
                            20 * kSecond)
                  .healthy,
              std::optional<bool>(true));
}

TEST(Health, TheDeadlineEndsTheWait) {
    EXPECT_EQ(assess_health(kRules, {view(false, 0)}, 0, 20 * kSecond).next_at_ns, 5 * kMinute);
    const auto verdict = assess_health(kRules, {view(false, 0)}, 0, 5 * kMinute);
    EXPECT_EQ(verdict.healthy, std::optional<bool>(false));
    EXPECT_EQ(verdict.why, "Task not running by deadline: t");
}

}  // namespace
}  // namespace drover::agent
