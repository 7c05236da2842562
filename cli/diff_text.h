// SPDX-License-Identifier: Apache-2.0
// A job's difference as text: `job plan` and `job history -p`. Pure.
#pragma once
#include <string>

#include "model/fwd.h"

namespace drover::cli {

struct DiffOptions {
    bool verbose = false;  // also the inside of what was added or removed as a whole
    bool colour = false;
};

// No blank line at the end.
std::string diff_text(const model::JobDiff& diff, const DiffOptions& options);

}  // namespace drover::cli
