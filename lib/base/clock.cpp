// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <ctime>

namespace drover {

int64_t unix_now() {
    timespec ts{};
    ::clock_gettime(CLOCK_REALTIME, &ts);
    return static_cast<int64_t>(ts.tv_sec) * kSecond + ts.tv_nsec;
}

int64_t mono_now() {
    timespec ts{};
    ::clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<int64_t>(ts.tv_sec) * kSecond + ts.tv_nsec;
}

Result<int64_t> parse_duration(std::string_view text) {
    const std::string_view whole = text;
    auto bad = [&](std::string_view why) {
        return make_error(Code::InvalidArgument,
                          "invalid duration \"{}\": {} (expected for example \"30s\" or \"1h30m\")", whole,
                          why);
    };
    bool negative = false;
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
        negative = text[0] == '-';
        text.remove_prefix(1);
    }
    if (text == "0") return 0;
    if (text.empty()) return bad("empty");
    __int128 total = 0;
    while (!text.empty()) {
        __int128 number = 0;
        __int128 fraction = 0;
        __int128 scale = 1;
        size_t digits = 0;
        while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
            number = number * 10 + (text[0] - '0');
            if (number > static_cast<__int128>(INT64_MAX)) return bad("out of range");
            text.remove_prefix(1);
            ++digits;
        }
        if (!text.empty() && text[0] == '.') {
            text.remove_prefix(1);
            while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
                if (scale < 1'000'000'000'000LL) {
                    fraction = fraction * 10 + (text[0] - '0');
                    scale *= 10;
                }
                text.remove_prefix(1);
                ++digits;
            }
        }
        if (digits == 0) return bad("a number is missing");
        size_t unit_len = 0;
        while (unit_len < text.size() && text[unit_len] != '.' &&
               !(text[unit_len] >= '0' && text[unit_len] <= '9'))
            ++unit_len;
        std::string_view unit = text.substr(0, unit_len);
        int64_t factor = 0;
        if (unit == "ns")
            factor = kNanosecond;
        else if (unit == "us" || unit == "\u00b5s" || unit == "\u03bcs")
            factor = kMicrosecond;
        else if (unit == "ms")
            factor = kMillisecond;
        else if (unit == "s")
            factor = kSecond;
        else if (unit == "m")
            factor = kMinute;
        else if (unit == "h")
            factor = kHour;
        else if (unit.empty())
            return bad("missing unit");
        else
            return bad(fmt::format("unknown unit \"{}\"", unit));
        text.remove_prefix(unit_len);
        total += number * factor + fraction * factor / scale;
        if (total > static_cast<__int128>(INT64_MAX)) return bad("out of range");
    }
    return static_cast<int64_t>(negative ? -total : total);
}

std::string format_duration(int64_t ns) {
    if (ns == 0) return "0s";
    std::string sign = ns < 0 ? "-" : "";
    uint64_t u = ns < 0 ? 0 - static_cast<uint64_t>(ns) : static_cast<uint64_t>(ns);
    auto decimal = [](uint64_t value, uint64_t unit, std::string_view suffix) {
        std::string text = fmt::format("{}", value / unit);
        if (uint64_t rest = value % unit) {
            std::string digits = fmt::format("{}", unit + rest).substr(1);
            while (digits.back() == '0') digits.pop_back();
            text += "." + digits;
        }
        return text + std::string(suffix);
    };
    if (u < 1000) return fmt::format("{}{}ns", sign, u);
    if (u < 1000'000) return sign + decimal(u, 1000, "\u00b5s");
    if (u < 1000'000'000) return sign + decimal(u, 1000'000, "ms");
    uint64_t minutes = u / static_cast<uint64_t>(kMinute);
    std::string text = decimal(u % static_cast<uint64_t>(kMinute), 1000'000'000, "s");
    if (minutes >= 60) return fmt::format("{}{}h{}m{}", sign, minutes / 60, minutes % 60, text);
    if (minutes > 0) return fmt::format("{}{}m{}", sign, minutes, text);
    return sign + text;
}

std::string format_rfc3339(int64_t unix_ns) {
    int64_t seconds = unix_ns / kSecond;
    int64_t rest = unix_ns % kSecond;
    if (rest < 0) {
        rest += kSecond;
        --seconds;
    }
    std::time_t t = seconds;
    std::tm tm{};
    ::gmtime_r(&t, &tm);
    std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", tm.tm_year + 1900, tm.tm_mon + 1,
                                   tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    if (rest) {
        std::string digits = fmt::format("{:09}", rest);
        while (digits.back() == '0') digits.pop_back();
        text += "." + digits;
    }
    return text + "Z";
}

Result<int64_t> parse_rfc3339(std::string_view text) {
    auto bad = [&] {
        return make_error(Code::InvalidArgument, "invalid time \"{}\": expected RFC 3339", text);
    };
    std::string copy(text);
    std::tm tm{};
    int consumed = 0;
    if (std::sscanf(copy.c_str(), "%4d-%2d-%2d%*1[Tt]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                    &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &consumed) != 6 ||
        consumed < 19)
        return bad();
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t nanos = 0;
    size_t at = static_cast<size_t>(consumed);
    if (at < copy.size() && copy[at] == '.') {
        ++at;
        int64_t scale = kSecond;
        size_t start = at;
        while (at < copy.size() && copy[at] >= '0' && copy[at] <= '9') {
            if (scale > 1) {
                scale /= 10;
                nanos += (copy[at] - '0') * scale;
            }
            ++at;
        }
        if (at == start) return bad();
    }
    int64_t offset = 0;
    std::string_view zone = std::string_view(copy).substr(at);
    if (zone != "Z" && zone != "z") {
        int h = 0, m = 0;
        if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') ||
            std::sscanf(std::string(zone.substr(1)).c_str(), "%2d:%2d", &h, &m) != 2)
            return bad();
        offset = (h * 60 + m) * 60;
        if (zone[0] == '-') offset = -offset;
    }
    return (static_cast<int64_t>(::timegm(&tm)) - offset) * kSecond + nanos;
}

}  // namespace drover
