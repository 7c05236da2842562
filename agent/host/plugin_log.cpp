// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/plugin_log.h"

#include <nlohmann/json.hpp>

#include "agent/host/limits.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

using nlohmann::json;

std::optional<log::Level> level_named(std::string_view name) {
    if (name == "trace") return log::Level::Trace;
    if (name == "debug") return log::Level::Debug;
    if (name == "info") return log::Level::Info;
    if (name == "warn") return log::Level::Warn;
    if (name == "error") return log::Level::Error;
    return std::nullopt;
}

std::optional<PluginLogLine> parse_hclog(std::string_view line) {
    if (line.empty() || line.front() != '{') return std::nullopt;
    json doc;
    try {
        doc = json::parse(
            line.begin(), line.end(), [](int depth, json::parse_event_t, json&) { return depth < 32; },
            false);
    } catch (const std::exception&) {
        return std::nullopt;
    }
    if (!doc.is_object()) return std::nullopt;
    const auto text = [&](const char* key) -> std::optional<std::string> {
        const auto it = doc.find(key);
        if (it == doc.end() || !it->is_string()) return std::nullopt;
        return it->get<std::string>();
    };
    const auto message = text("@message");
    const auto level = level_named(text("@level").value_or(""));
    if (!message || !level) return std::nullopt;
    PluginLogLine out{*level, *message, {}};
    for (const auto& [key, value] : doc.items()) {
        if (key == "@message" || key == "@level") continue;
        out.fields.emplace_back(key == "@timestamp" ? "timestamp" : key,
                                value.is_string()
                                    ? value.get<std::string>()
                                    : value.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    return out;
}

// What a foreign process wrote must not be able to forge lines or move the cursor.
std::string printable(std::string_view text) {
    std::string out;
    for (char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\t') || byte == 0x7f)
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out;
}

}  // namespace

std::vector<PluginLogLine> PluginLog::feed(std::string_view bytes) {
    std::vector<PluginLogLine> out;
    while (!bytes.empty()) {
        const auto newline = bytes.find('\n');
        const size_t take = std::min(newline == std::string_view::npos ? bytes.size() : newline,
                                     kLogLineBytesMax - partial_.size());
        partial_ += bytes.substr(0, take);
        bytes.remove_prefix(take);
        const bool complete = !bytes.empty() && bytes.front() == '\n';
        if (complete) bytes.remove_prefix(1);
        if (complete || partial_.size() >= kLogLineBytesMax) {
            if (!trim(partial_).empty()) out.push_back(parse(partial_));
            partial_.clear();
        }
    }
    return out;
}

std::vector<PluginLogLine> PluginLog::finish() {
    std::vector<PluginLogLine> out;
    if (!trim(partial_).empty()) out.push_back(parse(partial_));
    partial_.clear();
    return out;
}

PluginLogLine PluginLog::parse(std::string_view line) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    PluginLogLine out;
    if (auto structured = parse_hclog(line)) {
        out = std::move(*structured);
        out.message = printable(out.message);
        for (auto& [key, value] : out.fields) key = printable(key), value = printable(value);
    } else {
        static constexpr std::pair<std::string_view, log::Level> kTags[] = {{"[TRACE]", log::Level::Trace},
                                                                            {"[DEBUG]", log::Level::Debug},
                                                                            {"[INFO]", log::Level::Info},
                                                                            {"[WARN]", log::Level::Warn},
                                                                            {"[ERROR]", log::Level::Error}};
        if (starts_with(line, "panic: ") || starts_with(line, "fatal error: ")) panicking_ = true;
        out.level = panicking_ ? log::Level::Error : log::Level::Debug;
        for (const auto& [tag, level] : kTags) {
            if (starts_with(line, tag)) out.level = level;
        }
        out.message = printable(line);
    }
    constexpr size_t kTailLines = 3, kTailBytes = 300;
    tail_.push_back(out.message.substr(0, kTailBytes));
    if (tail_.size() > kTailLines) tail_.erase(tail_.begin());
    return out;
}

std::string PluginLog::tail() const {
    return join(tail_, "; ");
}

void write_plugin_log(const std::string& plugin, const PluginLogLine& line) {
    if (!log::enabled(line.level)) return;
    std::string message = line.message;
    // log::Fields is a fixed list; a plugin's fields are not, so they are appended in the same form.
    bool first = true;
    for (const auto& [key, value] : line.fields) {
        const bool quote = value.empty() || value.find_first_of(" \t\"=") != std::string::npos;
        message += fmt::format("{} {}={}", std::exchange(first, false) ? ":" : "", key,
                               quote ? fmt::format("\"{}\"", replace_all(value, "\"", "\\\"")) : value);
    }
    log::write(line.level, "client.driver_mgr." + plugin, message);
}

}  // namespace drover::agent
