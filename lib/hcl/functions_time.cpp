// SPDX-License-Identifier: Apache-2.0
// formatdate() and timeadd(): RFC 3339 timestamps in, text out. No clock: the time is always an argument.
#include <chrono>

#include <fmt/format.h>

#include "base/clock.h"
#include "hcl/function_tables.h"

namespace drover::hcl {

namespace {

struct Timestamp {
    int64_t seconds = 0;      // since 1970, UTC
    int64_t nanoseconds = 0;  // 0..999999999
    int offset_minutes = 0;   // east of UTC
};

// Digits at text[at], exactly `count` of them.
std::optional<int> digits(std::string_view text, size_t at, size_t count) {
    if (at + count > text.size()) return std::nullopt;
    int out = 0;
    for (size_t i = at; i < at + count; ++i) {
        if (text[i] < '0' || text[i] > '9') return std::nullopt;
        out = out * 10 + (text[i] - '0');
    }
    return out;
}

std::optional<Timestamp> parse_timestamp(std::string_view t) {
    auto year = digits(t, 0, 4), month = digits(t, 5, 2), day = digits(t, 8, 2);
    auto hour = digits(t, 11, 2), minute = digits(t, 14, 2), second = digits(t, 17, 2);
    if (!year || !month || !day || !hour || !minute || !second || t.size() < 20) return std::nullopt;
    if (t[4] != '-' || t[7] != '-' || (t[10] != 'T' && t[10] != 't') || t[13] != ':' || t[16] != ':')
        return std::nullopt;
    std::chrono::year_month_day date{std::chrono::year(*year),
                                     std::chrono::month(static_cast<unsigned>(*month)),
                                     std::chrono::day(static_cast<unsigned>(*day))};
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
    Timestamp out;
    size_t at = 19;
    if (t[at] == '.') {
        int64_t scale = 100'000'000;
        size_t first = ++at;
        for (; at < t.size() && t[at] >= '0' && t[at] <= '9'; ++at, scale /= 10)
            out.nanoseconds += (t[at] - '0') * scale;
        if (at == first) return std::nullopt;
    }
    std::string_view zone = t.substr(at);
    if (zone != "Z" && zone != "z") {
        auto zone_hour = digits(zone, 1, 2), zone_minute = digits(zone, 4, 2);
        if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || !zone_hour ||
            !zone_minute)
            return std::nullopt;
        if (*zone_hour > 23 || *zone_minute > 59) return std::nullopt;
        out.offset_minutes = (*zone_hour * 60 + *zone_minute) * (zone[0] == '-' ? -1 : 1);
    }
    int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    out.seconds = days * 86400 + *hour * 3600 + *minute * 60 + *second - out.offset_minutes * 60;
    return out;
}

struct Clockface {
    int year, month, day, weekday, hour, minute, second;
};

Clockface clockface(const Timestamp& time) {
    int64_t local = time.seconds + time.offset_minutes * 60;
    int64_t day_number = local >= 0 ? local / 86400 : (local - 86399) / 86400;
    auto rest = static_cast<int>(local - day_number * 86400);
    std::chrono::sys_days day{std::chrono::days(day_number)};
    std::chrono::year_month_day date(day);
    return {static_cast<int>(date.year()),
            static_cast<int>(static_cast<unsigned>(date.month())),
            static_cast<int>(static_cast<unsigned>(date.day())),
            static_cast<int>(std::chrono::weekday(day).c_encoding()),
            rest / 3600,
            rest / 60 % 60,
            rest % 60};
}

std::string zone_text(const Timestamp& time, bool colon, const char* utc) {
    if (time.offset_minutes == 0 && utc) return utc;
    int minutes = std::abs(time.offset_minutes);
    return fmt::format("{}{:02}{}{:02}", time.offset_minutes < 0 ? '-' : '+', minutes / 60, colon ? ":" : "",
                       minutes % 60);
}

constexpr std::string_view kMonths[] = {"January",   "February", "March",    "April",
                                        "May",       "June",     "July",     "August",
                                        "September", "October",  "November", "December"};
constexpr std::string_view kDays[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};

// One run of a letter; nullopt: no such verb.
std::optional<std::string> date_part(const std::string& verb, const Timestamp& time) {
    Clockface c = clockface(time);
    int twelve = c.hour % 12 == 0 ? 12 : c.hour % 12;
    std::string_view month = kMonths[c.month - 1], day = kDays[c.weekday];
    if (verb == "YYYY") return fmt::format("{:04}", c.year);
    if (verb == "YY") return fmt::format("{:02}", c.year % 100);
    if (verb == "MMMM") return std::string(month);
    if (verb == "MMM") return std::string(month.substr(0, 3));
    if (verb == "MM") return fmt::format("{:02}", c.month);
    if (verb == "M") return fmt::format("{}", c.month);
    if (verb == "DD") return fmt::format("{:02}", c.day);
    if (verb == "D") return fmt::format("{}", c.day);
    if (verb == "EEEE") return std::string(day);
    if (verb == "EEE") return std::string(day.substr(0, 3));
    if (verb == "hh") return fmt::format("{:02}", c.hour);
    if (verb == "h") return fmt::format("{}", c.hour);
    if (verb == "HH") return fmt::format("{:02}", twelve);
    if (verb == "H") return fmt::format("{}", twelve);
    if (verb == "AA") return c.hour < 12 ? "AM" : "PM";
    if (verb == "aa") return c.hour < 12 ? "am" : "pm";
    if (verb == "mm") return fmt::format("{:02}", c.minute);
    if (verb == "m") return fmt::format("{}", c.minute);
    if (verb == "ss") return fmt::format("{:02}", c.second);
    if (verb == "s") return fmt::format("{}", c.second);
    if (verb == "ZZZZZ") return zone_text(time, true, nullptr);
    if (verb == "ZZZZ") return zone_text(time, false, nullptr);
    if (verb == "ZZZ") return zone_text(time, false, "UTC");
    if (verb == "Z") return zone_text(time, true, "Z");
    return std::nullopt;
}

constexpr const char* kNotRfc3339 = "not a valid RFC3339 timestamp, like \"2024-05-13T07:44:12Z\"";

CallResult format_date(const Arguments& a) {
    std::optional<Timestamp> time = parse_timestamp(a[1].as_string());
    if (!time) return argument_error(1, kNotRfc3339);
    const std::string& format = a[0].as_string();
    std::string out;
    for (size_t i = 0; i < format.size();) {
        char c = format[i];
        if (c == '\'') {
            bool closed = false;
            for (++i; i < format.size(); ++i) {
                if (format[i] != '\'') {
                    out += format[i];
                } else if (i + 1 < format.size() && format[i + 1] == '\'') {
                    out += format[i++];
                } else {
                    closed = true;
                    ++i;
                    break;
                }
            }
            if (!closed) return argument_error(0, "unterminated literal '");
            continue;
        }
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter) {
            out += c;
            ++i;
            continue;
        }
        size_t end = i;
        while (end < format.size() && format[end] == c) ++end;
        std::string verb = format.substr(i, end - i);
        std::optional<std::string> part = date_part(verb, *time);
        if (!part) return argument_error(0, fmt::format("invalid date format verb {}", quote(verb)));
        out += *part;
        i = end;
    }
    return Value(std::move(out));
}

CallResult time_add(const Arguments& a) {
    std::optional<Timestamp> time = parse_timestamp(a[0].as_string());
    if (!time) return argument_error(0, kNotRfc3339);
    Result<int64_t> added = parse_duration(a[1].as_string());
    if (!added) return argument_error(1, added.error().message());
    int64_t nanoseconds = time->nanoseconds + *added % 1'000'000'000;
    int64_t carry = nanoseconds >= 1'000'000'000 ? 1 : nanoseconds < 0 ? -1 : 0;
    time->seconds += *added / 1'000'000'000 + carry;
    Clockface c = clockface(*time);
    if (c.year < 0 || c.year > 9999) return call_error("the result is beyond the years 0 to 9999");
    return Value(fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}", c.year, c.month, c.day, c.hour,
                             c.minute, c.second, zone_text(*time, true, "Z")));
}

}  // namespace

void add_time_functions(Functions& table) {
    table["formatdate"] = function({text("format"), text("time")}, Type::string(), format_date);
    table["timeadd"] = function({text("timestamp"), text("duration")}, Type::string(), time_add);
}

}  // namespace drover::hcl
