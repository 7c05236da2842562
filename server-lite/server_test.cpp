// SPDX-License-Identifier: Apache-2.0
// A whole server in this process, asked through its ClusterPort as agents and the HTTP API ask it, with a
// client played by the test: it registers, polls its allocations and reports on them.
#include "server-lite/server.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/uuid.h"
#include "ports/cluster_port.h"
#include "proto/cluster/cluster.pb.h"
#include "server-lite/testing.h"

namespace drover::server {
namespace {

using namespace cluster;
using testing::ask;
using testing::FakeClient;

struct TempDir {
    TempDir() {
        char name[] = "/tmp/drover-server-test-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~TempDir() { (void)remove_tree(path); }
    std::string path;
};

std::unique_ptr<Server> start(const std::string& dir = "",
                              std::function<void(ServerOptions&)> change = nullptr) {
    ServerOptions options;
    options.data_dir = dir;
    if (change) change(options);
    auto server = Server::start(options);
    EXPECT_TRUE(server) << server.error().message();
    return std::move(*server);
}

JobRegisterResponse run(Server& server, const model::Job& job) {
    JobRegisterRequest request;
    *request.mutable_job() = job;
    auto response = ports::call_sync<JobRegisterResponse>(server.port(), "Job.Register", request);
    EXPECT_TRUE(response) << response.error().message();
    return response ? *response : JobRegisterResponse();
}

model::Job get_job(Server& server, const std::string& id) {
    JobGetRequest request;
    request.set_job_id(id);
    return ask<JobGetResponse>(server.port(), "Job.Get", request).job();
}

std::vector<model::AllocationListStub> allocs_of(Server& server, const std::string& job) {
    JobAllocationsRequest request;
    request.set_job_id(job);
    auto response = ask<AllocListResponse>(server.port(), "Job.Allocations", request);
    return {response.allocs().begin(), response.allocs().end()};
}

// Asks again whenever the job's state moves, until it is as wanted.
template <class Check>
bool eventually(Check&& check, int64_t limit = 10 * kSecond) {
    const int64_t end = mono_now() + limit;
    while (mono_now() < end) {
        if (check()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

TEST(Server, PlacesAJobAndFollowsItToItsEnd) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    auto registered = run(*server, testing::batch_job("hello", 3));
    EXPECT_FALSE(registered.eval_id().empty());
    EXPECT_EQ(registered.meta().index(), registered.job_modify_index());

    auto allocs = client.wait_for_allocs(3);
    ASSERT_EQ(allocs.size(), 3u);
    std::set<std::string> names;
    for (const auto& alloc : allocs) {
        names.insert(alloc.name());
        EXPECT_EQ(alloc.desired_status(), "run");
        EXPECT_EQ(alloc.client_status(), "pending");
        EXPECT_EQ(alloc.job().id(), "hello");
        EXPECT_EQ(alloc.node_id(), client.node.id());
        EXPECT_EQ(alloc.metrics().nodes_evaluated(), 1);
        ASSERT_EQ(alloc.metrics().score_meta_data_size(), 1);
        EXPECT_GT(alloc.allocated_resources().tasks().at("t").cpu().cpu_shares(), 0);
    }
    EXPECT_EQ(names, (std::set<std::string>{"hello.g[0]", "hello.g[1]", "hello.g[2]"}));
    ASSERT_TRUE(client.report(allocs, "running"));
    EXPECT_EQ(get_job(*server, "hello").status(), "running");
    ASSERT_TRUE(client.report(allocs, "complete"));
    EXPECT_TRUE(eventually([&] { return get_job(*server, "hello").status() == "dead"; }));

    JobGetRequest request;
    request.set_job_id("hello");
    auto summary = ask<JobSummaryResponse>(server->port(), "Job.Summary", request).summary();
    EXPECT_EQ(summary.summary().at("g").complete(), 3);
    EXPECT_EQ(summary.summary().at("g").running(), 0);
    EXPECT_EQ(summary.summary().at("g").queued(), 0);
}

TEST(Server, KeepsEverythingOverARestart) {
    TempDir dir;
    FakeClient* client = nullptr;
    std::unique_ptr<FakeClient> owner;
    model::Job before;
    std::vector<model::AllocationListStub> allocs;
    {
        auto server = start(dir.path);
        owner = std::make_unique<FakeClient>(server->port());
        client = owner.get();
        ASSERT_TRUE(client->register_node());
        run(*server, testing::service_job("web", 2));
        auto placed = client->wait_for_allocs(2);
        ASSERT_EQ(placed.size(), 2u);
        ASSERT_TRUE(client->report(placed, "running"));
        before = get_job(*server, "web");
        allocs = allocs_of(*server, "web");
    }
    // Once from the log alone, once from a snapshot and the log.
    for (uint64_t threshold : {uint64_t{8192}, uint64_t{1}, uint64_t{1}}) {
        auto server = start(dir.path, [&](ServerOptions& o) { o.snapshot_threshold = threshold; });
        EXPECT_EQ(get_job(*server, "web").SerializeAsString().size(), before.SerializeAsString().size());
        auto after = allocs_of(*server, "web");
        ASSERT_EQ(after.size(), allocs.size());
        for (size_t i = 0; i < after.size(); ++i) {
            EXPECT_EQ(after[i].id(), allocs[i].id());
            EXPECT_EQ(after[i].client_status(), "running");
            EXPECT_EQ(after[i].modify_index(), allocs[i].modify_index());
        }
        // The client goes on where it was: nothing is placed again, its secret still counts.
        FakeClient again(server->port());
        again.node = client->node;
        ASSERT_TRUE(again.register_node());
        EXPECT_EQ(again.wait_for_allocs(2).size(), 2u);
    }
}

TEST(Server, BlocksWithoutRoomAndGoesOnWhenThereIsSome) {
    auto server = start();
    auto job = testing::batch_job("big", 1);
    run(*server, job);
    JobGetRequest of;
    of.set_job_id("big");
    ASSERT_TRUE(eventually([&] {
        auto evals = ask<EvalListResponse>(server->port(), "Job.Evaluations", of).evals();
        return std::any_of(evals.begin(), evals.end(), [](const auto& e) { return e.status() == "blocked"; });
    }));
    EXPECT_EQ(get_job(*server, "big").status(), "pending");
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    EXPECT_EQ(client.wait_for_allocs(1).size(), 1u);
    EXPECT_TRUE(eventually([&] {
        auto evals = ask<EvalListResponse>(server->port(), "Job.Evaluations", of).evals();
        return std::none_of(evals.begin(), evals.end(),
                            [](const auto& e) { return e.status() == "blocked"; });
    }));
}

TEST(Server, SaysWhyNothingFits) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    auto job = testing::batch_job("toobig", 1);
    job.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->set_memory_mb(1 << 20);
    JobPlanRequest plan;
    *plan.mutable_job() = job;
    plan.set_diff(true);
    auto planned = ask<JobPlanResponse>(server->port(), "Job.Plan", plan);
    ASSERT_TRUE(planned.failed_tg_allocs().contains("g"));
    EXPECT_EQ(planned.failed_tg_allocs().at("g").dimension_exhausted().at("memory"), 1);
    EXPECT_EQ(planned.job_modify_index(), 0u);
    EXPECT_EQ(planned.diff().type(), "Added");
    ASSERT_EQ(planned.created_evals_size(), 1);
    EXPECT_EQ(planned.created_evals(0).status(), "blocked");
    JobGetRequest get;
    get.set_job_id("toobig");
    EXPECT_EQ(ports::call_sync<JobGetResponse>(server->port(), "Job.Get", get).error().code(),
              Code::NotFound);

    job.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->set_memory_mb(10);
    job.mutable_task_groups(0)->mutable_tasks(0)->set_driver("nothere");
    *plan.mutable_job() = job;
    planned = ask<JobPlanResponse>(server->port(), "Job.Plan", plan);
    EXPECT_EQ(planned.failed_tg_allocs().at("g").constraint_filtered().at("missing drivers"), 1);
}

TEST(Server, ChecksTheJobsIndex) {
    auto server = start();
    JobRegisterRequest request;
    *request.mutable_job() = testing::batch_job("checked", 1);
    request.set_enforce_index(true);
    request.set_job_modify_index(7);
    auto refused = ports::call_sync<JobRegisterResponse>(server->port(), "Job.Register", request);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), "Enforcing job modify index 7: job does not exist");
    request.set_job_modify_index(0);
    auto first = ask<JobRegisterResponse>(server->port(), "Job.Register", request);
    EXPECT_FALSE(ports::call_sync<JobRegisterResponse>(server->port(), "Job.Register", request));
    request.set_job_modify_index(first.job_modify_index());
    request.mutable_job()->set_priority(70);
    auto second = ask<JobRegisterResponse>(server->port(), "Job.Register", request);
    EXPECT_GT(second.job_modify_index(), first.job_modify_index());
    EXPECT_EQ(get_job(*server, "checked").version(), 1u);
    // The same once more is no new version.
    request.set_job_modify_index(second.job_modify_index());
    auto third = ask<JobRegisterResponse>(server->port(), "Job.Register", request);
    EXPECT_EQ(third.job_modify_index(), second.job_modify_index());
    EXPECT_EQ(get_job(*server, "checked").version(), 1u);
}

TEST(Server, StopsAndPurges) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    run(*server, testing::service_job("web", 2));
    auto allocs = client.wait_for_allocs(2);
    ASSERT_TRUE(client.report(allocs, "running"));
    JobDeregisterRequest stop;
    stop.set_job_id("web");
    auto stopped = ask<JobDeregisterResponse>(server->port(), "Job.Deregister", stop);
    EXPECT_FALSE(stopped.eval_id().empty());
    EXPECT_TRUE(client.wait_until([](const auto& all) {
        return std::all_of(all.begin(), all.end(),
                           [](const auto& a) { return a.desired_status() == "stop"; });
    }));
    ASSERT_TRUE(client.report(client.allocs(), "complete"));
    EXPECT_TRUE(eventually([&] { return get_job(*server, "web").status() == "dead"; }));
    EXPECT_TRUE(get_job(*server, "web").stop());
    stop.set_purge(true);
    ask<JobDeregisterResponse>(server->port(), "Job.Deregister", stop);
    JobGetRequest get;
    get.set_job_id("web");
    EXPECT_FALSE(ports::call_sync<JobGetResponse>(server->port(), "Job.Get", get));
    stop.set_job_id("never-was");
    EXPECT_TRUE(ask<JobDeregisterResponse>(server->port(), "Job.Deregister", stop).eval_id().empty());
}

TEST(Server, MovesAllocationsOffANodeThatIsNotHeardOf) {
    auto server = start("", [](ServerOptions& o) {
        o.heartbeat_min_ttl_ns = 20 * kMillisecond;
        o.heartbeat_grace_ns = 20 * kMillisecond;
    });
    FakeClient lost(server->port());
    ASSERT_TRUE(lost.register_node());
    run(*server, testing::service_job("web", 1));
    auto allocs = lost.wait_for_allocs(1);
    ASSERT_EQ(allocs.size(), 1u);
    NodeGetRequest get;
    get.set_node_id(lost.node.id());
    ASSERT_TRUE(eventually(
        [&] { return ask<NodeGetResponse>(server->port(), "Node.Get", get).node().status() == "down"; }));
    AllocGetRequest alloc;
    alloc.set_alloc_id(allocs[0].id());
    EXPECT_TRUE(eventually([&] {
        return ask<AllocGetResponse>(server->port(), "Alloc.Get", alloc).alloc().client_status() == "lost";
    }));
    FakeClient other(server->port());
    other.beat = true;
    ASSERT_TRUE(other.register_node());
    auto moved = other.wait_for_allocs(1);
    ASSERT_EQ(moved.size(), 1u);
    EXPECT_EQ(moved[0].name(), "web.g[0]");
    EXPECT_NE(moved[0].id(), allocs[0].id());
}

TEST(Server, ReplacesFailedAllocationsByPolicy) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    auto job = testing::batch_job("flaky", 1);
    auto& policy = *job.mutable_task_groups(0)->mutable_reschedule_policy();
    policy.set_attempts(1);
    policy.set_interval(kHour);
    policy.set_delay(5 * kSecond);
    policy.set_delay_function("constant");
    policy.set_unlimited(false);
    run(*server, job);
    auto first = client.wait_for_allocs(1);
    ASSERT_EQ(first.size(), 1u);
    // It failed long enough ago: the delay is over.
    ASSERT_TRUE(client.report(first, "failed", unix_now() - 10 * kSecond));
    ASSERT_TRUE(client.wait_until([](const auto& all) { return all.size() == 2; }));
    for (const auto& alloc : client.allocs()) {
        if (alloc.id() == first[0].id()) {
            EXPECT_EQ(alloc.desired_status(), "stop");
            EXPECT_EQ(alloc.desired_description(), "alloc was rescheduled because it failed");
            continue;
        }
        EXPECT_EQ(alloc.previous_allocation(), first[0].id());
        ASSERT_EQ(alloc.reschedule_tracker().events_size(), 1);
        EXPECT_EQ(alloc.reschedule_tracker().events(0).prev_alloc_id(), first[0].id());
        // The second failure is the last: one attempt an hour.
        ASSERT_TRUE(client.report({alloc}, "failed", unix_now() - 10 * kSecond));
    }
    EXPECT_TRUE(eventually([&] { return get_job(*server, "flaky").status() == "dead"; }));
    EXPECT_EQ(allocs_of(*server, "flaky").size(), 2u);
}

