// SPDX-License-Identifier: Apache-2.0
#include "hcl/number.h"

#include <gtest/gtest.h>

namespace drover::hcl {
namespace {

std::string text(const std::optional<Number>& number) {
    return number ? number->text() : "none";
}
Number num(std::string_view written) {
    return *Number::parse(written);
}

TEST(Number, KeepsDecimalsExactly) {
    EXPECT_EQ(text(Number::parse("0.1")), "0.1");
    EXPECT_EQ(text(Number::parse("-12.500")), "-12.5");
    EXPECT_EQ(text(Number::parse("1e3")), "1000");
    EXPECT_EQ(text(Number::parse("25E-4")), "0.0025");
    EXPECT_EQ(text(Number::parse("18446744073709551616")), "18446744073709551616");
    EXPECT_EQ(text(Number::parse("000")), "0");
    EXPECT_EQ(text(Number::parse("-0")), "0");
    EXPECT_EQ(text(Number::add(num("0.1"), num("0.2"))), "0.3");
    EXPECT_EQ(num("1.50"), num("1.5"));
}

TEST(Number, RefusesWhatIsNoNumber) {
    for (const char* bad : {"", "-", ".", "e5", "1e", "1e+", "1x", " 1", "1 ", "0x10", "1e99999", "inf",
                            "nan", "--1", "1e+-5"}) {
        EXPECT_FALSE(Number::parse(bad)) << bad;
    }
    EXPECT_FALSE(Number::from_double(1.0 / 0.0));
}

TEST(Number, CalculatesWithSignsAndCarries) {
    EXPECT_EQ(text(Number::subtract(num("1000"), num("0.001"))), "999.999");
    EXPECT_EQ(text(Number::subtract(num("5"), num("7.5"))), "-2.5");
    EXPECT_EQ(text(Number::add(num("-1"), num("1"))), "0");
    EXPECT_EQ(text(Number::multiply(num("99999999999"), num("-99999999999"))), "-9999999999800000000001");
    EXPECT_EQ(text(Number::divide(num("1"), num("8"))), "0.125");
    EXPECT_EQ(text(Number::divide(num("10"), num("-4"))), "-2.5");
    EXPECT_EQ(text(Number::remainder(num("7.5"), num("2"))), "1.5");
    EXPECT_EQ(text(Number::remainder(num("-7"), num("3"))), "-1");
    EXPECT_FALSE(Number::divide(num("1"), num("0")));
    EXPECT_FALSE(Number::remainder(num("1"), num("0")));
    EXPECT_FALSE(Number::multiply(num("1e4000"), num("1e4000")));
}

TEST(Number, QuotientsComeBack) {
    for (int divisor = 2; divisor < 50; ++divisor) {
        Number third = *Number::divide(Number(1), Number(divisor));
        EXPECT_EQ(*Number::multiply(third, Number(divisor)), Number(1)) << divisor;
    }
}

TEST(Number, RoundsToWholeNumbers) {
    EXPECT_EQ(num("-1.5").floor(), Number(-2));
    EXPECT_EQ(num("-1.5").ceil(), Number(-1));
    EXPECT_EQ(num("-0.5").ceil(), Number(0));
    EXPECT_EQ(num("0.5").ceil(), Number(1));
    EXPECT_EQ(num("2.999").truncate(), Number(2));
    EXPECT_EQ(num("2.5").rounded(0), Number(2));
    EXPECT_EQ(num("3.5").rounded(0), Number(4));
    EXPECT_EQ(num("0.125").rounded(2), num("0.12"));
    EXPECT_EQ(num("0.0009").rounded(2), Number(0));
    EXPECT_EQ(num("9.999").rounded(2), Number(10));
}

TEST(Number, TurnsIntoMachineNumbers) {
    EXPECT_EQ(num("9223372036854775807").to_int64(), INT64_MAX);
    EXPECT_EQ(num("-9223372036854775808").to_int64(), INT64_MIN);
    EXPECT_EQ(num("9223372036854775808").to_int64(), std::nullopt);
    EXPECT_EQ(num("18446744073709551615").to_uint64(), UINT64_MAX);
    EXPECT_EQ(num("0.5").to_int64(), std::nullopt);
    EXPECT_EQ(num("-1").to_uint64(), std::nullopt);
    EXPECT_EQ(num("0.1").to_double(), 0.1);
    EXPECT_TRUE(num("0.5").fits_double_exactly());
    EXPECT_TRUE(num("-300").fits_double_exactly());
    EXPECT_FALSE(num("0.1").fits_double_exactly());
    EXPECT_FALSE(num("1e400").fits_double_exactly());
    EXPECT_EQ(Number(INT64_MIN).text(), "-9223372036854775808");
    EXPECT_EQ(text(Number::from_double(0.1)), "0.1");
}

TEST(Number, ComparesAcrossSizes) {
    EXPECT_LT(num("-2"), num("-1"));
    EXPECT_LT(num("0.9"), num("1"));
    EXPECT_LT(num("9"), num("10"));
    EXPECT_LT(num("-10"), num("-9"));
    EXPECT_EQ(Number::compare(num("10"), num("1e1")), 0);
}

TEST(Number, ReadsIntegersInBases) {
    EXPECT_EQ(text(Number::parse_integer("ff", 16)), "255");
    EXPECT_EQ(text(Number::parse_integer("-1010", 2)), "-10");
    EXPECT_EQ(text(Number::parse_integer("zZ", 62)), "2231");
    EXPECT_FALSE(Number::parse_integer("12", 2));
    EXPECT_FALSE(Number::parse_integer("", 10));
    EXPECT_FALSE(Number::parse_integer(std::string(700, '1'), 2));
}

}  // namespace
}  // namespace drover::hcl
