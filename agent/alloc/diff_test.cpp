// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/diff.h"

#include <gtest/gtest.h>

namespace drover::agent {
namespace {

TEST(AllocDiff, FetchesNewAndChangedAndRemovesForgotten) {
    const AllocDiff diff = diff_allocs({{"a", 5}, {"b", 7}, {"c", 3}}, {{"a", 5}, {"b", 6}, {"gone", 2}}, {});
    EXPECT_EQ(diff, (AllocDiff{{"b", "c"}, {"gone"}}));
}

TEST(AllocDiff, IgnoredOnesAreLookedAtAgainOnlyWhenTheyChange) {
    EXPECT_EQ(diff_allocs({{"x", 4}}, {}, {{"x", 4}}), AllocDiff{});
    EXPECT_EQ(diff_allocs({{"x", 5}}, {}, {{"x", 4}}), (AllocDiff{{"x"}, {}}));
}

TEST(AllocDiff, AnEmptyListRemovesEverything) {
    EXPECT_EQ(diff_allocs({}, {{"a", 1}}, {}), (AllocDiff{{}, {"a"}}));
}

}  // namespace
}  // namespace drover::agent
