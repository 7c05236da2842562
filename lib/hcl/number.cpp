// SPDX-License-Identifier: Apache-2.0
// Decimal arithmetic on digit strings. They are short (a few hundred digits at most), so the schoolbook
// methods do.
#include "hcl/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "hcl/limits.h"

namespace drover::hcl {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

void strip_leading_zeros(std::string& digits) {
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
}

// a >= b as unsigned integers of digits without leading zeros.
int compare_digits(const std::string& a, const std::string& b) {
    if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
    int order = a.compare(b);
    return order < 0 ? -1 : order > 0 ? 1 : 0;
}

std::string add_digits(const std::string& a, const std::string& b) {
    std::string out(std::max(a.size(), b.size()) + 1, '0');
    int carry = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        int sum = carry;
        if (i < a.size()) sum += a[a.size() - 1 - i] - '0';
        if (i < b.size()) sum += b[b.size() - 1 - i] - '0';
        out[out.size() - 1 - i] = static_cast<char>('0' + sum % 10);
        carry = sum / 10;
    }
    strip_leading_zeros(out);
    return out;
}

// a - b with a >= b.
std::string subtract_digits(const std::string& a, const std::string& b) {
    std::string out = a;
    int borrow = 0;
    for (size_t i = 0; i < out.size(); ++i) {
        int difference = out[out.size() - 1 - i] - '0' - borrow;
        if (i < b.size()) difference -= b[b.size() - 1 - i] - '0';
        borrow = difference < 0 ? 1 : 0;
        out[out.size() - 1 - i] = static_cast<char>('0' + difference + 10 * borrow);
    }
    strip_leading_zeros(out);
    return out;
}

std::string multiply_digits(const std::string& a, const std::string& b) {
    std::vector<uint32_t> sums(a.size() + b.size(), 0);  // each at most 81 * 500 plus carries
    for (size_t i = 0; i < a.size(); ++i) {
        for (size_t j = 0; j < b.size(); ++j) {
            sums[i + j + 1] += static_cast<uint32_t>(a[i] - '0') * static_cast<uint32_t>(b[j] - '0');
        }
    }
    for (size_t i = sums.size(); i-- > 1;) {
        sums[i - 1] += sums[i] / 10;
        sums[i] %= 10;
    }
    std::string out;
    for (uint32_t sum : sums) out += static_cast<char>('0' + sum);
    strip_leading_zeros(out);
    return out;
}

// Quotient digits and remainder of two unsigned integers, b not zero.
std::pair<std::string, std::string> divide_digits(const std::string& a, const std::string& b) {
    std::string quotient;
    std::string rest;
    for (char digit : a) {
        rest += digit;
        strip_leading_zeros(rest);
        char times = '0';
        while (compare_digits(rest, b) >= 0) {
            rest = subtract_digits(rest, b);
            ++times;
        }
        quotient += times;
    }
    strip_leading_zeros(quotient);
    return {std::move(quotient), std::move(rest)};
}

// Keeps the first `keep` digits, rounding half to even. May carry into one more digit.
std::string round_digits(const std::string& digits, size_t keep) {
    std::string head = digits.substr(0, keep);
    char next = digits[keep];
    bool rest = digits.find_first_not_of('0', keep + 1) != std::string::npos;
    bool odd = !head.empty() && (head.back() - '0') % 2 == 1;
    if (next > '5' || (next == '5' && (rest || odd))) return add_digits(head, "1");
    return head;
}

}  // namespace

std::optional<Number> Number::make(bool negative, std::string digits, int64_t exponent, size_t digits_max) {
    strip_leading_zeros(digits);
    if (digits.size() > digits_max) {
        exponent += static_cast<int64_t>(digits.size() - digits_max);
        digits = round_digits(digits, digits_max);
    }
    size_t last = digits.find_last_not_of('0');
    if (last == std::string::npos) return Number();
    exponent += static_cast<int64_t>(digits.size() - 1 - last);
    digits.resize(last + 1);
    int64_t before_point = exponent + static_cast<int64_t>(digits.size());
    if (before_point > kNumberExponentMax || exponent < -kNumberExponentMax) return std::nullopt;
    Number out;
    out.negative_ = negative;
    out.exponent_ = exponent;
    out.digits_ = std::move(digits);
    return out;
}

Number::Number(int64_t value) {
    uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    *this = from_uint64(magnitude);
    if (value < 0) negative_ = true;
}

Number Number::from_uint64(uint64_t value) {
    return *make(false, std::to_string(value), 0, kNumberDigitsMax);
}

std::optional<Number> Number::from_double(double value) {
    if (!std::isfinite(value)) return std::nullopt;
    return parse(fmt::format("{}", value));
}

