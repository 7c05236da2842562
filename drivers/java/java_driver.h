// SPDX-License-Identifier: Apache-2.0
// java: a JVM in a container of its own, isolated as exec's tasks (drivers/oci/container_driver.h).
#pragma once
#include "drivers/java/java_command.h"
#include "drivers/oci/container_driver.h"

namespace drover::drivers {

class JavaDriver final : public oci::ContainerDriver {
 public:
    std::string name() const override { return "java"; }
    sdk::Fingerprint fingerprint() override;

 protected:
    sdk::HclSpec command_schema() const override { return java_task_schema().spec(); }
    Result<std::vector<std::string>> command_line(const sdk::TaskConfig& task,
                                                  const std::vector<ViewEntry>& view,
                                                  oci::Bundle& bundle) override;

 private:
    mutable std::mutex mutex_;
    std::string version_of_;  // asked for once for each binary: it costs a JVM's start
    JavaVersion version_;
};

}  // namespace drover::drivers
