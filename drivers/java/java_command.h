// SPDX-License-Identifier: Apache-2.0
// From a task's config to the JVM's command line, and what `java -version` says. Looks at files, starts
// nothing.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "drivers/common/command_path.h"
#include "drivers/java/java_config.h"
#include "drover/types.h"

namespace drover::drivers {

// Everything after "java". Paths are the task's, relative ones below work_dir. Errors name the field of the
// job.
Result<std::vector<std::string>> java_arguments(const sdk::TaskConfig& task, const JavaTaskConfig& config,
                                                const std::string& work_dir,
                                                const std::vector<ViewEntry>& view);

// The heap of a JVM that may use `memory_mb` in all: three quarters, but 256 MB are left for what is not heap
// (classes, code, threads, the collector) and at least half is given to it. 0: no limit, none is set.
int64_t java_heap_mb(int64_t memory_mb);

struct JavaVersion {
    std::string version;  // "17.0.13"
    std::string runtime;  // the second line, trimmed
    std::string vm;       // the third
};
// Of the text that `java -version` prints; nullopt when it is none. Lines before it (of JAVA_TOOL_OPTIONS)
// are skipped.
std::optional<JavaVersion> parse_java_version(const std::string& output);

}  // namespace drover::drivers
