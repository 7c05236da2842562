// SPDX-License-Identifier: Apache-2.0
// The keys of exec's task config beside those of the isolation (oci/isolation_config.h).
#pragma once
#include "drover/config.h"

namespace drover::drivers {

struct ExecTaskConfig {
    std::string command;
    std::vector<std::string> args;
};

inline const sdk::Schema<ExecTaskConfig>& exec_task_schema() {
    using C = ExecTaskConfig;
    static const auto schema = sdk::Schema<C>().required("command", &C::command).optional("args", &C::args);
    return schema;
}

}  // namespace drover::drivers
