// SPDX-License-Identifier: Apache-2.0
// Goal: defaults, differences and fits are those that Nomad's users know. Method: recorded jobs and plans
// where there are any, else the rules one by one.
#include <gtest/gtest.h>

#include "base/clock.h"
#include "model/canonicalize.h"
#include "model/diff.h"
#include "model/job_compare.h"
#include "model/json/json.h"
#include "model/resources.h"
#include "model/status.h"
#include "model/validate.h"
#include "proto/model/model.pb.h"
#include "tests/support/json_diff.h"

namespace drover::model {
namespace {

template <class T>
T recorded(const std::string& name) {
    T message;
    auto status = json::decode(testing::golden_text("nomad/api/" + name), message);
    EXPECT_TRUE(status) << status.error().message();
    return message;
}

Job job_of(const std::string& text) {
    Job job;
    auto status = json::decode(text, job);
    EXPECT_TRUE(status) << status.error().message();
    return job;
}

Job small_job(const std::string& type = "service") {
    auto job = job_of(R"({"ID":"j","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t","Driver":"raw_exec"}]}]})");
    job.set_type(type);
    canonicalize(job);
    return job;
}

TEST(Canonicalize, LeavesRecordedJobsAsTheyAre) {
    auto job = recorded<Job>("job.json");
    auto before = json::encode(job);
    canonicalize(job);
    EXPECT_EQ(testing::json_differences(before, json::encode(job)), "");
}

TEST(Canonicalize, IsIdempotent) {
    for (const char* type : {"service", "batch", "system", "sysbatch"}) {
        auto job = small_job(type);
        auto once = json::encode(job);
        canonicalize(job);
        EXPECT_EQ(once, json::encode(job)) << type;
        EXPECT_TRUE(validate(job)) << type;
    }
}

TEST(Canonicalize, DefaultsDependOnTheType) {
    auto service = small_job("service").task_groups(0);
    EXPECT_TRUE(service.has_update());
    EXPECT_TRUE(service.has_migrate());
    EXPECT_EQ(service.restart_policy().interval(), 30 * kMinute);
    EXPECT_TRUE(service.reschedule_policy().unlimited());
    auto batch = small_job("batch").task_groups(0);
    EXPECT_FALSE(batch.has_update());
    EXPECT_FALSE(batch.has_migrate());
    EXPECT_EQ(batch.restart_policy().attempts(), 3);
    EXPECT_EQ(batch.reschedule_policy().attempts(), 1);
    EXPECT_EQ(batch.reschedule_policy().delay_function(), "constant");
    auto system = small_job("system").task_groups(0);
    EXPECT_TRUE(system.has_update());
    EXPECT_FALSE(system.has_reschedule_policy());
    auto sysbatch = small_job("sysbatch").task_groups(0);
    EXPECT_FALSE(sysbatch.has_update());
    EXPECT_FALSE(sysbatch.has_reschedule_policy());
    EXPECT_EQ(sysbatch.restart_policy().interval(), 24 * kHour);
}

TEST(Canonicalize, GroupsInheritFromTheJobAndTasksFromTheGroup) {
    auto job = job_of(R"({"ID":"j","Update":{"MaxParallel":3,"Canary":1},"TaskGroups":[{"Name":"g",
        "Update":{"Canary":2},"RestartPolicy":{"Attempts":7,"Delay":1000000000},
        "Tasks":[{"Name":"t","Driver":"exec","RestartPolicy":{"Mode":"delay"}}]}]})");
    canonicalize(job);
    const auto& group = job.task_groups(0);
    EXPECT_EQ(group.update().max_parallel(), 3);
    EXPECT_EQ(group.update().canary(), 2);
    EXPECT_EQ(group.tasks(0).restart_policy().attempts(), 7);
    EXPECT_EQ(group.tasks(0).restart_policy().mode(), "delay");
    EXPECT_EQ(group.restart_policy().mode(), "fail");
    EXPECT_EQ(job.update().max_parallel(), 3);
    EXPECT_EQ(job.update().canary(), 0);
}

