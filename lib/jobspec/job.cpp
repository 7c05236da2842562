// SPDX-License-Identifier: Apache-2.0
// See job.h. The order: parse, variables, locals, dynamic blocks, decode.
#include "jobspec/job.h"

#include "hcl/parser.h"
#include "jobspec/job_blocks.h"
#include "jobspec/variables.h"
#include "model/json/json.h"
#include "proto/model/api.pb.h"

namespace drover::jobspec {

namespace {

// The one job block, or null after saying why not.
const hcl::Block* find_job(const hcl::BodyContent& content, hcl::Diagnostics& diagnostics) {
    auto jobs = content.blocks_of("job");
    if (jobs.empty()) {
        diagnostics.error("Missing job block", "A job block is required.", content.missing_item_range);
        return nullptr;
    }
    if (jobs.size() > 1) {
        diagnostics.error("Duplicate job block",
                          fmt::format("Only one job block is allowed. Another was defined at {}.",
                                      jobs[0]->def_range.text()),
                          jobs[1]->def_range);
        return nullptr;
    }
    return jobs[0];
}

// Blocks are decoded in the schema's order; people read from top to bottom.
hcl::Diagnostics by_line(const hcl::Diagnostics& diagnostics) {
    auto all = diagnostics.all();
    auto line = [](const hcl::Diagnostic& one) { return one.subject ? one.subject->start.line : 0; };
    std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) { return line(a) < line(b); });
    hcl::Diagnostics out;
    for (auto& one : all) out.add(std::move(one));
    return out;
}

}  // namespace

hcl::Diagnostics parse_job(const JobSource& source, model::Job& job) {
    hcl::Diagnostics diagnostics;
    auto file = hcl::parse(source.text, source.filename, diagnostics);
    if (diagnostics.has_errors()) return diagnostics;
    const hcl::BodySchema schema{
        {}, {{"job", {"name"}}, {"variable", {"name"}}, {"variables", {}}, {"locals", {}}}};
    auto content = file.body->content(schema, diagnostics);
    if (diagnostics.has_errors()) return diagnostics;
    const auto* block = find_job(content, diagnostics);
    if (block == nullptr) return diagnostics;

    auto environment = source.functions ? source.functions : hcl::closed_environment();
    auto functions = hcl::job_functions(environment);
    auto variables = resolve_variables(content.blocks_of("variable"), content.blocks_of("variables"), source,
                                       functions, diagnostics);
    report_unset(*block->body, variables.unset, diagnostics);
    if (diagnostics.has_errors()) return diagnostics;

    hcl::EvalContext context;
    context.functions = &functions;
    context.variables["var"] = variables.values;
    context.variables["local"] = resolve_locals(content.blocks_of("locals"), context, diagnostics);
    if (diagnostics.has_errors()) return diagnostics;

    // Names that nobody here knows are for the scheduler or the client: they stay as they are written.
    context.unknown_root = hcl::keep_literally;
    job.set_id(block->labels[0]);
    decode_job(*hcl::expand_dynamic(block->body, context), context, job, diagnostics);
    if (!job.has_name()) job.set_name(job.id());
    return by_line(diagnostics);
}

Status parse_job_json(std::string_view text, model::Job& job) {
    model::JobRegisterRequest request;
    DROVER_CHECK(model::json::decode(text, request));
    if (request.has_job()) {
        job.Swap(request.mutable_job());
        return {};
    }
    return model::json::decode(text, job);
}

}  // namespace drover::jobspec
