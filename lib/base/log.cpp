// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>
#include <atomic>
#include <chrono>
#include <ctime>
#include <map>
#include <mutex>

#include <nlohmann/json.hpp>

namespace drover::log {
namespace {

constexpr const char* kNames[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"};

struct Tap {
    Level level;
    std::function<void(std::string_view)> call;
};

struct State {
    std::mutex mutex;
    Options options;
    int fd = 2;
    std::map<int, Tap> taps;
    int next_tap = 1;
};
State& state() {
    static State* instance = new State;  // never destroyed: late threads may still log
    return *instance;
}
std::atomic<int> g_level{static_cast<int>(Level::Info)};

// In text milliseconds; in JSON exactly six digits, or a reader of hclog lines takes the line for plain text.
enum class Fraction { Ms, Us };
std::string timestamp(Fraction fraction) {
    auto now = std::chrono::system_clock::now();
    std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    auto us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
    std::tm tm{};
    ::gmtime_r(&seconds, &tm);
    std::string digits = fraction == Fraction::Us ? fmt::format("{:06}", us) : fmt::format("{:03}", us / 1000);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                       tm.tm_hour, tm.tm_min, tm.tm_sec, digits);
}

bool needs_quotes(std::string_view value) {
    if (value.empty()) return true;
    return value.find_first_of(" \t\r\n\"=") != std::string_view::npos;
}

// One line stays one line, whatever a value contains.
void append_value(std::string& line, std::string_view value) {
    if (!needs_quotes(value)) {
        line += value;
        return;
    }
    line += '"';
    for (char c : value) {
        if (c == '\n')
            line += "\\n";
        else if (c == '\r')
            line += "\\r";
        else if (c == '"')
            line += "\\\"";
        else
            line += c;
    }
    line += '"';
}

std::string text_line(Level level, std::string_view component, std::string_view message, Fields fields,
                      bool colour) {
    static constexpr const char* kColours[] = {"\033[35m", "\033[36m", "\033[32m",
                                               "\033[33m", "\033[31m", ""};
    std::string tag = fmt::format("[{}]", kNames[static_cast<int>(level)]);
    std::string line =
        fmt::format("{} {}{:<7}{} ", timestamp(Fraction::Ms), colour ? kColours[static_cast<int>(level)] : "", tag,
                    colour ? "\033[0m" : "");
    if (!component.empty()) line += fmt::format("{}: ", component);
    for (char c : message) line += c == '\n' ? ' ' : c;
    bool first = true;
    for (const Field& field : fields) {
        line += first ? ": " : " ";
        first = false;
        line += field.key;
        line += '=';
        append_value(line, field.value);
    }
    line += '\n';
    return line;
}

std::string json_line(Level level, std::string_view component, std::string_view message, Fields fields) {
    nlohmann::ordered_json object;
    std::string name = kNames[static_cast<int>(level)];
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    object["@level"] = name;
    object["@message"] = message;
    object["@module"] = component;
    object["@timestamp"] = timestamp(Fraction::Us);
    for (const Field& field : fields) object[std::string(field.key)] = field.value;
    return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

bool parse_level(std::string_view text, Level* level) {
    for (int i = 0; i < 6; ++i) {
        if (text.size() == std::string_view(kNames[i]).size() &&
            ::strncasecmp(text.data(), kNames[i], text.size()) == 0) {
            *level = static_cast<Level>(i);
            return true;
        }
    }
    if (text == "err" || text == "ERR") {
        *level = Level::Error;
        return true;
    }
    return false;
}

void configure(const Options& options) {
    State& s = state();
    std::lock_guard lock(s.mutex);
    s.options = options;
    s.fd = options.fd;
    if (!options.file.empty()) {
        int fd = ::open(options.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) s.fd = fd;
    }
    g_level.store(static_cast<int>(options.level), std::memory_order_relaxed);
}

void set_level(Level level) {
    std::lock_guard lock(state().mutex);
    state().options.level = level;
    int lowest = static_cast<int>(level);
    for (auto& [id, tap] : state().taps) lowest = std::min(lowest, static_cast<int>(tap.level));
    g_level.store(lowest, std::memory_order_relaxed);
}

bool enabled(Level level) {
    return static_cast<int>(level) >= g_level.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view component, std::string_view message, Fields fields) {
    State& s = state();
    std::lock_guard lock(s.mutex);
    std::string line = s.options.format == Format::Json
                           ? json_line(level, component, message, fields)
                           : text_line(level, component, message, fields, s.options.colour);
    if (level >= s.options.level) {
        // One write() a line: lines of several processes on one descriptor do not mix.
        ssize_t ignored = ::write(s.fd, line.data(), line.size());
        (void)ignored;
    }
    for (auto& [id, tap] : s.taps)
        if (level >= tap.level) tap.call(line);
}

int add_tap(Level level, std::function<void(std::string_view)> tap) {
    int id;
    Level current;
    {
        std::lock_guard lock(state().mutex);
        id = state().next_tap++;
        state().taps.emplace(id, Tap{level, std::move(tap)});
        current = state().options.level;
    }
    set_level(current);
    return id;
}

void remove_tap(int id) {
    Level current;
    {
        std::lock_guard lock(state().mutex);
        state().taps.erase(id);
        current = state().options.level;
    }
    set_level(current);
}

}  // namespace drover::log