TEST(Canonicalize, AddsWhatFeaturesImply) {
    auto job = job_of(R"({"ID":"j","TaskGroups":[{"Name":"g","Networks":[{"Mode":"bridge"}],
        "Services":[{"Provider":"nomad"},{"Name":"c"}],
        "Tasks":[{"Name":"t","Driver":"exec","KillSignal":"SIGUSR1"}]}]})");
    canonicalize(job);
    std::string text;
    for (const auto& constraint : job.task_groups(0).constraints())
        text += fmt::format("{} {} {}\n", constraint.l_target(), constraint.operand(), constraint.r_target());
    EXPECT_EQ(
        text,
        "${attr.nomad.service_discovery} = true\n${attr.consul.version} semver >= 1.8.0\n"
        "${attr.plugins.cni.version.bridge} semver >= 0.4.0\n${attr.plugins.cni.version.firewall} semver >= "
        "0.4.0\n"
        "${attr.plugins.cni.version.host-local} semver >= 0.4.0\n${attr.plugins.cni.version.loopback} semver "
        ">= 0.4.0\n"
        "${attr.plugins.cni.version.portmap} semver >= 0.4.0\n${attr.os.signals} set_contains SIGUSR1\n");
    EXPECT_EQ(job.task_groups(0).services(0).name(), "j-g");
}

TEST(Diff, EqualsARecordedPlan) {
    auto plan = recorded<JobPlanResponse>("plan.json");
    auto before = recorded<Job>("job.json");
    auto after = before;
    after.mutable_task_groups(0)->set_count(5);
    after.mutable_task_groups(0)->mutable_tasks(0)->mutable_resources()->set_cpu(4000);
    (*after.mutable_task_groups(0)->mutable_tasks(0)->mutable_env())["NEW"] = "x";
    auto diff = diff_jobs(&before, &after, true);
    annotate_diff(diff, plan.annotations());
    EXPECT_EQ(testing::json_differences(json::encode(plan.diff()), json::encode(diff)), "");
}

TEST(Diff, EqualsARecordedHistory) {
    auto versions = recorded<JobVersionsResponse>("job-versions.json");
    ASSERT_EQ(versions.diffs_size() + 1, versions.versions_size());
    for (int i = 0; i < versions.diffs_size(); i++) {
        auto diff = diff_jobs(&versions.versions(i + 1), &versions.versions(i), true);
        EXPECT_EQ(testing::json_differences(json::encode(versions.diffs(i)), json::encode(diff)), "") << i;
    }
}

TEST(Diff, OfANewJobEqualsARecordedPlan) {
    auto plan = recorded<JobPlanResponse>("plan-failed-placement.json");
    auto job = job_of(R"({"ID":"big","TaskGroups":[
        {"Name":"g","Count":2,"Constraints":[{"LTarget":"${meta.rack}","Operand":"=","RTarget":"r1"}],
         "Tasks":[{"Name":"t","Driver":"raw_exec","Config":{"command":"/bin/sleep","args":["600"]},
                   "Resources":{"CPU":90000,"MemoryMB":64}}]},
        {"Name":"h","Constraints":[{"LTarget":"${attr.kernel.name}","Operand":"=","RTarget":"windows"}],
         "Tasks":[{"Name":"t","Driver":"docker","Config":{"image":"redis"}}]}]})");
    canonicalize(job);
    auto diff = diff_jobs(nullptr, &job, true);
    annotate_diff(diff, plan.annotations());
    EXPECT_EQ(testing::json_differences(json::encode(plan.diff()), json::encode(diff)), "");
}

