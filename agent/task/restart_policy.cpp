// SPDX-License-Identifier: Apache-2.0
#include "agent/task/restart_policy.h"

#include "base/clock.h"

namespace drover::agent {
namespace {

int64_t with_jitter(int64_t delay_ns, uint64_t random) {
    if (delay_ns <= 0) return 0;
    const double part = static_cast<double>(random >> 11) / 9007199254740992.0;  // 2^53: [0, 1)
    return delay_ns + static_cast<int64_t>(part * 0.25 * static_cast<double>(delay_ns));
}

}  // namespace

RestartDecision decide_restart(const RestartRules& rules, RestartWindow& window, EndKind end, bool started,
                               int64_t now_ns, uint64_t random) {
    // A start error is never a success, so only exits can be "done".
    const bool done = started && end == EndKind::Success && !rules.on_success;
    if (rules.attempts == 0) {
        if (done) return {RestartVerdict::Done, 0, "Restart unnecessary as task terminated successfully"};
        return {RestartVerdict::Fail, 0, "Policy allows no restarts"};
    }
    ++window.count;
    if (window.start_ns == 0 || now_ns > window.start_ns + rules.interval_ns) {
        window.start_ns = now_ns;
        window.count = 1;
    }
    if (end == EndKind::Unrecoverable) return {RestartVerdict::Fail, 0, "Error was unrecoverable"};
    if (done) return {RestartVerdict::Done, 0, "Restart unnecessary as task terminated successfully"};
    if (window.count > rules.attempts) {
        if (rules.mode == RestartMode::Fail) {
            return {RestartVerdict::Fail, 0,
                    fmt::format("Exceeded allowed attempts {} in interval {} and mode is \"fail\"",
                                rules.attempts, format_duration(rules.interval_ns))};
        }
        const int64_t window_end = window.start_ns + rules.interval_ns;
        return {RestartVerdict::Restart, window_end > now_ns ? window_end - now_ns : 0,
                "Exceeded allowed attempts, applying a delay"};
    }
    return {RestartVerdict::Restart, with_jitter(rules.delay_ns, random), kRestartWithinPolicy};
}

}  // namespace drover::agent
