// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>

namespace drover {

TEST(Duration, ParsesGoText) {
    EXPECT_EQ(*parse_duration("1h30m"), 90 * kMinute);
    EXPECT_EQ(*parse_duration("500ms"), 500 * kMillisecond);
    EXPECT_EQ(*parse_duration("1.5s"), 1500 * kMillisecond);
    EXPECT_EQ(*parse_duration("-2m"), -2 * kMinute);
    EXPECT_EQ(*parse_duration("0"), 0);
    EXPECT_FALSE(parse_duration("5"));
    EXPECT_FALSE(parse_duration(""));
    EXPECT_FALSE(parse_duration("3 days"));
    EXPECT_FALSE(parse_duration("9999999999h"));
}

TEST(Duration, PrintsAsGo) {
    EXPECT_EQ(format_duration(90 * kMinute), "1h30m0s");
    EXPECT_EQ(format_duration(15 * kSecond), "15s");
    EXPECT_EQ(format_duration(1500 * kMillisecond), "1.5s");
    EXPECT_EQ(format_duration(20 * kMillisecond), "20ms");
    EXPECT_EQ(format_duration(0), "0s");
    EXPECT_EQ(format_duration(-kSecond), "-1s");
}

TEST(Rfc3339, RoundTrips) {
    int64_t t = 1795248756455339348;
    EXPECT_EQ(*parse_rfc3339(format_rfc3339(t)), t);
    EXPECT_EQ(format_rfc3339(0), "1970-01-01T00:00:00Z");
    EXPECT_EQ(*parse_rfc3339("1970-01-01T01:00:00+01:00"), 0);
    EXPECT_FALSE(parse_rfc3339("yesterday"));
}

}  // namespace drover
