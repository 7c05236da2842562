// SPDX-License-Identifier: Apache-2.0
// job status (and `status` without an id): the list of jobs, or all about one.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/show.h"
#include "cli/support.h"
#include "cli/verbs.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

std::string yes(bool value) {
    return value ? "true" : "false";
}

// What is asked for one job, besides the job itself.
struct JobFacts {
    model::Job job;
    model::JobSummary summary;
    std::vector<model::AllocationListStub> allocs;
    std::vector<model::Evaluation> evals;
    model::Deployment deployment;  // empty id: none
};

class JobStatus {
 public:
    JobStatus(Invocation& in, api::Client& client) : in_(in), client_(client) {}

    int list();
    int show(const JobName& name);

 private:
    bool json() const { return wants_data(in_); }
    std::string one_as_json(const std::string& id, const api::QueryParams& scope, Error& error);
    bool fetch(const JobName& name, JobFacts& facts);
    void show_basics(const JobFacts& facts);
    void show_children(const JobFacts& facts);
    void show_summary(const JobFacts& facts);
    void show_evaluations(const JobFacts& facts);
    void show_failures(const JobFacts& facts);
    void show_deployment(const JobFacts& facts);
    void show_reschedules(const JobFacts& facts);
    void title(std::string_view text) { in_.io.line("\n" + in_.io.bold(text)); }

    Invocation& in_;
    api::Client& client_;
    const size_t length_ = id_length(in_);
    const bool verbose_ = length_ == kFullId;
};

int JobStatus::list() {
    auto reply = client_.get("/v1/jobs");
    if (!reply) return fail(in_, "Error querying jobs: {}", reply.error().message());
    auto jobs = get_list<model::JobListStub>(client_, "/v1/jobs");
    if (!jobs) return fail(in_, "Error querying jobs: {}", jobs.error().message());
    if (json()) {
        std::string out = "[";
        for (const auto& job : *jobs) {
            Error error;
            auto text = one_as_json(job.id(), {{"namespace", job.namespace_()}}, error);
            if (text.empty()) return fail(in_, "Error querying jobs: {}", error.message());
            out += (out.size() > 1 ? "," : "") + text;
        }
        return print_data(in_, out + "]");
    }
    if (jobs->empty()) {
        in_.io.line("No running jobs");
        return kExitOk;
    }
    in_.io.line(jobs_table(*jobs, client_.options().namespace_name == "*"));
    ui_hint(in_, client_, "View and manage Nomad jobs", "/ui/jobs");
    return kExitOk;
}

// The four parts under the names that Nomad's -json has; as the server sent them.
std::string JobStatus::one_as_json(const std::string& id, const api::QueryParams& scope, Error& error) {
    constexpr std::pair<std::string_view, std::string_view> kParts[] = {{"Allocations", "/allocations"},
                                                                        {"Evaluations", "/evaluations"},
                                                                        {"LatestDeployment", "/deployment"},
                                                                        {"Summary", "/summary"}};
    std::string out = "{";
    for (const auto& [key, tail] : kParts) {
        auto reply = client_.get(job_path(id, tail), scope);
        if (!reply) {
            error = reply.error();
            return "";
        }
        out += fmt::format("{}\"{}\":{}", out.size() > 1 ? "," : "", key, reply->body);
    }
    return out + "}";
}

bool JobStatus::fetch(const JobName& name, JobFacts& facts) {
    api::QueryParams scope = {{"namespace", name.namespace_name}};
    auto failed = [&](std::string_view what, const Error& error) {
        return fail(in_, "Error querying {}: {}", what, error.message()), false;
    };
    if (auto got = client_.get_message(job_path(name.id), facts.job, scope); !got)
        return failed("job", got.error());
    if (in_.on("short")) return true;
    if (auto got = client_.get_message(job_path(name.id, "/summary"), facts.summary, scope); !got)
        return failed("job summary", got.error());
    auto with_all = scope;
    if (in_.on("all-allocs")) with_all.emplace_back("all", "true");
    auto allocs = get_list<model::AllocationListStub>(client_, job_path(name.id, "/allocations"), with_all);
    if (!allocs) return failed("job allocations", allocs.error());
    facts.allocs = std::move(*allocs);
    auto evals = get_list<model::Evaluation>(client_, job_path(name.id, "/evaluations"), scope);
    if (!evals) return failed("job evaluations", evals.error());
    facts.evals = std::move(*evals);
    std::sort(facts.evals.begin(), facts.evals.end(),
              [](auto& a, auto& b) { return a.create_index() > b.create_index(); });
    if (auto got = client_.get_message(job_path(name.id, "/deployment"), facts.deployment, scope); !got)
        return failed("latest job deployment", got.error());
    return true;
}

