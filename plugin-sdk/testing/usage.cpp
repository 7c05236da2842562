// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/usage.h"

#include <unistd.h>

#include <map>
#include <vector>

#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"

namespace drover::sdk::testing {

Result<Usage> usage_of(pid_t pid) {
    const std::string process = fmt::format("/proc/{}", pid);
    Usage out;
    DROVER_TRY(auto threads, list_dir(process + "/task"));
    out.threads = static_cast<int64_t>(threads.size());
    DROVER_TRY(auto fds, list_dir(process + "/fd"));
    out.fds = static_cast<int64_t>(fds.size());
    for (const std::string& fd : fds) {
        char target[64] = {};
        if (::readlink((process + "/fd/" + fd).c_str(), target, sizeof target - 1) > 0 &&
            starts_with(target, "socket:"))
            ++out.sockets;
    }
    DROVER_TRY(std::string memory, read_file(process + "/smaps_rollup"));
    for (const std::string& line : split(memory, '\n')) {
        if (!starts_with(line, "Private_")) continue;
        const std::string_view rest = trim(std::string_view(line).substr(line.find(':') + 1));
        out.private_bytes += parse_int(rest.substr(0, rest.find(' '))).value_or(0) * 1024;
    }
    return out;
}

std::set<pid_t> descendants(pid_t root) {
    std::map<pid_t, std::vector<pid_t>> children;
    for (const std::string& entry : list_dir("/proc").value_or(std::vector<std::string>())) {
        auto pid = parse_int(entry);
        if (!pid) continue;
        const sys::ProcStat stat = sys::read_proc_stat(static_cast<pid_t>(*pid));
        if (stat.found && stat.state != 'Z' && stat.state != 'X')
            children[stat.parent].push_back(static_cast<pid_t>(*pid));
    }
    std::set<pid_t> out;
    std::vector<pid_t> todo{root};
    while (!todo.empty()) {
        const pid_t parent = todo.back();
        todo.pop_back();
        for (pid_t child : children[parent])
            if (out.insert(child).second) todo.push_back(child);
    }
    return out;
}

}  // namespace drover::sdk::testing