TEST(Diff, SaysWhatEachChangeForces) {
    auto before = small_job();
    auto after = before;
    after.mutable_task_groups(0)->mutable_tasks(0)->set_kill_timeout(kSecond);
    PlanAnnotations annotations;
    auto diff = diff_jobs(&before, &after, true);
    annotate_diff(diff, annotations);
    EXPECT_EQ(diff.task_groups(0).tasks(0).annotations(0), "forces in-place update");
    EXPECT_EQ(group_update(before, after, "g"), GroupUpdate::InPlace);
    after.mutable_task_groups(0)->mutable_tasks(0)->set_user("nobody");
    diff = diff_jobs(&before, &after, true);
    annotate_diff(diff, annotations);
    EXPECT_EQ(diff.task_groups(0).tasks(0).annotations(0), "forces create/destroy update");
    EXPECT_EQ(group_update(before, after, "g"), GroupUpdate::Destructive);
    diff = diff_jobs(&before, &before, true);
    EXPECT_EQ(diff.type(), "None");
}

TEST(JobCompare, BookkeepingIsNoChange) {
    auto before = small_job();
    auto after = before;
    after.set_version(7);
    after.set_status("running");
    after.set_submit_time(99);
    after.set_job_modify_index(12);
    EXPECT_FALSE(spec_changed(before, after));
    after.set_stop(true);
    EXPECT_TRUE(spec_changed(before, after));
}

TEST(JobCompare, FindsWhatIsDestructive) {
    auto before = small_job();
    auto changed = [&](const std::function<void(Job&)>& change) {
        auto after = before;
        change(after);
        EXPECT_TRUE(spec_changed(before, after));
        return group_update(before, after, "g") == GroupUpdate::Destructive;
    };
    auto task = [](Job& job) { return job.mutable_task_groups(0)->mutable_tasks(0); };
    EXPECT_FALSE(changed([](Job& job) { job.set_priority(70); }));
    EXPECT_FALSE(changed([](Job& job) { job.mutable_task_groups(0)->set_count(9); }));
    EXPECT_FALSE(changed([&](Job& job) { task(job)->mutable_log_config()->set_max_files(3); }));
    EXPECT_FALSE(changed([&](Job& job) { task(job)->add_services()->set_name("s"); }));
    EXPECT_FALSE(changed([&](Job& job) { task(job)->mutable_restart_policy()->set_attempts(9); }));
    EXPECT_TRUE(changed([&](Job& job) { task(job)->set_driver("exec"); }));
    EXPECT_TRUE(changed([&](Job& job) { (*task(job)->mutable_env())["A"] = "1"; }));
    EXPECT_TRUE(changed([](Job& job) { (*job.mutable_meta())["A"] = "1"; }));
    EXPECT_TRUE(changed([&](Job& job) { task(job)->mutable_resources()->set_memory_mb(11); }));
    EXPECT_TRUE(
        changed([](Job& job) { job.mutable_task_groups(0)->mutable_ephemeral_disk()->set_size_mb(11); }));
    EXPECT_TRUE(changed(
        [](Job& job) { job.mutable_task_groups(0)->add_networks()->add_dynamic_ports()->set_label("x"); }));
    EXPECT_TRUE(changed([](Job& job) { job.mutable_task_groups(0)->add_tasks()->set_name("second"); }));
    EXPECT_TRUE(changed([](Job& job) { job.mutable_task_groups(0)->set_name("other"); }));
}

TEST(Validate, SaysWhatNomadSays) {
    auto job = job_of(R"({"ID":"my job","Name":"x","Type":"sevice","TaskGroups":[{"Name":"g","Count":-1,
        "RestartPolicy":{"Attempts":0,"Interval":1000000000,"Mode":"sometimes"},
        "Tasks":[{"Name":"t","Resources":{"MemoryMB":5}}]}]})");
    canonicalize(job);
    auto status = validate(job);
    ASSERT_FALSE(status);
    auto text = status.error().message();
    while (text.ends_with('\n')) text.pop_back();
    EXPECT_EQ(
        text,
        "3 errors occurred:\n\t* Job ID contains a space\n\t* Invalid job type: \"sevice\"\n"
        "\t* Task group g validation failed: 5 errors occurred:\n\t* Task group count can't be negative\n"
        "\t* Unsupported restart mode: \"sometimes\"\n\t* Restart policy \"sometimes\" with 0 attempts is "
        "ambiguous\n"
        "\t* Interval can not be less than 5s (got 1s)\n\t* Task t validation failed: 2 errors occurred:\n"
        "\t* Missing task driver\n\t* 1 error occurred:\n\t* 1 error occurred:\n"
        "\t* minimum MemoryMB value is 10; got 5");
}

