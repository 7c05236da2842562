// SPDX-License-Identifier: Apache-2.0
// What must be known to find a running plugin again after the agent died: one durable JSON file per plugin.
// Written before the instance is used, removed when it is known to be gone. Also the few facts about
// processes it is compared with.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "agent/host/handshake.h"
#include "base/fd.h"
#include "base/result.h"

namespace drover::agent {

struct PluginRecord {
    static constexpr int kVersion = 1;

    std::string boot_id;
    pid_t pid = 0;            // of the process that was launched
    uint64_t start_time = 0;  // its start in clock ticks since boot (/proc/<pid>/stat)
    pid_t peer_pid = 0;       // SO_PEERCRED of the socket: another one when a wrapper serves; 0 for tcp
    Handshake address;        // empty: the launch did not get that far; such a process is of no use to anyone
    std::string file;         // path of the executable
    std::string file_id;      // identify_file() of it, when it was launched
    std::string config_hash;  // of all that the agent gives it: arguments, config block, ports, topology
    std::string name;         // PluginInfo
    std::string type;
    std::string api_version;

    friend bool operator==(const PluginRecord&, const PluginRecord&) = default;
};

Status write_record(const std::string& path, const PluginRecord& record);
// NotFound when there is none; DataLoss when it cannot be understood (also when it is from a newer version).
Result<PluginRecord> read_record(const std::string& path);

Result<std::string> current_boot_id();
// Start time of a live process; NotFound when there is none (a zombie counts as none).
Result<uint64_t> process_start_time(pid_t pid);
Result<UniqueFd> open_pidfd(pid_t pid);
// "device:inode:size:mtime" of an executable: changes with every upgrade, costs nothing (its bytes are tens
// of MB, and the kernel does not let anyone write into the file of a running process).
Result<std::string> identify_file(const std::string& path);
std::string hash_text(std::string_view text);

}  // namespace drover::agent
