// SPDX-License-Identifier: Apache-2.0
// Features of the running kernel that jobs may ask for.
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fingerprint/detector.h"

namespace drover::fingerprint {

Status detect_kernel(const Input&, model::Node& node) {
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi > 0) set_attribute(node, "kernel.landlock", fmt::format("v{}", abi));
    return {};
}

}  // namespace drover::fingerprint
