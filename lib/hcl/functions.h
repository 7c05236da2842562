// SPDX-License-Identifier: Apache-2.0
// The function tables. Pure but for what FunctionEnvironment brings in: files, randomness.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "hcl/eval.h"

namespace drover::hcl {

// What functions may ask of the outside. Paths are as the functions' rules made them: absolute.
class FunctionEnvironment {
 public:
    virtual ~FunctionEnvironment() = default;

    // Whether file(), fileset() ... may be used; when not they are errors that say so (jobs parsed by a
    // server).
    virtual bool files_allowed() const = 0;
    virtual std::string base_dir() const = 0;  // absolute; relative paths are taken from here
    virtual std::string home_dir() const = 0;  // for pathexpand("~/x")
    virtual Result<std::string> read_file(const std::string& path) const = 0;
    virtual bool file_exists(const std::string& path) const = 0;  // a regular file
    // Every regular file below `dir`, as paths relative to it, at most `entries_max` (else an error).
    virtual Result<std::vector<std::string>> files_below(const std::string& dir,
                                                         size_t entries_max) const = 0;
    virtual std::string random_bytes(size_t count) const = 0;  // uuidv4, bcrypt's salt
};

// No files, no home; random bytes from `random` (may be empty: then functions that need it are errors).
std::shared_ptr<const FunctionEnvironment> closed_environment(std::function<std::string(size_t)> random = {});

// Everything a job file may call.
Functions job_functions(std::shared_ptr<const FunctionEnvironment> environment);
// What a driver's config and the literals in a plugin's spec may call.
Functions plugin_functions();

}  // namespace drover::hcl
