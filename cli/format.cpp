// SPDX-License-Identifier: Apache-2.0
#include "cli/format.h"

#include <cmath>
#include <ctime>

#include "base/clock.h"

namespace drover::cli {
namespace {

size_t characters(std::string_view text) {
    size_t count = 0;
    for (char c : text)
        if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++count;
    return count;
}

}  // namespace

std::string table(const std::vector<Row>& rows, Empty empty) {
    std::vector<size_t> widths;
    auto cell = [&](const std::string& text) -> std::string_view {
        return text.find_first_not_of(' ') == std::string::npos && empty == Empty::ShowNone
                   ? std::string_view("<none>")
                   : text;
    };
    for (const auto& row : rows) {
        if (widths.size() < row.size()) widths.resize(row.size());
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], characters(cell(row[i])));
    }
    std::string out;
    for (size_t r = 0; r < rows.size(); ++r) {
        if (r > 0) out += '\n';
        for (size_t i = 0; i < rows[r].size(); ++i) {
            auto text = cell(rows[r][i]);
            out += text;
            if (i + 1 < rows[r].size()) out.append(widths[i] - characters(text) + 2, ' ');
        }
    }
    return out;
}

std::string key_values(const KeyValues& pairs) {
    size_t width = 0;
    for (const auto& [key, value] : pairs) width = std::max(width, characters(key));
    std::string out;
    for (const auto& [key, value] : pairs) {
        if (!out.empty()) out += '\n';
        out += key;
        out.append(width - characters(key), ' ');
        out += " = ";
        out += value.empty() ? "<none>" : value;
    }
    return out;
}

std::string format_time(int64_t unix_ns) {
    if (unix_ns < kSecond) return "N/A";
    std::time_t seconds = static_cast<std::time_t>(unix_ns / kSecond);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    char text[64];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &local);
    if (local.tm_gmtoff == 0) return fmt::format("{}Z", text);
    auto offset = std::abs(local.tm_gmtoff) / 60;
    return fmt::format("{}{}{:02}:{:02}", text, local.tm_gmtoff < 0 ? '-' : '+', offset / 60, offset % 60);
}

std::string relative_time(int64_t unix_ns, int64_t now_ns) {
    if (unix_ns <= 0) return "";
    std::string_view suffix = now_ns >= unix_ns ? "ago" : "from now";
    int64_t seconds = (std::abs(now_ns - unix_ns) + kSecond / 2) / kSecond;
    struct Unit {
        int64_t seconds;
        std::string_view name;
    };
    constexpr Unit kUnits[] = {{int64_t{12} * 30 * 86400, "y"},
                               {int64_t{30} * 86400, "mo"},
                               {86400, "d"},
                               {3600, "h"},
                               {60, "m"},
                               {1, "s"}};
    std::string out;
    int shown = 0;
    for (const auto& unit : kUnits) {
        auto count = seconds / unit.seconds;
        seconds %= unit.seconds;
        if (shown == 0 && count == 0) continue;
        if (count > 0) out += fmt::format("{}{}", count, unit.name);
        if (++shown == 2) break;  // the two coarsest say enough
    }
    return fmt::format("{} {}", out.empty() ? "0s" : out, suffix);
}

std::string format_bytes(uint64_t bytes) {
    constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 10) return fmt::format("{} B", bytes);
    size_t unit = 0;
    double value = static_cast<double>(bytes);
    while (value >= 1024 && unit + 1 < std::size(kUnits)) {
        value /= 1024;
        ++unit;
    }
    value = std::floor(value * 10 + 0.5) / 10;
    return value < 10 && unit > 0 ? fmt::format("{:.1f} {}", value, kUnits[unit])
                                  : fmt::format("{:.0f} {}", value, kUnits[unit]);
}

std::string format_float(double value) {
    auto text = fmt::format("{:.3g}", value);
    return text == "-0" ? "0" : text;
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        switch (c) {
            case '"':
                out += "\\\"";
                break;
            case '\\':
                out += "\\\\";
                break;
            case '\n':
                out += "\\n";
                break;
            case '\t':
                out += "\\t";
                break;
            case '\r':
                out += "\\r";
                break;
            default:
                if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
                    out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
                else
                    out += c;
        }
    }
    return out + "\"";
}

std::string limit_id(std::string_view id, size_t length) {
    return std::string(id.substr(0, length));
}

}  // namespace drover::cli
