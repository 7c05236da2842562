// SPDX-License-Identifier: Apache-2.0
// Where cgroup hierarchies are mounted: /proc/self/mountinfo, read once, since mounts of cgroups do not come
// and go.
#include <algorithm>

#include "base/files.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"

namespace drover::cgroup {
namespace {

// The kernel writes blanks and backslashes of paths as \040 and so on.
std::string unescape(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            int value = 0;
            for (size_t k = 1; k <= 3; ++k) value = value * 8 + (text[i + k] - '0');
            out += static_cast<char>(value);
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool is_controller(std::string_view option) {
    for (std::string_view known : {"cpu", "cpuacct", "cpuset", "memory", "freezer", "pids", "devices",
                                   "blkio", "net_cls", "net_prio", "perf_event", "hugetlb", "rdma", "misc"})
        if (option == known) return true;
    return starts_with(option, "name=");
}

}  // namespace

Layout parse_mounts(std::string_view mountinfo) {
    Layout layout;
    std::string unified;
    for (const std::string& line : split(mountinfo, '\n')) {
        // id parent dev root mountpoint options [optional...] - type source super-options
        std::vector<std::string> words = split(line, ' ');
        auto dash = std::find(words.begin(), words.end(), "-");
        if (words.size() < 6 || words.end() - dash < 4) continue;
        const std::string mount_point = unescape(words[4]);
        const std::string& type = *(dash + 1);
        if (type == "cgroup2" && unified.empty()) unified = mount_point;
        if (type != "cgroup") continue;
        for (const std::string& option : split(*(dash + 3), ','))
            if (is_controller(option) && !layout.hierarchy(option))
                layout.hierarchies.emplace_back(option, mount_point);
    }
    if (layout.hierarchy("cpu") || layout.hierarchy("memory") || layout.hierarchy("freezer")) {
        layout.version = Version::V1;
        if (!unified.empty()) layout.hierarchies.emplace_back("unified", unified);
    } else if (!unified.empty()) {
        layout.version = Version::V2;
        layout.root2 = unified;
        layout.hierarchies.clear();
    }
    return layout;
}

const Layout& mounted() {
    static const Layout layout = [] {
        auto text = read_file("/proc/self/mountinfo", 16u << 20);
        return text ? parse_mounts(*text) : Layout();
    }();
    return layout;
}

const std::string* Layout::hierarchy(std::string_view controller) const {
    for (const auto& [name, mount_point] : hierarchies)
        if (name == controller) return &mount_point;
    return nullptr;
}

std::vector<std::string> Layout::controllers() const {
    std::vector<std::string> names;
    if (version == Version::V2) {
        auto text = read_file(root2 + "/cgroup.controllers", 4096);
        if (text)
            for (const std::string& name : split(trim(*text), ' '))
                if (!name.empty()) names.push_back(name);
    } else {
        for (const auto& [name, mount_point] : hierarchies)
            if (name != "unified" && !starts_with(name, "name=")) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace drover::cgroup
