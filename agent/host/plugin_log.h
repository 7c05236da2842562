// SPDX-License-Identifier: Apache-2.0
// A plugin's stderr in the agent's log: hclog's JSON lines with their level and fields, everything else by
// its [LEVEL] tag. PluginLog collects bytes into lines and keeps what little state there is (after a panic
// all is an error). Not thread-safe: one per stream, on the instance's strand.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"

namespace drover::agent {

struct PluginLogLine {
    log::Level level = log::Level::Debug;
    std::string message;
    std::vector<std::pair<std::string, std::string>> fields;
};

class PluginLog {
 public:
    // Complete lines among `bytes` and what was left before; a line longer than kLogLineBytesMax comes in
    // pieces.
    std::vector<PluginLogLine> feed(std::string_view bytes);
    // The rest without a newline, when the stream has ended.
    std::vector<PluginLogLine> finish();
    // The last few lines, for "why did it exit": newest last, joined by "; ", bounded.
    std::string tail() const;

 private:
    PluginLogLine parse(std::string_view line);
    std::string partial_;
    std::vector<std::string> tail_;
    bool panicking_ = false;
};

// To the agent's log, component "client.driver_mgr.<plugin>".
void write_plugin_log(const std::string& plugin, const PluginLogLine& line);

}  // namespace drover::agent
