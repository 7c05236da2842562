// SPDX-License-Identifier: Apache-2.0
// job init: an example job file to start from. The short one runs as it is on any Linux agent with the exec
// driver.
#include "base/files.h"
#include "cli/job_examples.h"
#include "cli/support.h"
#include "cli/verbs.h"

namespace drover::cli {

int job_init(Invocation& in) {
    auto path = in.args.empty() ? std::string("example.nomad.hcl") : in.args[0];
    if (path_exists(path)) return fail(in, "Job '{}' already exists", path);
    auto written = write_file(path, in.on("short") ? kShortExample : kFullExample, 0644);
    if (!written) return fail(in, "Failed to write '{}': {}", path, written.error().message());
    in.io.line(fmt::format("Example job file written to {}", path));
    return kExitOk;
}

}  // namespace drover::cli
