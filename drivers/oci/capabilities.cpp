// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/capabilities.h"

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace drover::drivers::oci {
namespace {

const std::set<std::string>& known_capabilities() {
    static const std::set<std::string> names = {"audit_control",   "audit_read",   "audit_write",
                                                "block_suspend",   "bpf",          "checkpoint_restore",
                                                "chown",           "dac_override", "dac_read_search",
                                                "fowner",          "fsetid",       "ipc_lock",
                                                "ipc_owner",       "kill",         "lease",
                                                "linux_immutable", "mac_admin",    "mac_override",
                                                "mknod",           "net_admin",    "net_bind_service",
                                                "net_broadcast",   "net_raw",      "perfmon",
                                                "setfcap",         "setgid",       "setpcap",
                                                "setuid",          "sys_admin",    "sys_boot",
                                                "sys_chroot",      "sys_module",   "sys_nice",
                                                "sys_pacct",       "sys_ptrace",   "sys_rawio",
                                                "sys_resource",    "sys_time",     "sys_tty_config",
                                                "syslog",          "wake_alarm"};
    return names;
}

// The names in a list; "all" stands for everything.
Result<std::set<std::string>> parse(const std::vector<std::string>& list, std::string_view where) {
    std::set<std::string> out;
    for (const std::string& text : list) {
        std::string name = to_lower(trim(text));
        if (starts_with(name, "cap_")) name.erase(0, 4);
        if (name == "all") {
            out.insert(known_capabilities().begin(), known_capabilities().end());
        } else if (known_capabilities().count(name)) {
            out.insert(name);
        } else {
            return make_error(Code::InvalidArgument, "{}: \"{}\" is no capability", where, text);
        }
    }
    return out;
}

}  // namespace

const std::vector<std::string>& default_capabilities() {
    static const std::vector<std::string> names = {"audit_write", "chown",  "dac_override",     "fowner",  "fsetid",
                                                   "kill",        "mknod",  "net_bind_service", "setfcap", "setgid",
                                                   "setpcap",     "setuid", "sys_chroot"};
    return names;
}

Result<std::vector<std::string>> task_capabilities(const std::vector<std::string>& allowed,
                                                   const std::vector<std::string>& add,
                                                   const std::vector<std::string>& drop) {
    DROVER_TRY(auto permitted, parse(allowed.empty() ? default_capabilities() : allowed, "allow_caps"));
    DROVER_TRY(auto added, parse(add, "cap_add"));
    DROVER_TRY(auto dropped, parse(drop, "cap_drop"));
    std::vector<std::string> refused;
    for (const std::string& name : added)
        if (!permitted.count(name)) refused.push_back(name);
    if (!refused.empty()) {
        return make_error(Code::PermissionDenied, "cap_add: the agent's plugin config (allow_caps) does not allow {}",
                          join(refused, ", "));
    }
    std::set<std::string> result(default_capabilities().begin(), default_capabilities().end());
    std::erase_if(result, [&](const std::string& name) { return !permitted.count(name) || dropped.count(name); });
    // A drop of "all" with adds leaves the adds.
    result.insert(added.begin(), added.end());
    std::vector<std::string> out;
    for (const std::string& name : result) out.push_back("CAP_" + to_upper(name));
    return out;
}

}  // namespace drover::drivers::oci
