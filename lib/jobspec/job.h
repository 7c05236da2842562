// SPDX-License-Identifier: Apache-2.0
// A job file's text -> a job as the user wrote it (unset fields stay unset: model/canonicalize.h fills them).
// Called by the CLI on files and by the API for /v1/jobs/parse. Touches the outside only through the given
// environment.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "hcl/diagnostic.h"
#include "hcl/functions.h"
#include "model/fwd.h"

namespace drover::jobspec {

struct JobSource {
    std::string text;  // native HCL, or its JSON variant when the first byte that is no space is `{`
    std::string filename = "input.hcl";  // as diagnostics show it

    // Values for `variable` blocks, weakest first: environment (names without NOMAD_VAR_), files in order,
    // flags in order.
    std::map<std::string, std::string> environment;
    struct VariableFile {
        std::string filename;
        std::string text;
    };
    std::vector<VariableFile> variable_files;
    std::vector<std::pair<std::string, std::string>> variable_flags;
    bool strict = true;  // a flag or file value for an undeclared variable is an error, else a warning

    std::shared_ptr<const hcl::FunctionEnvironment> functions;  // null: no files, no randomness
};

// Fills `job` (which must be empty). Without errors in the result it is complete.
[[nodiscard]] hcl::Diagnostics parse_job(const JobSource& source, model::Job& job);

// API JSON: a bare job, or {"Job": {...}}. Errors name the field.
Status parse_job_json(std::string_view text, model::Job& job);

// Functions that read files below and beside `base_dir` and draw from the kernel's randomness: for the CLI.
std::shared_ptr<const hcl::FunctionEnvironment> local_environment(std::string base_dir);
// The NOMAD_VAR_* of this process, names stripped.
std::map<std::string, std::string> variables_of_environment();

}  // namespace drover::jobspec
