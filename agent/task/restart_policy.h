// SPDX-License-Identifier: Apache-2.0
// Whether an ended task starts again, when, and the words for it. Pure: time and randomness come with the
// call. Used by task_machine only.
#pragma once
#include <cstdint>
#include <string>

namespace drover::agent {

enum class RestartMode { Fail, Delay };

struct RestartRules {
    int64_t attempts = 0;
    int64_t interval_ns = 0;
    int64_t delay_ns = 0;
    RestartMode mode = RestartMode::Fail;
    bool on_success = false;  // service and system tasks start again after exit code 0
};

// Counts restarts in an interval that begins with the first start.
struct RestartWindow {
    int64_t start_ns = 0;  // 0: not begun
    int32_t count = 0;
};

enum class EndKind {
    Success,        // exit code 0, no signal, no error
    Failure,        // any other exit, or an error that may be retried
    Unrecoverable,  // must not be retried
};

enum class RestartVerdict { Restart, Fail, Done };

struct RestartDecision {
    RestartVerdict verdict = RestartVerdict::Done;
    int64_t delay_ns = 0;
    std::string reason;
};

// The reason that stays out of the event's message.
inline constexpr const char* kRestartWithinPolicy = "Restart within policy";

// Counts this end in `window`. `random` is any 64 random bits: the delay gets up to a quarter more.
RestartDecision decide_restart(const RestartRules& rules, RestartWindow& window, EndKind end, bool started,
                               int64_t now_ns, uint64_t random);

}  // namespace drover::agent
