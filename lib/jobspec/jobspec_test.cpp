// SPDX-License-Identifier: Apache-2.0
// Goal: job files become the jobs that Nomad's own CLI makes of them, and bad ones are refused at their
// place. Method: tests/golden/jobspec/*.txt, text in, text out, and recorded answers. Commands (arguments:
// var:x=1 a flag, env:x=1 an environment variable, file:x=1 a variable file, loose: not strict):
//   job        the API JSON, without nulls and zeros
//   full       the API JSON as `job run -output` prints it
//   stored     the job as the server stores it, without nulls and zeros
//   validate   what is wrong with it and what is noteworthy
//   apijson    a job in API JSON, brief
#include <gtest/gtest.h>

#include "base/strings.h"
#include "jobspec/job.h"
#include "model/canonicalize.h"
#include "model/json/json.h"
#include "model/validate.h"
#include "proto/model/job.pb.h"
#include "tests/support/golden.h"
#include "tests/support/json_diff.h"

namespace drover::jobspec {
namespace {

JobSource source_of(const testing::GoldenCase& golden) {
    JobSource source;
    source.text = golden.input;
    source.filename = "job.hcl";
    for (const auto& argument : golden.arguments) {
        auto colon = argument.find(':');
        auto kind = argument.substr(0, colon);
        auto rest = colon == std::string::npos ? "" : argument.substr(colon + 1);
        auto equals = rest.find('=');
        auto name = rest.substr(0, equals);
        auto value = equals == std::string::npos ? "" : rest.substr(equals + 1);
        if (kind == "var") source.variable_flags.emplace_back(name, value);
        if (kind == "env") source.environment[name] = value;
        if (kind == "file") source.variable_files.push_back({"vars.hcl", name + " = " + value + "\n"});
        if (kind == "loose") source.strict = false;
    }
    return source;
}

std::string run(const testing::GoldenCase& golden) {
    model::Job job;
    std::string notes;
    if (golden.command == "apijson") {
        if (auto status = parse_job_json(golden.input, job); !status) return status.error().message();
    } else {
        auto diagnostics = parse_job(source_of(golden), job);
        if (diagnostics.has_errors()) return diagnostics.text();
        notes = diagnostics.text();
        if (!notes.empty()) notes += "\n";
    }
    constexpr model::json::EncodeOptions kApi{.view = model::json::View::Api, .indent = 4};
    if (golden.command == "full") return notes + model::json::encode(job, kApi);
    if (golden.command == "job" || golden.command == "apijson")
        return notes + testing::json_brief(model::json::encode(job, kApi));
    model::canonicalize(job);
    if (golden.command == "stored") return notes + testing::json_brief(model::json::encode(job));
    auto warnings = model::format_warnings(model::job_warnings(job));
    auto status = model::validate(job);
    auto verdict = status ? "valid\n" : status.error().message();
    while (verdict.ends_with("\n\n")) verdict.pop_back();
    return notes + verdict + warnings;
}

TEST(Jobspec, Golden) {
    testing::run_golden_files("tests/golden/jobspec", run);
}

TEST(Jobspec, EqualsARecordedParse) {
    JobSource source;
    source.text = R"(
job "p2" {
  type = "sysbatch"
  group "g" {
    max_client_disconnect = "1h"
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
      vault {}
    }
  }
})";
    model::Job job;
    auto diagnostics = parse_job(source, job);
    ASSERT_FALSE(diagnostics.has_errors()) << diagnostics.text();
    model::canonicalize_api(job);
    EXPECT_EQ(testing::json_differences(testing::golden_text("nomad/api/jobs-parse-canonicalized.json"),
                                        model::json::encode(job, {.view = model::json::View::Api})),
              "");
}

TEST(Jobspec, EqualsARecordedJob) {
    model::JobSubmission submission;
    ASSERT_TRUE(model::json::decode(testing::golden_text("nomad/api/job-submission.json"), submission));
    model::Job stored;
    ASSERT_TRUE(model::json::decode(testing::golden_text("nomad/api/job.json"), stored));
    JobSource source;
    source.text = submission.source();
    model::Job job;
    auto diagnostics = parse_job(source, job);
    ASSERT_FALSE(diagnostics.has_errors()) << diagnostics.text();
    model::canonicalize(job);
    // What later versions of the recorded job changed, and what the server keeps about it.
    auto& group = *job.mutable_task_groups(0);
    group.set_count(3);
    group.mutable_services(0)->set_tags(1, "v2");
    group.mutable_tasks(0)->mutable_resources()->set_memory_mb(96);
    (*group.mutable_tasks(0)->mutable_env())["EXTRA"] = "1";
    job.set_version(stored.version());
    job.set_stable(true);
    job.set_status("running");
    job.set_submit_time(stored.submit_time());
    job.set_create_index(stored.create_index());
    job.set_modify_index(stored.modify_index());
    job.set_job_modify_index(stored.job_modify_index());
    EXPECT_EQ(testing::json_differences(testing::golden_text("nomad/api/job.json"), model::json::encode(job)),
              "");
}

TEST(Jobspec, FilesAreReadOnlyWhereAllowed) {
    JobSource source;
    source.text = "job \"x\" {\n  meta = { a = file(\"/etc/hostname\") }\n}\n";
    model::Job job;
    auto refused = parse_job(source, job);
    EXPECT_TRUE(refused.has_errors());
    source.functions = local_environment("/");
    model::Job second;
    auto allowed = parse_job(source, second);
    EXPECT_FALSE(allowed.has_errors()) << allowed.text();
    EXPECT_FALSE(second.meta().at("a").empty());
}

}  // namespace
}  // namespace drover::jobspec