void JobStatus::show_basics(const JobFacts& facts) {
    const auto& job = facts.job;
    std::vector<std::string> datacenters(job.datacenters().begin(), job.datacenters().end());
    auto status = job.status();
    if (job.stop()) status += " (stopped)";
    KeyValues pairs = {{"ID", job.id()},
                       {"Name", job.name()},
                       {"Submit Date", format_time(job.submit_time())},
                       {"Type", job.type()},
                       {"Priority", std::to_string(job.priority())},
                       {"Datacenters", join(datacenters, ",")},
                       {"Namespace", job.namespace_()},
                       {"Node Pool", job.node_pool()},
                       {"Status", status},
                       {"Periodic", yes(model::is_periodic(job))},
                       {"Parameterized", yes(model::is_parameterized(job))}};
    in_.io.line(key_values(pairs));
}

// Of periodic and parameterized jobs: what their children do.
void JobStatus::show_children(const JobFacts& facts) {
    const auto& job = facts.job;
    bool parameterized = model::is_parameterized(job);
    if (parameterized) {
        auto names = [](const auto& list) {
            return join(std::vector<std::string>(list.begin(), list.end()), ", ");
        };
        title("Parameterized Job");
        in_.io.line(key_values({{"Payload", job.parameterized_job().payload()},
                                {"Required Metadata", names(job.parameterized_job().meta_required())},
                                {"Optional Metadata", names(job.parameterized_job().meta_optional())}}));
    }
    const auto& children = facts.summary.children();
    title(parameterized ? "Parameterized Job Summary" : "Children Job Summary");
    in_.io.line(table({{"Pending", "Running", "Dead"},
                       {std::to_string(children.pending()), std::to_string(children.running()),
                        std::to_string(children.dead())}}));
    auto jobs = get_list<model::JobListStub>(client_, "/v1/jobs",
                                             {{"prefix", job.id() + "/"}, {"namespace", job.namespace_()}});
    std::vector<Row> rows = {{"ID", "Status"}};
    if (jobs)
        for (const auto& child : *jobs)
            if (child.parent_id() == job.id()) rows.push_back({child.id(), child.status()});
    title(parameterized ? "Dispatched Jobs" : "Previously Launched Jobs");
    if (rows.size() == 1)
        in_.io.line(parameterized ? "No dispatched instances of parameterized job found"
                                  : "No instances of periodic job found");
    else
        in_.io.line(table(rows));
}

void JobStatus::show_summary(const JobFacts& facts) {
    std::map<std::string, model::TaskGroupSummary> groups(facts.summary.summary().begin(),
                                                          facts.summary.summary().end());
    std::vector<Row> rows = {
        {"Task Group", "Queued", "Starting", "Running", "Failed", "Complete", "Lost", "Unknown"}};
    for (const auto& [name, s] : groups) {
        Row row = {name};
        for (auto count :
             {s.queued(), s.starting(), s.running(), s.failed(), s.complete(), s.lost(), s.unknown()})
            row.push_back(std::to_string(count));
        rows.push_back(std::move(row));
    }
    title("Summary");
    in_.io.line(table(rows));
}

void JobStatus::show_evaluations(const JobFacts& facts) {
    if (!verbose_ && !in_.on("evals")) return;
    std::vector<Row> rows = {{"ID", "Priority", "Triggered By", "Status", "Placement Failures"}};
    for (const auto& eval : facts.evals) {
        auto failures = eval.status() == model::kEvalStatusBlocked ? "N/A - In Progress"
                                                                   : yes(!eval.failed_tg_allocs().empty());
        rows.push_back({limit_id(eval.id(), length_), std::to_string(eval.priority()), eval.triggered_by(),
                        eval.status(), failures});
    }
    title("Evaluations");
    in_.io.line(table(rows));
}

