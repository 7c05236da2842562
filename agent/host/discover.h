// SPDX-License-Identifier: Apache-2.0
// Which files are plugins to launch: the bundled directory's executables, and those of plugin_dir that a
// `plugin` block names. Reads directories only; never runs anything. Called once by PluginHost::start.
#pragma once
#include <string>
#include <vector>

#include "agent/agent.h"

namespace drover::agent {

struct FoundPlugin {
    std::string file;  // path
    std::string key;   // the file's name without .exe: what a block's label and records are matched with
    bool bundled = false;
    // The block for it, if any: its label is the file's name, or that without drover-driver-, nomad-driver-
    // and the like.
    const PluginBlock* block = nullptr;
};

struct Discovery {
    std::vector<FoundPlugin> plugins;   // bundled ones first, each part sorted by name
    std::vector<std::string> warnings;  // whole log lines
};

// Pointers in the answer are into `blocks`. An empty `plugin_dir` has no plugins.
Discovery discover_plugins(const std::string& bundled_dir, const std::string& plugin_dir,
                           const std::vector<PluginBlock>& blocks);

}  // namespace drover::agent