TEST(Server, RollsOutInStepsAsHealthComes) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    auto job = testing::service_job("web", 3);
    job.mutable_task_groups(0)->mutable_update()->set_max_parallel(1);
    run(*server, job);
    auto first = client.wait_for_allocs(3);
    ASSERT_TRUE(client.report_healthy(first));
    JobGetRequest of;
    of.set_job_id("web");
    auto latest = [&] {
        return ask<DeploymentGetResponse>(server->port(), "Job.LatestDeployment", of).deployment();
    };
    ASSERT_TRUE(eventually([&] { return latest().status() == "successful"; })) << latest().DebugString();
    EXPECT_TRUE(get_job(*server, "web").stable());

    (*job.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["NEW"] = "1";
    run(*server, job);
    for (size_t step = 1; step <= 3; ++step) {
        ASSERT_TRUE(client.wait_until([&](const auto& all) { return all.size() == 3 + step; }))
            << "step " << step;
        EXPECT_EQ(client.allocs().size(), 3 + step) << "one at a time";
        std::vector<model::Allocation> fresh, old;
        for (const auto& alloc : client.allocs())
            (alloc.desired_status() == "run" && alloc.job().version() == 1 ? fresh : old).push_back(alloc);
        EXPECT_EQ(fresh.size(), step);
        std::vector<model::Allocation> stopped;
        for (const auto& alloc : old)
            if (alloc.desired_status() == "stop") stopped.push_back(alloc);
        ASSERT_TRUE(client.report(stopped, "complete"));
        ASSERT_TRUE(client.report_healthy(fresh));
    }
    EXPECT_TRUE(eventually([&] { return latest().status() == "successful" && latest().job_version() == 1; }))
        << latest().DebugString();
}

