// SPDX-License-Identifier: Apache-2.0
// Number: an exact decimal (sign, digits, power of ten), as HCL and JSON texts write numbers. Immutable value.
// Sums, differences and products are exact up to kNumberDigitsMax significant digits, quotients are rounded to that
// (half to even). There is no infinity and no NaN: what would give one is nullopt.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::hcl {

class Number {
 public:
    Number() = default;  // zero
    Number(int64_t value);  // NOLINT: implicit by design
    static Number from_uint64(uint64_t value);
    // nullopt for infinities and NaN. Exact: the shortest text that reads back as the same double.
    static std::optional<Number> from_double(double value);
    // `-12.50e3`; the whole text; nullopt when it is no number or out of range.
    static std::optional<Number> parse(std::string_view text);
    // Digits in the given base (2..62, as Go's big.Int: 0-9 a-z A-Z), optional sign; whole numbers only.
    static std::optional<Number> parse_integer(std::string_view text, int base);

    bool is_zero() const { return limbs_.empty(); }
    bool is_negative() const { return negative_; }
    bool is_integer() const { return limbs_.empty() || exponent_ >= 0; }  // canonical: no trailing zeros kept
    int sign() const { return limbs_.empty() ? 0 : negative_ ? -1 : 1; }
    std::optional<int64_t> to_int64() const;    // when integral and in range
    std::optional<uint64_t> to_uint64() const;  // when integral and in range
    double to_double() const;                   // nearest
    bool fits_double_exactly() const;           // the double has this very value
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
    using Limbs = std::vector<uint32_t>;  // base 1e9, least significant first, no leading zero limbs
    static std::optional<Number> make(bool negative, Limbs limbs, int64_t exponent);
    static std::optional<Number> from_digits(bool negative, std::string digits, int64_t exponent);

    // value = (-1)^negative * limbs * 10^exponent; the last decimal digit of limbs is not 0. Zero: no limbs, exponent 0.
    bool negative_ = false;
    int64_t exponent_ = 0;
    Limbs limbs_;
};

}  // namespace drover::hcl
