// SPDX-License-Identifier: Apache-2.0
// Leveled log lines with a component name and key=value pairs, as Nomad's agents write them:
//   2026-11-21T10:00:00.123Z [INFO]  client.driver_mgr: driver healthy: driver=exec
// One write(2) a line. Thread-safe; configured once by main().
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace drover::log {

enum class Level { Trace, Debug, Info, Warn, Error, Off };

// "TRACE" "DEBUG" "INFO" "WARN" "ERROR" "OFF", any case; false when unknown.
bool parse_level(std::string_view text, Level* level);

enum class Format { Text, Json };
struct Options {
    Level level = Level::Info;
    Format format = Format::Text;
    std::string file;     // empty: stderr
    bool colour = false;  // only ever on terminals
    int fd = 2;           // where lines go when `file` is empty (the agent writes to stdout, as Nomad does)
};
void configure(const Options& options);
void set_level(Level level);
bool enabled(Level level);

// One value of a line; made from anything fmt can print.
struct Field {
    std::string_view key;
    std::string value;
    template <class T>
    Field(std::string_view k, const T& v) : key(k), value(fmt::format("{}", v)) {}
};
using Fields = std::initializer_list<Field>;

void write(Level level, std::string_view component, std::string_view message, Fields fields = {});

// A sink beside the configured one (`drover monitor`, tests); returns an id for remove_tap. Called with whole
// lines.
int add_tap(Level level, std::function<void(std::string_view line)> tap);
void remove_tap(int id);

inline void trace(std::string_view component, std::string_view message, Fields fields = {}) {
    if (enabled(Level::Trace)) write(Level::Trace, component, message, fields);
}
inline void debug(std::string_view component, std::string_view message, Fields fields = {}) {
    if (enabled(Level::Debug)) write(Level::Debug, component, message, fields);
}
inline void info(std::string_view component, std::string_view message, Fields fields = {}) {
    if (enabled(Level::Info)) write(Level::Info, component, message, fields);
}
inline void warn(std::string_view component, std::string_view message, Fields fields = {}) {
    if (enabled(Level::Warn)) write(Level::Warn, component, message, fields);
}
inline void error(std::string_view component, std::string_view message, Fields fields = {}) {
    if (enabled(Level::Error)) write(Level::Error, component, message, fields);
}

}  // namespace drover::log
