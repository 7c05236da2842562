// SPDX-License-Identifier: Apache-2.0
// Scanning of the two plugin directories; see the header.
#include "agent/host/discover.h"

#include <sys/stat.h>

#include <set>

#include "base/files.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

// A block may name the driver instead of its file; without running the file, the customary names tell.
constexpr std::string_view kPrefixes[] = {"drover-driver-", "drover-device-", "nomad-driver-",
                                          "nomad-device-"};

std::string key_of(const std::string& file_name) {
    if (ends_with(file_name, ".exe")) return file_name.substr(0, file_name.size() - 4);
    return file_name;
}

bool means(const PluginBlock& block, const FoundPlugin& plugin) {
    if (block.label == plugin.key) return true;
    for (auto prefix : kPrefixes) {
        if (starts_with(plugin.key, prefix) && block.label == plugin.key.substr(prefix.size())) return true;
    }
    return false;
}

void scan(const std::string& dir, bool bundled, const std::vector<PluginBlock>& blocks, Discovery* out) {
    auto names = list_dir(dir);
    if (!names) {
        const bool missing = names.error().code() == Code::NotFound;
        out->warnings.push_back(
            missing && !bundled
                ? fmt::format("skipping external plugins since plugin_dir doesn't exist: {}", dir)
                : fmt::format("plugin directory cannot be read, no plugins from it: {}",
                              names.error().message()));
        return;
    }
    for (const auto& name : *names) {
        const std::string path = join_path(dir, name);
        struct stat info {};
        if (::stat(path.c_str(), &info) !=
            0) {  // follows links: a dangling one is a warning here, not the end
            out->warnings.push_back(fmt::format("skipping plugin: {}", Error::from_errno(path).message()));
            continue;
        }
        if (S_ISDIR(info.st_mode)) {
            out->warnings.push_back(fmt::format("skipping sub-directory of the plugin directory: {}", path));
            continue;
        }
        if (!S_ISREG(info.st_mode) || (info.st_mode & 0111) == 0) {
            out->warnings.push_back(
                fmt::format("skipping file in the plugin directory that is not executable: {}", path));
            continue;
        }
        FoundPlugin plugin{path, key_of(name), bundled, nullptr};
        for (const auto& block : blocks) {
            if (means(block, plugin)) plugin.block = &block;
        }
        if (!bundled && !plugin.block) {
            out->warnings.push_back(fmt::format(
                "skipping plugin without a configuration block: {} (expected: plugin \"{}\" {{ ... }})", path,
                plugin.key));
            continue;
        }
        out->plugins.push_back(std::move(plugin));
    }
}

}  // namespace

Discovery discover_plugins(const std::string& bundled_dir, const std::string& plugin_dir,
                           const std::vector<PluginBlock>& blocks) {
    Discovery out;
    if (!bundled_dir.empty()) scan(bundled_dir, true, blocks, &out);
    if (!plugin_dir.empty()) scan(plugin_dir, false, blocks, &out);
    // The same key from plugin_dir replaces the bundled one: an operator put it there on purpose.
    std::set<std::string> external;
    for (const auto& plugin : out.plugins) {
        if (!plugin.bundled) external.insert(plugin.key);
    }
    std::erase_if(out.plugins, [&](const FoundPlugin& p) { return p.bundled && external.count(p.key) != 0; });
    for (const auto& block : blocks) {
        const bool used = std::any_of(out.plugins.begin(), out.plugins.end(),
                                      [&](const auto& p) { return p.block == &block; });
        if (!used) {
            out.warnings.push_back(
                fmt::format("plugin \"{}\" has a configuration block but no executable in {}{}", block.label,
                            bundled_dir, plugin_dir.empty() ? "" : " or " + plugin_dir));
        }
    }
    return out;
}

}  // namespace drover::agent
