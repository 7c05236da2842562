// SPDX-License-Identifier: Apache-2.0
// The keys of a java task beside those of its isolation.
#pragma once
#include "drover/config.h"

namespace drover::drivers {

struct JavaTaskConfig {
    std::string jar_path;
    std::string class_name;
    std::string class_path;
    std::vector<std::string> jvm_options;
    std::vector<std::string> args;
};

inline const sdk::Schema<JavaTaskConfig>& java_task_schema() {
    using C = JavaTaskConfig;
    static const auto schema = sdk::Schema<C>()
                                   .optional("jar_path", &C::jar_path)
                                   .optional("class", &C::class_name)
                                   .optional("class_path", &C::class_path)
                                   .optional("jvm_options", &C::jvm_options)
                                   .optional("args", &C::args);
    return schema;
}

}  // namespace drover::drivers