TEST(Server, AnswersBlockingQueriesWhenTheIndexMoves) {
    auto server = start();
    ListRequest request;
    auto first = ask<JobListResponse>(server->port(), "Job.List", request);
    EXPECT_GE(first.meta().index(), 1u);
    request.mutable_query()->set_min_index(first.meta().index());
    request.mutable_query()->set_max_wait_ns(20 * kMillisecond);
    auto same =
        ask<JobListResponse>(server->port(), "Job.List", request);  // the wait is over, nothing has moved
    EXPECT_EQ(same.jobs_size(), 0);
    request.mutable_query()->set_max_wait_ns(30 * kSecond);
    std::promise<Result<JobListResponse>> answer;
    ports::call<JobListResponse>(server->port(), "Job.List", request,
                                 [&](auto r) { answer.set_value(std::move(r)); });
    run(*server, testing::batch_job("j", 1));
    auto moved = answer.get_future().get();
    ASSERT_TRUE(moved);
    EXPECT_GT(moved->meta().index(), first.meta().index());
    EXPECT_EQ(moved->jobs_size(), 1);

    auto cancel = std::make_shared<ports::CancelToken>();
    std::promise<Result<JobListResponse>> cancelled;
    request.mutable_query()->set_min_index(1'000'000);
    ports::call<JobListResponse>(
        server->port(), "Job.List", request, [&](auto r) { cancelled.set_value(std::move(r)); }, cancel);
    cancel->cancel();
    EXPECT_EQ(cancelled.get_future().get().error().code(), Code::Cancelled);
}

