// SPDX-License-Identifier: Apache-2.0
// From a task's config to qemu's command line. Looks at files (images), makes and starts nothing.
#pragma once
#include <string>
#include <vector>

#include "drivers/qemu/qemu_config.h"
#include "drover/types.h"

namespace drover::drivers {

constexpr int64_t kQemuMemoryMinMb = 128;  // as in Nomad: less boots nothing that one would want
// What qemu itself may use beside the guest's memory: the emulator, its devices, and under tcg translated
// code, which is bounded below.
constexpr int64_t kQemuOverheadMb = 256;
constexpr int64_t kTranslatedCodeMb = 64;

constexpr char kQmpSocket[] = "qmp";
constexpr char kGuestAgentSocket[] = "agent";

// Everything but argv[0]. `socket_dir` is where the sockets will be: no commas, and short (108 bytes with the
// name). Errors name the field of the job that is wrong.
Result<std::vector<std::string>> qemu_arguments(const sdk::TaskConfig& task, const QemuTaskConfig& config,
                                                const QemuPluginConfig& plugin,
                                                const std::string& socket_dir);

// The emulator's absolute path. PermissionDenied: not one that the operator allows; NotFound: not installed.
Result<std::string> find_emulator(const std::string& name, const QemuPluginConfig& plugin,
                                  const std::string& search_path);

}  // namespace drover::drivers
