// SPDX-License-Identifier: Apache-2.0
// exec: a program in a container of its own (oci/container_driver.h does all of it but the command line).
#pragma once
#include "drivers/exec/exec_config.h"
#include "drivers/oci/container_driver.h"

namespace drover::drivers {

class ExecDriver final : public oci::ContainerDriver {
 public:
    std::string name() const override { return "exec"; }

 protected:
    sdk::HclSpec command_schema() const override { return exec_task_schema().spec(); }
    Result<std::vector<std::string>> command_line(const sdk::TaskConfig& task, const std::vector<ViewEntry>& view,
                                                  oci::Bundle& bundle) override {
        DROVER_TRY(ExecTaskConfig config, exec_task_schema().decode(task.msgpack_driver_config));
        DROVER_TRY(std::string command, oci::find_in_container(config.command, task, view, bundle));
        std::vector<std::string> argv = {command};
        argv.insert(argv.end(), config.args.begin(), config.args.end());
        return argv;
    }
};

}  // namespace drover::drivers
