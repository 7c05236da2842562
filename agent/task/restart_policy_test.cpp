// SPDX-License-Identifier: Apache-2.0
#include "agent/task/restart_policy.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace drover::agent {
namespace {

RestartRules service() {
    return {2, 30 * kMinute, 15 * kSecond, RestartMode::Fail, true};
}
RestartRules batch() {
    return {3, 24 * kHour, 15 * kSecond, RestartMode::Fail, false};
}

TEST(RestartPolicy, FailsAfterTheAllowedAttemptsInTheInterval) {
    RestartWindow window{kSecond, 0};
    for (int i = 0; i < 2; ++i) {
        const auto d = decide_restart(service(), window, EndKind::Failure, true, 10 * kSecond, 0);
        EXPECT_EQ(d.verdict, RestartVerdict::Restart);
        EXPECT_EQ(d.delay_ns, 15 * kSecond);
        EXPECT_EQ(d.reason, kRestartWithinPolicy);
    }
    const auto d = decide_restart(service(), window, EndKind::Failure, true, 11 * kSecond, 0);
    EXPECT_EQ(d.verdict, RestartVerdict::Fail);
    EXPECT_EQ(d.reason, "Exceeded allowed attempts 2 in interval 30m0s and mode is \"fail\"");
}

TEST(RestartPolicy, ANewIntervalForgetsTheOldCount) {
    RestartWindow window{kSecond, 2};
    const auto d = decide_restart(service(), window, EndKind::Failure, true, kSecond + 31 * kMinute, 0);
    EXPECT_EQ(d.verdict, RestartVerdict::Restart);
    EXPECT_EQ(window.count, 1);
}

TEST(RestartPolicy, DelayModeWaitsForTheEndOfTheInterval) {
    auto rules = service();
    rules.mode = RestartMode::Delay;
    RestartWindow window{kSecond, 2};
    const auto d = decide_restart(rules, window, EndKind::Failure, true, kSecond + 10 * kMinute, 0);
    EXPECT_EQ(d.verdict, RestartVerdict::Restart);
    EXPECT_EQ(d.delay_ns, 20 * kMinute);
    EXPECT_EQ(d.reason, "Exceeded allowed attempts, applying a delay");
}

TEST(RestartPolicy, SuccessEndsBatchAndRestartsService) {
    RestartWindow window{kSecond, 0};
    EXPECT_EQ(decide_restart(batch(), window, EndKind::Success, true, 2 * kSecond, 0).verdict,
              RestartVerdict::Done);
    window = {kSecond, 0};
    EXPECT_EQ(decide_restart(service(), window, EndKind::Success, true, 2 * kSecond, 0).verdict,
              RestartVerdict::Restart);
}

TEST(RestartPolicy, NoAttemptsFailsAtOnceUnlessItIsDone) {
    auto rules = batch();
    rules.attempts = 0;
    RestartWindow window{kSecond, 0};
    EXPECT_EQ(decide_restart(rules, window, EndKind::Failure, true, kSecond, 0).reason,
              "Policy allows no restarts");
    EXPECT_EQ(decide_restart(rules, window, EndKind::Success, true, kSecond, 0).verdict,
              RestartVerdict::Done);
}

TEST(RestartPolicy, UnrecoverableNeverRestarts) {
    RestartWindow window;
    const auto d = decide_restart(service(), window, EndKind::Unrecoverable, false, kSecond, 0);
    EXPECT_EQ(d.verdict, RestartVerdict::Fail);
    EXPECT_EQ(d.reason, "Error was unrecoverable");
}

TEST(RestartPolicy, JitterAddsLessThanAQuarter) {
    for (const uint64_t random : {uint64_t{0}, uint64_t{1} << 63, ~uint64_t{0}}) {
        RestartWindow window{kSecond, 0};
        const auto d = decide_restart(service(), window, EndKind::Failure, true, kSecond, random);
        EXPECT_GE(d.delay_ns, 15 * kSecond);
        EXPECT_LT(d.delay_ns, 15 * kSecond + 15 * kSecond / 4);
    }
}

}  // namespace
}  // namespace drover::agent