TEST(Validate, WarnsLikeNomad) {
    auto job = recorded<Job>("job.json");
    EXPECT_EQ(format_warnings(job_warnings(job)), recorded<JobPlanResponse>("plan.json").warnings());
    EXPECT_EQ(format_warnings({}), "");
}

TEST(Resources, LifecycleDecidesWhatRunsTogether) {
    AllocatedResources resources;
    auto add = [&](const std::string& name, int64_t cpu, const std::string& hook, bool sidecar) {
        (*resources.mutable_tasks())[name].mutable_cpu()->set_cpu_shares(cpu);
        (*resources.mutable_task_lifecycles())[name].set_hook(hook);
        (*resources.mutable_task_lifecycles())[name].set_sidecar(sidecar);
    };
    add("main", 100, "", false);
    add("init", 500, "prestart", false);
    add("sidecar", 50, "prestart", true);
    add("cleanup", 200, "poststop", false);
    EXPECT_EQ(comparable(resources).cpu, 550);  // init and sidecar, more than main and sidecar
    add("main", 1000, "", false);
    EXPECT_EQ(comparable(resources).cpu, 1050);
    (*resources.mutable_tasks())["main"].mutable_cpu()->add_reserved_cores(3);
    EXPECT_EQ(comparable(resources).cpu, 1550);
    EXPECT_EQ(comparable(resources).cores, std::set<uint32_t>{3});
}

TEST(Resources, ScoresMatchRecordedOnes) {
    // Recorded: the second allocation of 100 MHz and 64 MB on a node of 5192 MHz and 24105 MB got binpack
    // 0.0539.
    Comparable total{.cpu = 5192, .memory_mb = 24105};
    EXPECT_NEAR(score_binpack(total, {.cpu = 200, .memory_mb = 128}), 0.0539, 0.00005);
    EXPECT_DOUBLE_EQ(score_binpack(total, total), 1.0);
    EXPECT_DOUBLE_EQ(score_spread(total, {}), 1.0);
    EXPECT_DOUBLE_EQ(score_spread(total, total), 0.0);
    EXPECT_DOUBLE_EQ(score_binpack(total, {}), 0.0);
}

TEST(Resources, PortRanges) {
    std::vector<uint16_t> ports;
    EXPECT_TRUE(parse_port_ranges("", ports));
    EXPECT_TRUE(parse_port_ranges("1, 3-5", ports));
    EXPECT_EQ(ports, (std::vector<uint16_t>{1, 3, 4, 5}));
    for (const char* bad : {"x", "5-3", "1-70000", "1-2-3", "-1"})
        EXPECT_FALSE(parse_port_ranges(bad, ports)) << bad;
}

TEST(Status, Helpers) {
    EXPECT_EQ(alloc_index("web.app[12]"), 12);
    EXPECT_EQ(alloc_index("web.app"), -1);
    EXPECT_EQ(alloc_index("web[x]"), -1);
    Allocation alloc;
    alloc.set_client_status("unknown");
    EXPECT_FALSE(terminal(alloc));
    alloc.set_desired_status("stop");
    EXPECT_TRUE(terminal(alloc));
    EXPECT_FALSE(client_terminal(alloc));
    EXPECT_TRUE(eval_terminal("canceled"));
    EXPECT_FALSE(deployment_active("cancelled"));
}

}  // namespace
}  // namespace drover::model