// Why something is still waiting: the newest evaluation with failures, as long as one is blocked.
void JobStatus::show_failures(const JobFacts& facts) {
    const model::Evaluation* latest = nullptr;
    bool blocked = false;
    for (const auto& eval : facts.evals) {
        if (eval.status() == model::kEvalStatusBlocked) blocked = true;
        if (!eval.failed_tg_allocs().empty() && !latest) latest = &eval;
    }
    if (!latest || !blocked) return;
    title("Placement Failure");
    std::map<std::string, const model::AllocationMetric*> groups;
    for (const auto& [name, metrics] : latest->failed_tg_allocs()) groups[name] = &metrics;
    constexpr size_t kGroupsMax = 5;
    size_t shown = 0;
    for (const auto& [name, metrics] : groups) {
        if (shown == kGroupsMax) {
            in_.io.line(
                fmt::format("\nPlacement failures truncated. To see remainder run:\ndrover eval status {}",
                            latest->id()));
            return;
        }
        in_.io.line(fmt::format("{}Task Group {}:\n{}", shown++ > 0 ? "\n" : "", quoted(name),
                                metrics_text(*metrics, false, "  ")));
    }
}

void JobStatus::show_deployment(const JobFacts& facts) {
    if (facts.deployment.id().empty()) return;
    title("Latest Deployment");
    const auto& deployment = facts.deployment;
    in_.io.line(key_values({{"ID", limit_id(deployment.id(), length_)},
                            {"Status", deployment.status()},
                            {"Description", deployment.status_description()}}));
    if (deployment.task_groups().empty()) return;
    title("Deployed");
    in_.io.line(deployed_table(deployment));
}

void JobStatus::show_reschedules(const JobFacts& facts) {
    auto now = in_.io.clock();
    std::vector<Row> rows = {{"Task Group", "Eval ID", "Eval Time"}};
    for (const auto& alloc : facts.allocs) {
        if (alloc.followup_eval_id().empty()) continue;
        for (const auto& eval : facts.evals)
            if (eval.id() == alloc.followup_eval_id() && eval.wait_until() > now &&
                !model::eval_terminal(eval.status()))
                rows.push_back({alloc.task_group(), limit_id(eval.id(), length_),
                                relative_time(eval.wait_until(), now)});
    }
    if (rows.size() == 1) return;
    title("Future Rescheduling Attempts");
    in_.io.line(table(rows));
}

int JobStatus::show(const JobName& name) {
    if (json()) {
        Error error;
        auto text = one_as_json(name.id, {{"namespace", name.namespace_name}}, error);
        if (text.empty()) return fail(in_, "Error querying job: {}", error.message());
        return print_data(in_, "[" + text + "]");
    }
    JobFacts facts;
    if (!fetch(name, facts)) return kExitError;
    show_basics(facts);
    if (!in_.on("short")) {
        if (model::is_periodic(facts.job) || model::is_parameterized(facts.job)) {
            show_children(facts);
        } else {
            show_summary(facts);
            show_evaluations(facts);
            show_failures(facts);
            show_deployment(facts);
            show_reschedules(facts);
            title("Allocations");
            in_.io.line(allocs_table(facts.allocs, {verbose_, in_.io.clock()}));
        }
    }
    ui_hint(in_, client_, "View job details and metrics",
            fmt::format("/ui/jobs/{}@{}", name.id, name.namespace_name));
    return kExitOk;
}

}  // namespace

int job_status(Invocation& in) {
    auto client = make_client(in);
    if (!client) return kExitError;
    JobStatus view(in, *client);
    if (in.args.empty()) return view.list();
    auto name = resolve_job(in, *client, in.args[0], "Error querying job");
    if (!name) return kExitError;
    return view.show(*name);
}

}  // namespace drover::cli
