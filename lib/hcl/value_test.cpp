// SPDX-License-Identifier: Apache-2.0
#include "hcl/value.h"

#include <gtest/gtest.h>

namespace drover::hcl {
namespace {

TEST(Value, SetsAreSortedAndHoldNothingTwice) {
    Value set = Value::set(Type::string(), {Value::string("b"), Value::string("a"), Value::string("b")});
    EXPECT_EQ(set.text(), R"(["a", "b"])");
}

TEST(Value, EqualityLooksAtTypeAndContent) {
    EXPECT_EQ(Value::tuple({Value::number(1)}), Value::tuple({Value::number(1)}));
    EXPECT_FALSE(Value::tuple({Value::number(1)}) == Value::list(Type::number(), {Value::number(1)}));
    EXPECT_FALSE(Value::null(Type::string()) == Value::null(Type::number()));
    EXPECT_EQ(Value::null(Type::string()), Value::null(Type::string()));
}

TEST(Value, TypesWriteThemselves) {
    Type type =
        Type::object({{"a", Type::list(Type::string())}, {"b", Type::tuple({Type::number(), Type::any()})}});
    EXPECT_EQ(type.text(), "object({a=list(string),b=tuple([number,any])})");
    EXPECT_TRUE(type.contains_any());
    EXPECT_EQ(Type::map(Type::string()).friendly_name(), "map of string");
}

TEST(Value, WeightCountsWhatIsShared) {
    Value value = Value::string("0123456789");
    for (int i = 0; i < 40; ++i) value = Value::tuple({value, value});
    EXPECT_GT(value.weight(), uint64_t{1} << 40);
    EXPECT_EQ(value.depth(), 40u);
}

TEST(Value, KnownnessIsDeep) {
    EXPECT_FALSE(Value::tuple({Value::unknown()}).is_wholly_known());
    EXPECT_TRUE(Value::tuple({Value::null()}).is_wholly_known());
}

TEST(Value, QuotesAsATemplate) {
    EXPECT_EQ(quote("a\"${b}%{c}\n\x01"), R"("a\"$${b}%%{c}\n\u0001")");
}

}  // namespace
}  // namespace drover::hcl