std::optional<Number> Number::parse(std::string_view text) {
    bool negative = false;
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    std::string digits;
    int64_t exponent = 0;
    size_t i = 0;
    for (; i < text.size() && is_digit(text[i]); ++i) digits += text[i];
    if (i < text.size() && text[i] == '.') {
        size_t point = ++i;
        for (; i < text.size() && is_digit(text[i]); ++i) digits += text[i];
        exponent = -static_cast<int64_t>(i - point);
    }
    if (digits.empty()) return std::nullopt;
    if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
        if (++i < text.size() && text[i] == '+') {
            if (++i >= text.size() || !is_digit(text[i])) return std::nullopt;
        }
        int32_t written = 0;
        auto [end, failed] = std::from_chars(text.data() + i, text.data() + text.size(), written);
        if (failed != std::errc()) return std::nullopt;
        i = static_cast<size_t>(end - text.data());
        exponent += written;
    }
    if (i != text.size()) return std::nullopt;
    return make(negative, std::move(digits), exponent, kNumberDigitsMax);
}

std::optional<Number> Number::parse_integer(std::string_view text, int base) {
    bool negative = false;
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    // More bits than digits can be kept would be rounded: refuse instead, an integer is exact or it is not
    // one.
    if (text.empty() || text.size() > 600) return std::nullopt;
    std::string digits;
    std::string factor = std::to_string(base);
    for (char c : text) {
        int digit = -1;
        if (is_digit(c))
            digit = c - '0';
        else if (c >= 'a' && c <= 'z')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'Z')
            digit = base <= 36 ? c - 'A' + 10 : c - 'A' + 36;
        if (digit < 0 || digit >= base) return std::nullopt;
        digits = add_digits(multiply_digits(digits, factor), std::to_string(digit));
    }
    if (digits.size() > kNumberDigitsMax) return std::nullopt;
    return make(negative, std::move(digits), 0, kNumberDigitsMax);
}

std::optional<uint64_t> Number::to_uint64() const {
    if (is_zero()) return 0;
    if (negative_ || exponent_ < 0 || exponent_ > 20) return std::nullopt;
    std::string all = digits_ + std::string(static_cast<size_t>(exponent_), '0');
    uint64_t out = 0;
    auto [end, failed] = std::from_chars(all.data(), all.data() + all.size(), out);
    if (failed != std::errc()) return std::nullopt;
    return out;
}

