// SPDX-License-Identifier: Apache-2.0
// The config blocks of qemu: the agent's plugin block and a task's; and what the driver writes down about a
// machine.
#pragma once
#include "drover/config.h"

namespace drover::drivers {

struct QemuPluginConfig {
    std::vector<std::string> image_paths;     // directories beside the allocation's that images may be in
    std::vector<std::string> args_allowlist;  // flags that `args` may hold; empty: all
    std::vector<std::string> emulators_allowlist;  // names or absolute paths; empty: qemu-system-*
    std::string state_dir;                         // under a host that does not set DROVER_TASK_STATE_DIR
};

inline const sdk::Schema<QemuPluginConfig>& qemu_plugin_schema() {
    using C = QemuPluginConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("image_paths", &C::image_paths)
                                   .optional("args_allowlist", &C::args_allowlist)
                                   .optional("emulators_allowlist", &C::emulators_allowlist)
                                   .optional("state_dir", &C::state_dir);
    return schema;
}

struct QemuTaskConfig {
    std::string image_path;
    std::string drive_interface = "ide";
    std::string kernel;
    std::string initrd;
    std::string append;
    std::string accelerator = "tcg";
    std::string emulator = "qemu-system-x86_64";
    bool graceful_shutdown = false;
    bool guest_agent = false;
    std::map<std::string, int32_t> port_map;  // the port's label -> the port in the guest
    std::vector<std::string> args;
};

inline const sdk::Schema<QemuTaskConfig>& qemu_task_schema() {
    using C = QemuTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("image_path", &C::image_path)
                                   .optional("drive_interface", &C::drive_interface)
                                   .optional("kernel", &C::kernel)
                                   .optional("initrd", &C::initrd)
                                   .optional("append", &C::append)
                                   .optional("accelerator", &C::accelerator)
                                   .optional("emulator", &C::emulator)
                                   .optional("graceful_shutdown", &C::graceful_shutdown)
                                   .optional("guest_agent", &C::guest_agent)
                                   .optional("port_map", &C::port_map)
                                   .optional("args", &C::args);
    return schema;
}

// Kept in the task directory: what stop and exec need to know, also when only the task's id is left.
struct QemuRecord {
    bool graceful_shutdown = false;
    bool guest_agent = false;
};

inline const sdk::Schema<QemuRecord>& qemu_record_schema() {
    static const auto schema = sdk::Schema<QemuRecord>()
                                   .optional("graceful_shutdown", &QemuRecord::graceful_shutdown)
                                   .optional("guest_agent", &QemuRecord::guest_agent);
    return schema;
}

}  // namespace drover::drivers
