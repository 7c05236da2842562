// SPDX-License-Identifier: Apache-2.0
// Fuzz target: job files of strangers (/v1/jobs/parse takes them from the network). A job that parses goes on through
// defaults, checks, JSON and diff, as it would on a server.
#include "jobspec/job.h"
#include "model/canonicalize.h"
#include "model/diff.h"
#include "model/json/json.h"
#include "model/validate.h"
#include "proto/model/diff.pb.h"
#include "proto/model/job.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover;
    jobspec::JobSource source;
    source.text.assign(reinterpret_cast<const char*>(data), size);
    model::Job job;
    if (jobspec::parse_job(source, job).has_errors()) return 0;
    model::Job again;
    DROVER_ASSERT(model::json::decode(model::json::encode(job, {.view = model::json::View::Api}), again));
    model::canonicalize(job);
    auto once = model::json::encode(job);
    model::canonicalize(job);
    DROVER_ASSERT(once == model::json::encode(job));
    static_cast<void>(model::validation_errors(job).size());
    DROVER_ASSERT(model::diff_jobs(&job, &job, true).type() == "None");
    return 0;
}
