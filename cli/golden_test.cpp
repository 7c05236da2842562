// SPDX-License-Identifier: Apache-2.0
// What the verbs print. Each file of tests/golden/cli holds commands and their transcripts (stdout and stderr
// together, then the exit code); they run against the real HTTP server over a cluster that answers with
// responses recorded from Nomad (tests/golden/nomad/api), at a fixed time. With DROVER_REWRITE_GOLDEN=1 the
// files are written anew: review the diff.
#include <gtest/gtest.h>

#include "api/http_server.h"
#include "api/testing/fake_ports.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cli/testing/console.h"
#include "model/json/json.h"

namespace drover::cli {
namespace {

using api::testing::FakeCluster;
using api::testing::FakeNode;

const std::string kSamples = "tests/golden/nomad/api/";
const std::string kGolden = "tests/golden/cli/";

std::string sample(const std::string& name) {
    auto text = read_file(kSamples + name);
    EXPECT_TRUE(text) << text.error().message();
    return text ? *text : "";
}

template <class T>
T one(const std::string& name) {
    T message;
    auto decoded = model::json::decode(sample(name), message);
    EXPECT_TRUE(decoded) << name << ": " << decoded.error().message();
    return message;
}

template <class T>
void all(const std::string& name, google::protobuf::RepeatedPtrField<T>& into) {
    auto decoded =
        model::json::decode_list(sample(name), [&]() -> google::protobuf::Message& { return *into.Add(); });
    EXPECT_TRUE(decoded) << name << ": " << decoded.error().message();
}

bool has_prefix(const std::string& id, const std::string& prefix) {
    return id.compare(0, prefix.size(), prefix) == 0;
}

// Keeps what an id prefix selects, as the servers do.
template <class T>
void select(google::protobuf::RepeatedPtrField<T>& items, const std::string& prefix) {
    for (int i = items.size() - 1; i >= 0; --i)
        if (!has_prefix(items[i].id(), prefix)) items.DeleteSubrange(i, 1);
}

model::Evaluation blocked_eval(const std::string& id, bool blocked) {
    google::protobuf::RepeatedPtrField<model::Evaluation> evals;
    all("evaluations-failed-and-blocked.json", evals);
    for (auto& eval : evals)
        if ((eval.status() == "blocked") == blocked) {
            if (!id.empty()) eval.set_id(id);
            return eval;
        }
    return {};
}

class World {
 public:
    World() {
        log::configure({.level = log::Level::Off});
        fake_jobs();
        fake_evals();
        fake_nodes();
        fake_rest();
        node.usage = one<model::AllocResourceUsage>("alloc-stats.json");
        node.host = one<model::HostStats>("client-stats.json");
        google::protobuf::RepeatedPtrField<model::AllocFileInfo> files;
        all("fs-ls.json", files);
        node.files.assign(files.begin(), files.end());
        node.log_pieces = {"hello on 31627\n", "line 2\n", "line 3\n"};
        node.sections = {{"client", {{"node_id", node.id}, {"num_allocations", "2"}}}};
        node.plugins =
            R"({"Drivers":{},"Plugins":[{"Name":"exec","Type":"driver","Version":"0.1.0","APIVersion":"v0.1.0",)"
            R"("State":"healthy","Since":"2026-11-21T08:05:00Z","PID":4711,"Launches":2,"Reattached":false,)"
            R"("Bundled":true,"File":"/usr/lib/drover/plugins/drover-driver-exec","Reason":""},)"
            R"({"Name":"gpu","Type":"device","Version":"0.2.0","APIVersion":"v0.1.0","State":"backing off",)"
            R"("Since":"2026-11-21T08:14:58Z","PID":0,"Launches":7,"Reattached":false,"Bundled":false,)"
            R"("File":"/opt/plugins/gpu","Reason":"exited with code 3"}]})";
        api::HttpOptions options;
        options.bind = {"127.0.0.1:0"};
        options.cluster = &cluster;
        options.node = &node;
        options.agent.members = [](model::ServerMembers& members) {
            members = one<model::ServerMembers>("agent-members.json");
        };
        auto started = api::HttpServer::start(std::move(options));
        EXPECT_TRUE(started);
        server = std::move(*started);
    }

    FakeCluster cluster;
    FakeNode node;
    std::unique_ptr<api::HttpServer> server;

