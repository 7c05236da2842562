// SPDX-License-Identifier: Apache-2.0
// The rows of the verb table under `job`.
#include "cli/job_file.h"
#include "cli/verb_flags.h"
#include "cli/verbs.h"

namespace drover::cli {

void add_job_file_verbs(std::vector<Command>& all) {
    constexpr std::string_view kPathArg = "This command takes one argument: <path>";
    all.push_back(
        {.name = "job run",
         .synopsis = "Run a new job or update an existing job",
         .usage = "[options] <path>",
         .description = "Reads the job file (\"-\" for standard input), submits the job, and follows its "
                        "evaluation and deployment "
                        "until they are done.\n\nExits with 0 when everything was placed and the deployment "
                        "succeeded, with 2 when "
                        "the evaluation could not place everything, with 1 on any other failure.",
         .flags = with(job_file_flags(),
                       {kDetach,
                        kVerbose,
                        kUi,
                        {"check-index", kText,
                         "Submit only when the job's modify index is this one; 0: only when it is new."},
                        {"output", kBool, "Print the job as JSON of the HTTP API instead of submitting it."},
                        {"policy-override", kBool, "Override soft-mandatory policies."},
                        {"preserve-counts", kBool, "Keep the counts of groups that exist already."},
                        {"preserve-resources", kBool, "Keep the resources of tasks that exist already."},
                        {"eval-priority", kInt, "The priority of the evaluation. Default: the job's."},
                        {"consul-namespace", kText, "The Consul namespace of the job."}}),
         .args_min = 1,
         .args_max = 1,
         .args_error = kPathArg,
         .run = job_run});
    all.push_back({.name = "job validate",
                   .synopsis = "Checks if a given job specification is valid",
                   .usage = "[options] <path>",
                   .description = "Checks the job file, with the agent's help when one can be reached, else "
                                  "as far as it goes here.",
                   .flags = job_file_flags(),
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kPathArg,
                   .run = job_validate});
    all.push_back(
        {.name = "job plan",
         .synopsis = "Dry-run a job update to determine its effects",
         .usage = "[options] <path>",
         .description = "Shows what submitting the job would change and whether everything could be placed. "
                        "Nothing is changed.\n\n"
                        "Exits with 0 when no allocation would be created or destroyed, with 1 when some "
                        "would, with 255 on an error.",
         .flags = with(job_file_flags(),
                       {kVerbose,
                        kTemplate,
                        {"diff", kBool, "Show the difference to the registered job. Default: true.", "true"},
                        {"json-output", kBool, "Print the plan as JSON."},
                        {"policy-override", kBool, "Override soft-mandatory policies."}}),
         .args_min = 1,
         .args_max = 1,
         .args_error = kPathArg,
         .run = job_plan,
         .client_error_exit = 255});
    all.push_back({.name = "job init",
                   .synopsis = "Create an example job file",
                   .usage = "[options] <filename>",
                   .description = "Writes an example job file, by default example.nomad.hcl. An existing "
                                  "file is never overwritten.",
                   .general = General::None,
                   .flags = {{"short", kBool, "The shortest useful job, without comments."}},
                   .args_max = 1,
                   .args_error = "This command takes no arguments or one: <filename>",
                   .run = job_init});
}

void add_job_verbs(std::vector<Command>& all) {
    constexpr std::string_view kJobArg = "This command takes one argument: <job>";
    all.push_back({.name = "job status",
                   .synopsis = "Display status information about a job",
                   .usage = "[options] <job>",
                   .description = "Shows a job (a prefix of its id is enough), or the list of jobs.",
                   .flags = {{"short", kBool, "Only the basic facts."},
                             {"evals", kBool, "Also the evaluations."},
                             {"all-allocs", kBool, "Also allocations of an earlier job with the same id."},
                             kJson,
                             kTemplate,
                             kVerbose,
                             kUi},
                   .args_max = 1,
                   .args_error = "This command takes either no arguments or one: <job>",
                   .run = job_status});
    all.push_back({.name = "job stop",
                   .synopsis = "Stop a running job and cancel its allocations",
                   .usage = "[options] <job>",
                   .flags = {kDetach,
                             kVerbose,
                             kYes,
                             {"purge", kBool, "Also remove the job, not only stop it."},
                             {"global", kBool, "In all regions of a multi-region job."},
                             {"no-shutdown-delay", kBool, "Ignore the shutdown_delay of groups and tasks."},
                             {"eval-priority", kInt, "The priority of the evaluation. Default: the job's."}},
                   .args_min = 1,
                   .args_max = -1,
                   .args_error = "This command takes at least one argument: <job>",
                   .run = job_stop});
    all.push_back({.name = "job inspect",
                   .synopsis = "Inspect a submitted job",
                   .usage = "[options] <job>",
                   .description = "Prints the job as JSON of the HTTP API, or with -hcl as it was written.",
                   .flags = {kJson,
                             kTemplate,
                             {"hcl", kBool, "Print the job file that was submitted."},
                             {"with-vars", kBool, "Accepted for compatibility."},
                             {"version", kInt, "This version instead of the current one."}},
                   .args_max = 1,
                   .args_error = kJobArg,
                   .run = job_inspect});
    all.push_back({.name = "job history",
                   .synopsis = "Display all tracked versions of a job",
                   .usage = "[options] <job>",
                   .flags = {{"p", kBool, "Show what each version has changed."},
                             {"full", kBool, "With -p: everything."},
                             {"version", kInt, "Only this version."},
                             kJson,
                             kTemplate},
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kJobArg,
                   .run = job_history});
    all.push_back({.name = "job allocs",
                   .synopsis = "List allocations for a job",
                   .usage = "[options] <job>",
                   .flags = {{"all", kBool, "Also those of an earlier job with the same id."},
                             kVerbose,
                             kJson,
                             kTemplate},
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kJobArg,
                   .run = job_allocs});
    all.push_back({.name = "job deployments",
                   .synopsis = "List deployments for a job",
                   .usage = "[options] <job>",
                   .flags = {{"latest", kBool, "Only the latest, in full."},
                             {"all", kBool, "Also those of an earlier job with the same id."},
                             kVerbose,
                             kJson,
                             kTemplate},
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kJobArg,
                   .run = job_deployments});
    all.push_back({.name = "job eval",
                   .synopsis = "Force an evaluation for a job",
                   .usage = "[options] <job_id>",
                   .flags = {{"force-reschedule", kBool,
                              "Reschedule failed allocations now, whatever their policy says."},
                             kDetach,
                             kVerbose},
                   .args_min = 1,
                   .args_max = 1,
                   .args_error = kJobArg,
                   .run = job_eval});
    all.push_back({.name = "job revert",
                   .synopsis = "Revert to a prior version of the job",
                   .usage = "[options] <job> <version>",
                   .flags = {kDetach, kVerbose},
                   .args_min = 2,
                   .args_max = 2,
                   .args_error = "This command takes two arguments: <job> <version>",
                   .run = job_revert});
}

}  // namespace drover::cli
