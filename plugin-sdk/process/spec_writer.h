// SPDX-License-Identifier: Apache-2.0
// ProcessSpec -> the bytes of a task directory's `spec`, and back as far as recovery needs it.
#pragma once
#include <string>

#include "base/result.h"
#include "base/sys/shim_wire.h"
#include "drover/process_task.h"

namespace drover::sdk {

// Where the shim itself goes: files to write "0" to.
struct SpecPlaces {
    std::vector<std::string> shim_join;
    std::vector<std::string> task_join;  // v1
    std::string task_cgroup2;            // v2
    std::string kill_freezer;            // v1
    std::string kill_cgroup2;            // v2
    std::vector<std::string> oom_files;
};

// InvalidArgument names the field: relative paths, NUL bytes, sizes.
Result<std::string> encode_spec(const ProcessSpec& spec, const SpecPlaces& places);

// What a successor needs to know: the id and the group's path (either may be empty).
struct SpecSummary {
    std::string task_id;
    std::string cgroup;
};
Result<SpecSummary> read_spec_summary(const std::string& file);

// The spec's environment, working directory, user and cgroup; without a command.
Result<ExecProgram> read_spec_program(const std::string& file);

}  // namespace drover::sdk
