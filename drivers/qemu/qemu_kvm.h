// SPDX-License-Identifier: Apache-2.0
// Whether hardware virtualisation works on this machine: not whether /dev/kvm is there, but whether this qemu
// boots a guest with it. (Nested virtualisation may offer all of the interface and then never run an
// instruction.)
#pragma once
#include <string>

#include "base/result.h"

namespace drover::drivers {

// Boots a guest of one sector, made in `dir`, whose program ends qemu with a code of its own. Ok: it did. The
// Error says why kvm cannot be used. Blocks up to 10 s.
Status check_kvm(const std::string& emulator, const std::string& dir);

}  // namespace drover::drivers