std::optional<int64_t> Number::to_int64() const {
    std::optional<uint64_t> magnitude = abs().to_uint64();
    if (!magnitude) return std::nullopt;
    if (!negative_) {
        if (*magnitude > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
        return static_cast<int64_t>(*magnitude);
    }
    if (*magnitude > static_cast<uint64_t>(INT64_MAX) + 1) return std::nullopt;
    return static_cast<int64_t>(0 - *magnitude);
}

double Number::to_double() const {
    if (is_zero()) return 0;
    std::string written = fmt::format("{}{}e{}", negative_ ? "-" : "", digits_, exponent_);
    double out = 0;
    auto [end, failed] = std::from_chars(written.data(), written.data() + written.size(), out);
    if (failed == std::errc::result_out_of_range) {
        double limit = exponent_ + static_cast<int64_t>(digits_.size()) > 0 ? HUGE_VAL : 0.0;
        return negative_ ? -limit : limit;
    }
    return out;
}

bool Number::fits_double_exactly() const {
    double nearest = to_double();
    if (!std::isfinite(nearest)) return false;
    // A double's own decimal digits end within 1074 places.
    char exact_text[1500];
    std::snprintf(exact_text, sizeof exact_text, "%.1074f", nearest);
    std::string exact = exact_text;
    size_t point = exact.find('.');
    std::string digits =
        exact.substr(nearest < 0 ? 1 : 0, point - (nearest < 0 ? 1 : 0)) + exact.substr(point + 1);
    int64_t exponent = -1074;
    strip_leading_zeros(digits);
    size_t last = digits.find_last_not_of('0');
    if (last == std::string::npos) return is_zero();
    exponent += static_cast<int64_t>(digits.size() - 1 - last);
    digits.resize(last + 1);
    return digits == digits_ && exponent == exponent_;
}

std::string Number::text() const {
    if (is_zero()) return "0";
    std::string out = negative_ ? "-" : "";
    int64_t before = exponent_ + static_cast<int64_t>(digits_.size());
    if (exponent_ >= 0) return out + digits_ + std::string(static_cast<size_t>(exponent_), '0');
    if (before > 0)
        return out + digits_.substr(0, static_cast<size_t>(before)) + "." +
               digits_.substr(static_cast<size_t>(before));
    return out + "0." + std::string(static_cast<size_t>(-before), '0') + digits_;
}

Number Number::operator-() const {
    Number out = *this;
    out.negative_ = !is_zero() && !negative_;
    return out;
}

Number Number::abs() const {
    Number out = *this;
    out.negative_ = false;
    return out;
}

std::pair<Number, bool> Number::split() const {
    if (exponent_ >= 0) return {*this, false};
    int64_t before = exponent_ + static_cast<int64_t>(digits_.size());
    if (before <= 0) return {Number(), true};
    return {*make(negative_, digits_.substr(0, static_cast<size_t>(before)), 0,
                  kNumberDigitsMax + kNumberGuardDigits),
            true};
}

Number Number::truncate() const {
    return split().first;
}

Number Number::floor() const {
    auto [whole, fraction] = split();
    return fraction && negative_ ? add(whole, Number(-1)).value_or(whole) : whole;
}

Number Number::ceil() const {
    auto [whole, fraction] = split();
    return fraction && !negative_ ? add(whole, Number(1)).value_or(whole) : whole;
}

Number Number::rounded(int64_t digits) const {
    if (-exponent_ <= digits) return *this;
    int64_t keep = static_cast<int64_t>(digits_.size()) + exponent_ + digits;
    if (keep < 0) return Number();
    return make(negative_, round_digits(digits_, static_cast<size_t>(keep)), -digits,
                kNumberDigitsMax + kNumberGuardDigits)
        .value_or(*this);
}

std::optional<Number> Number::add(const Number& a, const Number& b) {
    if (a.is_zero()) return b;
    if (b.is_zero()) return a;
    // Exponents are bounded by kNumberExponentMax, so aligning stays small.
    int64_t exponent = std::min(a.exponent_, b.exponent_);
    std::string x = a.digits_ + std::string(static_cast<size_t>(a.exponent_ - exponent), '0');
    std::string y = b.digits_ + std::string(static_cast<size_t>(b.exponent_ - exponent), '0');
    if (a.negative_ == b.negative_) return make(a.negative_, add_digits(x, y), exponent, kNumberDigitsMax);
    if (compare_digits(x, y) >= 0)
        return make(a.negative_, subtract_digits(x, y), exponent, kNumberDigitsMax);
    return make(b.negative_, subtract_digits(y, x), exponent, kNumberDigitsMax);
}

std::optional<Number> Number::subtract(const Number& a, const Number& b) {
    return add(a, -b);
}

std::optional<Number> Number::multiply(const Number& a, const Number& b) {
    return make(a.negative_ != b.negative_, multiply_digits(a.digits_, b.digits_), a.exponent_ + b.exponent_,
                kNumberDigitsMax);
}

std::optional<Number> Number::divide(const Number& a, const Number& b) {
    if (b.is_zero()) return std::nullopt;
    if (a.is_zero()) return Number();
    constexpr size_t kDigits = kNumberDigitsMax + kNumberGuardDigits;
    size_t shift = kDigits + 2 + b.digits_.size();
    auto [quotient, rest] = divide_digits(a.digits_ + std::string(shift, '0'), b.digits_);
    int64_t exponent = a.exponent_ - b.exponent_ - static_cast<int64_t>(shift);
    if (!rest.empty()) {  // makes an inexact quotient round as one
        quotient += '1';
        --exponent;
    }
    return make(a.negative_ != b.negative_, std::move(quotient), exponent, kDigits);
}

std::optional<Number> Number::remainder(const Number& a, const Number& b) {
    if (b.is_zero()) return std::nullopt;
    if (a.is_zero()) return Number();
    int64_t exponent = std::min(a.exponent_, b.exponent_);
    std::string x = a.digits_ + std::string(static_cast<size_t>(a.exponent_ - exponent), '0');
    std::string y = b.digits_ + std::string(static_cast<size_t>(b.exponent_ - exponent), '0');
    return make(a.negative_, divide_digits(x, y).second, exponent, kNumberDigitsMax + kNumberGuardDigits);
}

int Number::compare(const Number& a, const Number& b) {
    if (a.sign() != b.sign()) return a.sign() < b.sign() ? -1 : 1;
    if (a.is_zero()) return 0;
    int64_t before_a = a.exponent_ + static_cast<int64_t>(a.digits_.size());
    int64_t before_b = b.exponent_ + static_cast<int64_t>(b.digits_.size());
    int order = before_a != before_b ? (before_a < before_b ? -1 : 1) : a.digits_.compare(b.digits_);
    if (order == 0) return 0;
    return (order < 0) == a.negative_ ? 1 : -1;
}

}  // namespace drover::hcl
