// SPDX-License-Identifier: Apache-2.0
// Exponential backoff with jitter: pure, the random number comes in. Used for relaunches and for streams that
// end.
#pragma once
#include <algorithm>
#include <cstdint>

namespace drover::agent {

class Backoff {
 public:
    Backoff(int64_t min_ns, int64_t max_ns) : min_ns_(min_ns), max_ns_(max_ns) {}

    // The next delay: min, 2 min, 4 min, ... at most max; of it between three quarters and all, by `random`.
    int64_t next(uint32_t random) {
        const int64_t base = std::clamp(next_ns_ == 0 ? min_ns_ : next_ns_, min_ns_, max_ns_);
        next_ns_ = base > max_ns_ / 2 ? max_ns_ : base * 2;
        return base - base / 4 * static_cast<int64_t>(random % 1024) / 1024;
    }
    void reset() { next_ns_ = 0; }

 private:
    int64_t min_ns_;
    int64_t max_ns_;
    int64_t next_ns_ = 0;
};

}  // namespace drover::agent
