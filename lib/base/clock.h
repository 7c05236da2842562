// SPDX-License-Identifier: Apache-2.0
// Wall and monotonic time as int64 nanoseconds, and Go's duration text ("1h30m", "500ms"). Pure rooms take
// times as input and never call unix_now()/mono_now().
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover {

constexpr int64_t kNanosecond = 1;
constexpr int64_t kMicrosecond = 1000;
constexpr int64_t kMillisecond = 1000 * kMicrosecond;
constexpr int64_t kSecond = 1000 * kMillisecond;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

int64_t unix_now();  // ns since the epoch
int64_t mono_now();  // ns of CLOCK_MONOTONIC

// Go's time.ParseDuration: signed decimal numbers with unit ns us µs ms s m h; "0" alone needs no unit.
Result<int64_t> parse_duration(std::string_view text);
// Go's Duration.String(): "1h30m0s", "15s", "1.5s", "500ms", "0s".
std::string format_duration(int64_t ns);

// RFC 3339 with nanoseconds, UTC, trailing zeros of the fraction dropped: "2026-11-21T10:00:00.5Z" (Go's
// encoding/json).
std::string format_rfc3339(int64_t unix_ns);
Result<int64_t> parse_rfc3339(std::string_view text);

}  // namespace drover