TEST(Server, RefusesOtherNodesSecrets) {
    auto server = start();
    FakeClient client(server->port());
    ASSERT_TRUE(client.register_node());
    FakeClient thief(server->port());
    thief.node = client.node;
    thief.node.set_secret_id(new_uuid());
    EXPECT_FALSE(thief.register_node());
    NodeClientAllocsRequest request;
    request.set_node_id(client.node.id());
    request.set_secret_id(new_uuid());
    auto refused =
        ports::call_sync<NodeClientAllocsResponse>(server->port(), "Node.GetClientAllocs", request);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::PermissionDenied);
    NodeGetRequest get;
    get.set_node_id(client.node.id());
    EXPECT_EQ(ask<NodeGetResponse>(server->port(), "Node.Get", get).node().secret_id(), "");
}

TEST(Server, RefusesADirectoryInUseAndADamagedLog) {
    TempDir dir;
    {
        auto server = start(dir.path);
        ServerOptions options;
        options.data_dir = dir.path;
        auto second = Server::start(options);
        ASSERT_FALSE(second);
        EXPECT_NE(second.error().message().find("in use by another process"), std::string::npos)
            << second.error().message();
    }
    ASSERT_TRUE(write_file(dir.path + "/server/raft.db",
                           "this is no database, and it is long enough to be read as one"));
    ServerOptions options;
    options.data_dir = dir.path;
    auto damaged = Server::start(options);
    ASSERT_FALSE(damaged);
    EXPECT_EQ(damaged.error().code(), Code::DataLoss);
    EXPECT_NE(damaged.error().message().find(dir.path + "/server/raft.db"), std::string::npos);
    EXPECT_TRUE(read_file(dir.path + "/server/raft.db")->starts_with("this is no database"));
}

}  // namespace
}  // namespace drover::server
