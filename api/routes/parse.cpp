// SPDX-License-Identifier: Apache-2.0
#include "api/routes/parse.h"

#include "api/context.h"
#include "base/strings.h"
#include "jobspec/job.h"
#include "model/canonicalize.h"

namespace drover::api {
namespace {

// On a pool thread: a hostile job file may take its time, but never the I/O threads'.
void parse_on_worker(const ExchangePtr& exchange, const model::JobsParseRequest& body) {
    jobspec::JobSource source;
    source.text = body.job_hcl();
    if (!body.variables().empty()) source.variable_files.push_back({"input.vars", body.variables()});
    source.strict = false;
    model::Job job;
    auto diagnostics = jobspec::parse_job(source, job);
    if (diagnostics.has_errors()) return exchange->fail(400, diagnostics.text());
    if (body.canonicalize()) model::canonicalize_api(job);
    exchange->reply_json(model::json::encode(job, {.view = model::json::View::Api}));
}

}  // namespace

void parse_job(const ExchangePtr& exchange) {
    model::JobsParseRequest body;
    if (!read_body(exchange, body)) return;
    if (trim(body.job_hcl()).empty()) return exchange->fail(400, "Job spec is empty");
    exchange->run_blocking([exchange, body] { parse_on_worker(exchange, body); });
}

}  // namespace drover::api
