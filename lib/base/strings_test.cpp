// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"

#include <gtest/gtest.h>

#include "base/uuid.h"

namespace drover {

TEST(Strings, SplitKeepsEmptyParts) {
    EXPECT_EQ(split("a,,b", ','), (std::vector<std::string>{"a", "", "b"}));
    EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
}

TEST(Strings, Base64RoundTripsAndRefusesGarbage) {
    for (std::string text : {"", "a", "ab", "abc", "abcd", "\xff\x00z"})
        EXPECT_EQ(base64_decode(base64_encode(text)), text);
    EXPECT_FALSE(base64_decode("abc"));
    EXPECT_FALSE(base64_decode("a=bc"));
    EXPECT_FALSE(base64_decode("ab!="));
}

TEST(Strings, ClosestSuggestsOnlyNearNames) {
    EXPECT_EQ(closest("comand", {"command", "args"}), "command");
    EXPECT_EQ(closest("zzz", {"command", "args"}), std::nullopt);
}

TEST(Uuid, LooksLikeOne) {
    EXPECT_TRUE(is_uuid(new_uuid()));
    EXPECT_NE(new_uuid(), new_uuid());
    EXPECT_FALSE(is_uuid("not-a-uuid"));
}

}  // namespace drover