 private:
    void fake_jobs();
    void fake_evals();
    void fake_nodes();
    void fake_rest();

    int eval_polls_ = 0;
    int deployment_polls_ = 0;
};

void World::fake_jobs() {
    cluster.on<cluster::ListRequest, cluster::JobListResponse>(
        "Job.List", [](const auto& request) -> Result<cluster::JobListResponse> {
            cluster::JobListResponse response;
            all("jobs-list.json", *response.mutable_jobs());
            select(*response.mutable_jobs(), request.query().prefix());
            return response;
        });
    cluster.on<cluster::JobGetRequest, cluster::JobGetResponse>(
        "Job.Get", [](const auto& request) -> Result<cluster::JobGetResponse> {
            if (request.job_id() != "web") return make_error(Code::NotFound, "job not found");
            cluster::JobGetResponse response;
            *response.mutable_job() = one<model::Job>("job.json");
            return response;
        });
    cluster.on<cluster::JobGetRequest, cluster::JobSummaryResponse>(
        "Job.Summary", [](const auto&) -> Result<cluster::JobSummaryResponse> {
            cluster::JobSummaryResponse response;
            *response.mutable_summary() = one<model::JobSummary>("job-summary.json");
            return response;
        });
    cluster.on<cluster::JobAllocationsRequest, cluster::AllocListResponse>(
        "Job.Allocations", [](const auto&) -> Result<cluster::AllocListResponse> {
            cluster::AllocListResponse response;
            all("job-allocations.json", *response.mutable_allocs());
            return response;
        });
    cluster.on<cluster::JobGetRequest, cluster::EvalListResponse>(
        "Job.Evaluations", [](const auto&) -> Result<cluster::EvalListResponse> {
            cluster::EvalListResponse response;
            *response.add_evals() = blocked_eval("", false);
            *response.add_evals() = blocked_eval("", true);
            return response;
        });
    cluster.on<cluster::JobGetRequest, cluster::DeploymentGetResponse>(
        "Job.LatestDeployment", [](const auto&) -> Result<cluster::DeploymentGetResponse> {
            cluster::DeploymentGetResponse response;
            *response.mutable_deployment() = one<model::Deployment>("deployment.json");
            return response;
        });
    cluster.on<cluster::JobVersionsRequest, cluster::JobVersionsResponse>(
        "Job.Versions", [](const auto&) -> Result<cluster::JobVersionsResponse> {
            cluster::JobVersionsResponse response;
            auto versions = one<model::JobVersionsResponse>("job-versions.json");
            *response.mutable_versions() = versions.versions();
            *response.mutable_diffs() = versions.diffs();
            return response;
        });
    cluster.on<cluster::JobSubmissionRequest, cluster::JobSubmissionResponse>(
        "Job.Submission", [](const auto&) -> Result<cluster::JobSubmissionResponse> {
            cluster::JobSubmissionResponse response;
            *response.mutable_submission() = one<model::JobSubmission>("job-submission.json");
            return response;
        });
    cluster.on<cluster::JobRegisterRequest, cluster::JobRegisterResponse>(
        "Job.Register", [](const auto& request) -> Result<cluster::JobRegisterResponse> {
            if (request.enforce_index() && request.job_modify_index() != 11)
                return make_error(Code::FailedPrecondition,
                                  "rpc error: (Enforcing job modify index {}: job exists with conflicting "
                                  "job modify index: 11)",
                                  request.job_modify_index());
            if (request.job().task_groups(0).tasks(0).driver().empty())
                return make_error(Code::InvalidArgument, "1 error occurred:\n\t* Missing task driver\n\n");
            cluster::JobRegisterResponse response;
            response.set_eval_id(request.job().id() == "big"
                                     ? "b963e611-edfb-1f28-d9c1-352f533970bb"
                                     : one<model::Evaluation>("evaluation.json").id());
            if (request.job().id() == "web")
                response.set_warnings(
                    "1 warning:\n\n* group \"app\" defines services, but no shutdown_delay");
            return response;
        });
    cluster.on<cluster::JobDeregisterRequest, cluster::JobDeregisterResponse>(
        "Job.Deregister", [](const auto&) -> Result<cluster::JobDeregisterResponse> {
            cluster::JobDeregisterResponse response;
            response.set_eval_id(one<model::Evaluation>("evaluation.json").id());
            return response;
        });
    cluster.on<cluster::JobPlanRequest, cluster::JobPlanResponse>(
        "Job.Plan", [](const auto& request) -> Result<cluster::JobPlanResponse> {
            bool big = request.job().id() == "big";
            auto plan = one<model::JobPlanResponse>(big ? "plan-failed-placement.json" : "plan.json");
            cluster::JobPlanResponse response;
            *response.mutable_annotations() = plan.annotations();
            *response.mutable_failed_tg_allocs() = plan.failed_tg_allocs();
            *response.mutable_diff() = plan.diff();
            response.set_job_modify_index(plan.job_modify_index());
            response.set_warnings(plan.warnings());
            return response;
        });
    cluster.on<cluster::JobValidateRequest, cluster::JobValidateResponse>(
        "Job.Validate", [](const auto& request) -> Result<cluster::JobValidateResponse> {
            cluster::JobValidateResponse response;
            if (request.job().task_groups(0).tasks(0).driver().empty())
                response.set_error("1 error occurred:\n\t* Missing task driver\n\n");
            return response;
        });
}

void World::fake_evals() {
    cluster.on<cluster::EvalListRequest, cluster::EvalListResponse>(
        "Eval.List", [](const auto& request) -> Result<cluster::EvalListResponse> {
            cluster::EvalListResponse response;
            *response.add_evals() = one<model::Evaluation>("evaluation.json");
            *response.add_evals() = blocked_eval("", false);
            *response.add_evals() = blocked_eval("", true);
            select(*response.mutable_evals(), request.query().prefix());
            return response;
        });
    // Pending when first asked without an index, then complete: as a monitor sees it.
    cluster.on<cluster::EvalGetRequest, cluster::EvalGetResponse>(
        "Eval.Get", [this](const auto& request) -> Result<cluster::EvalGetResponse> {
            cluster::EvalGetResponse response;
            auto& eval = *response.mutable_eval();
            eval = one<model::Evaluation>("evaluation.json");
            if (request.eval_id() != eval.id()) eval = blocked_eval(request.eval_id(), false);
            response.mutable_meta()->set_index(static_cast<uint64_t>(++eval_polls_));
            if (request.query().min_index() == 0 && !request.related()) {
                eval.set_status("pending");
                eval.clear_deployment_id();
                eval.clear_failed_tg_allocs();
            }
            return response;
        });
    cluster.on<cluster::EvalGetRequest, cluster::AllocListResponse>(
        "Eval.Allocations", [this](const auto& request) -> Result<cluster::AllocListResponse> {
            cluster::AllocListResponse response;
            if (request.eval_id() != one<model::Evaluation>("evaluation.json").id()) return response;
            all("job-allocations.json", *response.mutable_allocs());
            response.mutable_allocs()->DeleteSubrange(1, response.allocs_size() - 1);
            auto& alloc = *response.mutable_allocs(0);
            alloc.set_create_index(1'000'000);
            alloc.set_desired_status("run");
            alloc.set_client_status(eval_polls_ % 2 == 1 ? "pending" : "running");
            alloc.set_client_description("Tasks are running");
            return response;
        });
    cluster.on<cluster::DeploymentGetRequest, cluster::DeploymentGetResponse>(
        "Deployment.Get", [this](const auto& request) -> Result<cluster::DeploymentGetResponse> {
            cluster::DeploymentGetResponse response;
            auto& deployment = *response.mutable_deployment();
            deployment = one<model::Deployment>("deployment.json");
            response.mutable_meta()->set_index(static_cast<uint64_t>(++deployment_polls_));
            if (request.query().min_index() == 0) {
                deployment.set_status("running");
                deployment.set_status_description("Deployment is running");
            }
            return response;
        });
    cluster.on<cluster::ListRequest, cluster::DeploymentListResponse>(
        "Deployment.List", [](const auto& request) -> Result<cluster::DeploymentListResponse> {
            cluster::DeploymentListResponse response;
            *response.add_deployments() = one<model::Deployment>("deployment.json");
            select(*response.mutable_deployments(), request.query().prefix());
            return response;
        });
}

void World::fake_nodes() {
    cluster.on<cluster::NodeListRequest, cluster::NodeListResponse>(
        "Node.List", [](const auto& request) -> Result<cluster::NodeListResponse> {
            if (request.query().prefix().find_first_not_of("0123456789abcdef-") != std::string::npos)
                return make_error(
                    Code::Internal,
                    "node lookup failed: index error: Invalid UUID: encoding/hex: invalid byte: U+007A 'z'");
            cluster::NodeListResponse response;
            all("nodes-list.json", *response.mutable_nodes());
            select(*response.mutable_nodes(), request.query().prefix());
            return response;
        });
    cluster.on<cluster::NodeGetRequest, cluster::NodeGetResponse>(
        "Node.Get", [](const auto&) -> Result<cluster::NodeGetResponse> {
            cluster::NodeGetResponse response;
            *response.mutable_node() = one<model::Node>("node.json");
            return response;
        });
    cluster.on<cluster::NodeGetRequest, cluster::AllocGetManyResponse>(
        "Node.Allocations", [](const auto&) -> Result<cluster::AllocGetManyResponse> {
            cluster::AllocGetManyResponse response;
            *response.add_allocs() = one<model::Allocation>("allocation.json");
            return response;
        });
    cluster.on<cluster::NodeUpdateEligibilityRequest, cluster::NodeUpdateResponse>(
        "Node.UpdateEligibility",
        [](const auto&) -> Result<cluster::NodeUpdateResponse> { return cluster::NodeUpdateResponse(); });
    cluster.on<cluster::NodeUpdateDrainRequest, cluster::NodeUpdateResponse>(
        "Node.UpdateDrain",
        [](const auto&) -> Result<cluster::NodeUpdateResponse> { return cluster::NodeUpdateResponse(); });
}

void World::fake_rest() {
    node.id = one<model::Node>("node.json").id();
    node.alloc = one<model::Allocation>("allocation.json").id();
    cluster.on<cluster::AllocListRequest, cluster::AllocListResponse>(
        "Alloc.List", [](const auto& request) -> Result<cluster::AllocListResponse> {
            cluster::AllocListResponse response;
            all("job-allocations.json", *response.mutable_allocs());
            auto alloc = one<model::Allocation>("allocation.json");
            bool listed = false;
            for (const auto& stub : response.allocs()) listed |= stub.id() == alloc.id();
            if (!listed) response.add_allocs()->set_id(alloc.id());
            select(*response.mutable_allocs(), request.query().prefix());
            return response;
        });
    cluster.on<cluster::AllocGetRequest, cluster::AllocGetResponse>(
        "Alloc.Get", [](const auto& request) -> Result<cluster::AllocGetResponse> {
            cluster::AllocGetResponse response;
            *response.mutable_alloc() = one<model::Allocation>("allocation.json");
            if (response.alloc().id() != request.alloc_id())
                return make_error(Code::NotFound, "alloc not found");
            return response;
        });
    cluster.on<cluster::AllocStopRequest, cluster::AllocStopResponse>(
        "Alloc.Stop", [](const auto&) -> Result<cluster::AllocStopResponse> {
            cluster::AllocStopResponse response;
            response.set_eval_id(one<model::Evaluation>("evaluation.json").id());
            return response;
        });
    cluster.on<cluster::StatusRequest, cluster::LeaderResponse>(
        "Cluster.Leader", [](const auto&) -> Result<cluster::LeaderResponse> {
            cluster::LeaderResponse response;
            response.set_address("127.0.0.1:14647");
            return response;
        });
    cluster.on<cluster::StatusRequest, cluster::StatsResponse>(
        "Cluster.Stats", [](const auto&) -> Result<cluster::StatsResponse> {
            cluster::StatsResponse response;
            (*(*response.mutable_sections())["nomad"].mutable_values())["leader"] = "true";
            return response;
        });
    cluster.on<cluster::StatusRequest, cluster::WriteMeta>(
        "Cluster.GarbageCollect",
        [](const auto&) -> Result<cluster::WriteMeta> { return cluster::WriteMeta(); });
    cluster.on<cluster::ListRequest, cluster::SchedulerConfigResponse>(
        "Cluster.SchedulerConfig", [](const auto&) -> Result<cluster::SchedulerConfigResponse> {
            cluster::SchedulerConfigResponse response;
            *response.mutable_config() =
                one<model::SchedulerConfigurationResponse>("scheduler-config.json").scheduler_config();
            return response;
        });
    cluster.on<cluster::ListRequest, cluster::NamespaceListResponse>(
        "Cluster.Namespaces", [](const auto&) -> Result<cluster::NamespaceListResponse> {
            cluster::NamespaceListResponse response;
            all("namespaces.json", *response.mutable_namespaces());
            return response;
        });
    cluster.on<cluster::SearchRequest, cluster::SearchResponse>(
        "Cluster.Search", [](const auto& request) -> Result<cluster::SearchResponse> {
            cluster::SearchResponse response;
            if (request.prefix() == "web") (*response.mutable_contexts())["jobs"].add_ids("web");
            if (request.prefix() == "c9") {
                (*response.mutable_contexts())["nodes"].add_ids("c91e127f");
                (*response.mutable_contexts())["evals"].add_ids("c9aaaaaa");
            }
            return response;
        });
}

// ---- the files
// -----------------------------------------------------------------------------------------------------------

const bool rewriting = std::getenv("DROVER_REWRITE_GOLDEN") != nullptr;

// "drover job plan -var 'a b' x" -> words; quotes group, nothing is expanded.
std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    std::string word;
    bool any = false;
    char quote = 0;
    for (char c : line) {
        if (quote) {
            if (c == quote)
                quote = 0;
            else
                word += c;
        } else if (c == '\'' || c == '"') {
            quote = c;
            any = true;
        } else if (c == ' ') {
            if (any) words.push_back(std::exchange(word, ""));
            any = false;
        } else {
            word += c;
            any = true;
        }
    }
    if (any) words.push_back(word);
    return words;
}

// Runs `$ [NAME=value...] drover ...`, optionally with `< text` as its input.
std::string transcript(const std::string& command) {
    World world;
    testing::Console console;
    auto line = command;
    if (auto input = line.find(" < "); input != std::string::npos) {
        console.input.str(line.substr(input + 3) + "\n");
        line.resize(input);
    }
    auto argv = words_of(line);
    std::vector<std::string> set;
    ::setenv("NOMAD_ADDR", ("http://" + world.server->addresses()[0]).c_str(), 1);
    while (!argv.empty() && argv[0].find('=') != std::string::npos) {
        auto equals = argv[0].find('=');
        ::setenv(argv[0].substr(0, equals).c_str(), argv[0].substr(equals + 1).c_str(), 1);
        set.push_back(argv[0].substr(0, equals));
        argv.erase(argv.begin());
    }
    EXPECT_EQ(argv.at(0), "drover");
    argv.erase(argv.begin());
    for (auto& word : argv)
        if (ends_with(word, ".hcl") || ends_with(word, ".json")) word = kGolden + word;
    int code = run_command_line(argv, console.streams);
    for (const auto& name : set) ::unsetenv(name.c_str());
    ::unsetenv("NOMAD_ADDR");
    auto text = replace_all(console.both, kGolden, "");
    char here[4096];
    text = replace_all(text, std::string(::getcwd(here, sizeof here)) + "/", "<cwd>/");
    text = replace_all(text, world.server->addresses()[0], "<agent>");
    if (!text.empty() && !ends_with(text, "\n")) text += "\n";
    return fmt::format("{}[exit {}]\n", text, code);
}

TEST(Golden, TranscriptsAreAsRecorded) {
    auto names = list_dir(kGolden);
    ASSERT_TRUE(names) << names.error().message();
    int files = 0;
    for (const auto& name : *names) {
        if (!ends_with(name, ".txt")) continue;
        ++files;
        auto text = read_file(kGolden + name);
        ASSERT_TRUE(text);
        std::string head;
        std::string fresh;
        std::string wanted;
        std::string command;
        auto finish = [&] {
            if (command.empty()) return;
            auto got = transcript(command);
            fresh += fmt::format("$ {}\n{}\n", command, got);
            if (!rewriting) {
                while (ends_with(wanted, "\n\n")) wanted.pop_back();
                EXPECT_EQ(got, wanted) << name << ": $ " << command;
            }
            wanted.clear();
        };
        for (const auto& line : split(*text, '\n')) {
            if (starts_with(line, "$ ")) {
                finish();
                command = line.substr(2);
            } else if (command.empty()) {
                head += line + "\n";
            } else {
                wanted += line + "\n";
            }
        }
        finish();
        if (rewriting) {
            fresh.pop_back();
            ASSERT_TRUE(write_file(kGolden + name, head + fresh, 0644));
        }
    }
    EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace drover::cli
