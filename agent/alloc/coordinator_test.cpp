// SPDX-License-Identifier: Apache-2.0
// Goal: lifecycle gates, kill order and client status for each combination that users write.
#include "agent/alloc/coordinator.h"

#include <gtest/gtest.h>

namespace drover::agent {
namespace {

TaskView task(const std::string& name, TaskRole role = TaskRole::Main) {
    TaskView view;
    view.name = name;
    view.role = role;
    return view;
}

TaskView running(TaskView view) {
    view.begun = view.running = true;
    return view;
}

TaskView dead(TaskView view, bool failed = false) {
    view.begun = view.dead = true;
    view.failed = failed;
    return view;
}

using Names = std::vector<std::string>;

Names killed(const Coordination& c) {
    Names names;
    for (const auto& k : c.kill) names.push_back(k.task);
    return names;
}

TEST(Coordinator, MainTasksStartAtOnceWithoutPrestart) {
    EXPECT_EQ(coordinate({task("a"), task("b")}, Wanted::Run).start, (Names{"a", "b"}));
}

TEST(Coordinator, MainWaitsForPrestartToSucceedAndForSidecarToRun) {
    const auto init = task("init", TaskRole::Prestart);
    const auto side = task("side", TaskRole::PrestartSidecar);
    EXPECT_EQ(coordinate({task("main"), init, side}, Wanted::Run).start, (Names{"init", "side"}));
    EXPECT_EQ(coordinate({task("main"), dead(init),
                          [&] {
                              auto s = side;
                              s.begun = true;
                              return s;
                          }()},
                         Wanted::Run)
                  .start,
              Names{});
    EXPECT_EQ(coordinate({task("main"), running(init), running(side)}, Wanted::Run).start, Names{});
    EXPECT_EQ(coordinate({task("main"), dead(init), running(side)}, Wanted::Run).start, (Names{"main"}));
}

TEST(Coordinator, FailedPrestartKillsSiblingsAndNothingStarts) {
    const auto c = coordinate({task("main"), dead(task("init", TaskRole::Prestart), true)}, Wanted::Run);
    EXPECT_TRUE(c.start.empty());
    ASSERT_EQ(killed(c), (Names{"main"}));
    EXPECT_EQ(c.kill[0].why, KillOrder::Why::SiblingFailed);
    EXPECT_EQ(c.kill[0].sibling, "init");
}

TEST(Coordinator, PoststartWaitsUntilAllMainTasksRun) {
    const auto post = task("post", TaskRole::Poststart);
    EXPECT_EQ(coordinate({running(task("a")),
                          [] {
                              auto t = task("b");
                              t.begun = true;
                              return t;
                          }(),
                          post},
                         Wanted::Run)
                  .start,
              Names{});
    EXPECT_EQ(coordinate({running(task("a")), running(task("b")), post}, Wanted::Run).start, (Names{"post"}));
}

TEST(Coordinator, PoststopRunsAfterEverythingElseIsDeadAlsoWhenStopped) {
    const auto stop = task("cleanup", TaskRole::Poststop);
    EXPECT_EQ(coordinate({running(task("a")), stop}, Wanted::Run).start, Names{});
    EXPECT_EQ(coordinate({dead(task("a")), stop}, Wanted::Run).start, (Names{"cleanup"}));
    EXPECT_EQ(coordinate({dead(task("a")), stop}, Wanted::Stop).start, (Names{"cleanup"}));
    EXPECT_EQ(coordinate({dead(task("a"), true), stop}, Wanted::Run).start, (Names{"cleanup"}));
    EXPECT_EQ(coordinate({dead(task("a")), stop}, Wanted::Abandon).start, Names{});
    EXPECT_EQ(killed(coordinate({dead(task("a")), stop}, Wanted::Abandon)), (Names{"cleanup"}));
}

TEST(Coordinator, StopKillsLeaderThenMainThenSidecars) {
    auto leader = running(task("leader"));
    leader.leader = true;
    const auto main = running(task("main"));
    const auto side = running(task("side", TaskRole::PrestartSidecar));
    EXPECT_EQ(killed(coordinate({main, side, leader}, Wanted::Stop)), (Names{"leader"}));
    auto killing = leader;
    killing.killing = true;
    EXPECT_EQ(killed(coordinate({main, side, killing}, Wanted::Stop)), Names{});
    EXPECT_EQ(killed(coordinate({main, side, dead(leader)}, Wanted::Stop)), (Names{"main"}));
    EXPECT_EQ(killed(coordinate({dead(main), side, dead(leader)}, Wanted::Stop)), (Names{"side"}));
}

TEST(Coordinator, LeaderDeadEndsTheRest) {
    auto leader = dead(task("leader"));
    leader.leader = true;
    const auto c = coordinate({running(task("other")), leader}, Wanted::Run);
    ASSERT_EQ(killed(c), (Names{"other"}));
    EXPECT_EQ(c.kill[0].why, KillOrder::Why::LeaderDead);
}

TEST(Coordinator, SidecarsEndWhenTheMainTasksHave) {
    const auto side = running(task("side", TaskRole::PoststartSidecar));
    const auto c = coordinate({dead(task("main")), side}, Wanted::Run);
    ASSERT_EQ(killed(c), (Names{"side"}));
    EXPECT_EQ(c.kill[0].why, KillOrder::Why::MainDead);
}

TEST(Coordinator, ClientStatusPrefersFailedThenRunningThenPending) {
    EXPECT_EQ(client_status({running(task("a")), dead(task("b"), true)}).status, "failed");
    EXPECT_EQ(client_status({running(task("a")), task("b")}).status, "running");
    EXPECT_EQ(client_status({dead(task("a")), task("b")}).status, "pending");
    EXPECT_EQ(client_status({dead(task("a")), dead(task("b"))}),
              (ClientStatus{"complete", "All tasks have completed"}));
}

}  // namespace
}  // namespace drover::agent
