// SPDX-License-Identifier: Apache-2.0
// The SDK's driver of processes, as the bundled drivers use it.
#pragma once
#include "drover/process_driver.h"

namespace drover::drivers {

class ProcessDriver : public sdk::ProcessDriver {
 public:
    std::string version() const override { return "0.1.0"; }
};

}  // namespace drover::drivers
