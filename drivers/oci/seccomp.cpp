// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/seccomp.h"

#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace drover::drivers::oci {
namespace {

using nlohmann::json;

struct DeniedGroup {
    const char* unless;  // the capability that allows them; empty: none does
    int error_number;
    std::vector<const char*> calls;
};

// ENOSYS where programs have another way and take it on that answer.
const std::vector<DeniedGroup>& denied_groups() {
    static const std::vector<DeniedGroup> groups = {
        // Keyrings belong to users, not to namespaces.
        {"", EPERM, {"add_key", "keyctl", "request_key"}},
        {"", EPERM, {"kexec_file_load", "kexec_load", "userfaultfd"}},
        // Left from other times.
        {"", ENOSYS, {"_sysctl", "create_module", "get_kernel_syms", "nfsservctl", "query_module", "sysfs", "uselib",
                      "ustat", "vm86", "vm86old"}},
        {"", ENOSYS, {"io_uring_enter", "io_uring_register", "io_uring_setup"}},
        {"CAP_BPF", EPERM, {"bpf"}},
        {"CAP_DAC_READ_SEARCH", EPERM, {"open_by_handle_at"}},
        {"CAP_PERFMON", EPERM, {"perf_event_open"}},
        {"CAP_SYS_ADMIN", EPERM, {"fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "mount",
                                  "mount_setattr", "move_mount", "open_tree", "pivot_root", "quotactl", "quotactl_fd",
                                  "setns", "swapoff", "swapon", "umount", "umount2"}},
        {"CAP_SYS_BOOT", EPERM, {"reboot"}},
        {"CAP_SYS_MODULE", EPERM, {"delete_module", "finit_module", "init_module"}},
        {"CAP_SYS_PACCT", EPERM, {"acct"}},
        {"CAP_SYS_PTRACE", EPERM, {"kcmp", "process_vm_readv", "process_vm_writev"}},
        {"CAP_SYS_RAWIO", EPERM, {"ioperm", "iopl"}},
        {"CAP_SYS_TIME", EPERM, {"clock_settime", "clock_settime64", "settimeofday", "stime"}},
        {"CAP_SYSLOG", EPERM, {"syslog"}},
    };
    return groups;
}

json rule(std::vector<const char*> names, int error_number) {
    return {{"names", std::move(names)}, {"action", "SCMP_ACT_ERRNO"}, {"errnoRet", error_number}};
}

json rule_for_argument(const char* name, json argument) {
    json out = rule({name}, EPERM);
    out["args"] = json::array({std::move(argument)});
    return out;
}

json architectures() {
#if defined(__x86_64__)
    return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
    return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#else
#error "the seccomp names of this architecture"
#endif
}

}  // namespace

std::string default_seccomp_profile(const std::vector<std::string>& capabilities) {
    auto has = [&](std::string_view name) {
        return std::find(capabilities.begin(), capabilities.end(), name) != capabilities.end();
    };
    json rules = json::array();
    for (const DeniedGroup& group : denied_groups())
        if (!*group.unless || !has(group.unless)) rules.push_back(rule(group.calls, group.error_number));
    if (!has("CAP_SYS_ADMIN")) {
        // A user namespace of its own would give a task every capability over what is in it, and so most of the
        // kernel's attack surface back. clone3's flags are in memory, where no filter sees them: libcs fall back.
        for (const char* name : {"clone", "unshare"})
            rules.push_back(rule_for_argument(name, {{"index", 0},
                                                     {"value", CLONE_NEWUSER},
                                                     {"valueTwo", CLONE_NEWUSER},
                                                     {"op", "SCMP_CMP_MASKED_EQ"}}));
        rules.push_back(rule({"clone3"}, ENOSYS));
    }
    // Sockets to the hypervisor and into the kernel's crypto.
    for (int family : {AF_VSOCK, AF_ALG})
        rules.push_back(rule_for_argument("socket", {{"index", 0}, {"value", family}, {"op", "SCMP_CMP_EQ"}}));
    return json{{"defaultAction", "SCMP_ACT_ALLOW"}, {"architectures", architectures()}, {"syscalls", std::move(rules)}}
        .dump();
}

Result<std::string> load_seccomp_profile(const std::string& path) {
    constexpr uint64_t kBytesMax = 4u << 20;
    DROVER_TRY(std::string text, read_file(path, kBytesMax));
    json profile = json::parse(text, nullptr, false);
    if (!profile.is_object() || !profile.contains("defaultAction"))
        return make_error(Code::InvalidArgument, "seccomp_profile: {}: expected OCI's format, with a defaultAction",
                          path);
    return profile.dump();
}

}  // namespace drover::drivers::oci
