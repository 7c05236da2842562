// SPDX-License-Identifier: Apache-2.0
// Number: an exact decimal (sign, digits, power of ten), as HCL and JSON texts write numbers. Immutable
// value. Sums, differences and products are exact up to kNumberDigitsMax significant digits and rounded to
// that beyond (half to even); quotients keep kNumberGuardDigits more, so that 1/3*3 is 1. There is no
// infinity and no NaN: what would give one is nullopt.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace drover::hcl {

class Number {
 public:
    Number() = default;     // zero
    Number(int64_t value);  // NOLINT: implicit by design
    static Number from_uint64(uint64_t value);
    // nullopt for infinities and NaN. Exact: the shortest text that reads back as the same double.
    static std::optional<Number> from_double(double value);
    // `-12.50e3`; the whole text; nullopt when it is no number or out of range.
    static std::optional<Number> parse(std::string_view text);
    // Digits in the given base (2..62, as Go's big.Int: 0-9 a-z A-Z), optional sign; whole numbers only.
    static std::optional<Number> parse_integer(std::string_view text, int base);

    bool is_zero() const { return digits_.empty(); }
    bool is_negative() const { return negative_; }
    bool is_integer() const { return exponent_ >= 0; }  // canonical: no trailing zeros kept
    int sign() const { return digits_.empty() ? 0 : negative_ ? -1 : 1; }
    std::optional<int64_t> to_int64() const;               // when integral and in range
    std::optional<uint64_t> to_uint64() const;             // when integral and in range
    double to_double() const;                              // nearest
    size_t digit_count() const { return digits_.size(); }  // significant ones: what an operation costs
    bool fits_double_exactly() const;                      // the double has this very value
    // Plain decimal, never scientific: "-1200", "0.1".
    std::string text() const;

    Number operator-() const;
    Number abs() const;
    Number floor() const;
    Number ceil() const;
    Number truncate() const;
    // nullopt: out of range, or division by zero. remainder has the sign of the dividend.
    static std::optional<Number> add(const Number& a, const Number& b);
    static std::optional<Number> subtract(const Number& a, const Number& b);
    static std::optional<Number> multiply(const Number& a, const Number& b);
    static std::optional<Number> divide(const Number& a, const Number& b);
    static std::optional<Number> remainder(const Number& a, const Number& b);
    // Rounds to `digits` after the decimal point, half to even.
    Number rounded(int64_t digits) const;

    static int compare(const Number& a, const Number& b);
    friend bool operator==(const Number& a, const Number& b) = default;
    friend bool operator<(const Number& a, const Number& b) { return compare(a, b) < 0; }

 private:
    static std::optional<Number> make(bool negative, std::string digits, int64_t exponent, size_t digits_max);
    // The part before the decimal point, and whether anything but zeros stands behind it.
    std::pair<Number, bool> split() const;

    // value = (-1)^negative * digits * 10^exponent; digits start and end with no '0'. Zero: no digits,
    // exponent 0.
    bool negative_ = false;
    int64_t exponent_ = 0;
    std::string digits_;
};

}  // namespace drover::hcl
