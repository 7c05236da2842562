// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/eval_broker.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "server-lite/broker/blocked_evals.h"

namespace drover::server {
namespace {

const std::vector<std::string> kTypes = {"service", "batch"};

EvalPtr eval(std::string id, std::string job, int64_t priority = 50, uint64_t index = 1) {
    model::Evaluation e;
    e.set_id(std::move(id));
    e.set_job_id(std::move(job));
    e.set_namespace_("default");
    e.set_type("service");
    e.set_priority(priority);
    e.set_status("pending");
    e.set_create_index(index);
    e.set_modify_index(index);
    return std::make_shared<const model::Evaluation>(std::move(e));
}

struct Broker : ::testing::Test {
    Broker() { broker.set_enabled(true); }
    std::string take() {
        auto delivery = broker.try_dequeue(kTypes, now);
        if (!delivery) return "";
        token = delivery->token;
        return delivery->eval->id();
    }
    Now now{kHour, 1000 * kHour};
    int told = 0;
    EvalBroker broker{{}, [this] { ++told; }};
    uint64_t token = 0;
};

TEST_F(Broker, GivesTheMostUrgentFirstAndTheOldestAmongEquals) {
    broker.enqueue(eval("old", "a", 50, 1), now);
    broker.enqueue(eval("urgent", "b", 80, 9), now);
    broker.enqueue(eval("young", "c", 50, 5), now);
    EXPECT_EQ(take(), "urgent");
    EXPECT_EQ(take(), "old");
    EXPECT_EQ(take(), "young");
    EXPECT_EQ(take(), "");
}

TEST_F(Broker, RunsOneOfAJobAtATimeAndDropsAllButTheBestOfTheRest) {
    broker.enqueue(eval("first", "a", 50, 1), now);
    EXPECT_EQ(take(), "first");
    const auto first_token = token;
    broker.enqueue(eval("second", "a", 50, 2), now);
    broker.enqueue(eval("third", "a", 50, 3), now);
    broker.enqueue(eval("urgent-old", "a", 60, 1), now);
    EXPECT_EQ(take(), "") << "the job is being worked on";
    EXPECT_FALSE(broker.ack("first", first_token + 100, now)) << "another worker's token";
    EXPECT_TRUE(broker.ack("first", first_token, now));
    EXPECT_EQ(take(), "urgent-old");
    auto dropped = broker.take_cancelable();
    ASSERT_EQ(dropped.size(), 2u);
    EXPECT_GT(told, 0);
    EXPECT_TRUE(broker.ack("urgent-old", token, now));
    EXPECT_EQ(take(), "");
}

TEST_F(Broker, DeliversAgainLaterAndGivesUpInTheEnd) {
    broker.enqueue(eval("e", "a"), now);
    EXPECT_EQ(take(), "e");
    EXPECT_TRUE(broker.nack("e", token, now));
    EXPECT_EQ(take(), "");
    now.mono += kSecond;
    broker.tick(now);
    EXPECT_EQ(take(), "e");
    EXPECT_TRUE(broker.nack("e", token, now));
    now.mono += kSecond;
    broker.tick(now);
    EXPECT_EQ(take(), "") << "the second time it waits longer";
    now.mono += 19 * kSecond;
    broker.tick(now);
    EXPECT_EQ(take(), "e");
    EXPECT_TRUE(broker.nack("e", token, now));
    auto failed = broker.take_failed();
    ASSERT_EQ(failed.size(), 1u);
    EXPECT_EQ(failed[0]->id(), "e");
    // The job is free for others.
    broker.enqueue(eval("next", "a"), now);
    EXPECT_EQ(take(), "next");
}

TEST_F(Broker, TakesAnEvaluationBackWhenItsWorkerIsSilent) {
    broker.enqueue(eval("e", "a"), now);
    EXPECT_EQ(take(), "e");
    const auto lost = token;
    now.mono += 59 * kSecond;
    EXPECT_TRUE(broker.extend("e", lost, now));
    now.mono += 59 * kSecond;
    broker.tick(now);
    EXPECT_TRUE(broker.outstanding("e", lost));
    now.mono += 2 * kSecond;
    broker.tick(now);
    EXPECT_FALSE(broker.outstanding("e", lost));
    now.mono += kSecond;
    broker.tick(now);
    EXPECT_EQ(take(), "e");
    EXPECT_FALSE(broker.ack("e", lost, now)) << "the silent worker came back too late";
}

TEST_F(Broker, WaitsUntilItsTime) {
    auto later = *eval("later", "a");
    later.set_wait_until(now.unix + 10 * kSecond);
    broker.enqueue(std::make_shared<const model::Evaluation>(later), now);
    EXPECT_EQ(broker.tick(now), now.mono + 10 * kSecond);
    EXPECT_EQ(take(), "");
    now.mono += 10 * kSecond;
    broker.tick(now);
    EXPECT_EQ(take(), "later");
}

TEST_F(Broker, PutsBackWhatWasEnqueuedWhileItWasOut) {
    broker.enqueue(eval("e", "a"), now);
    EXPECT_EQ(take(), "e");
    broker.enqueue(eval("e", "a", 50, 7), now);
    EXPECT_EQ(take(), "");
    EXPECT_TRUE(broker.ack("e", token, now));
    EXPECT_EQ(take(), "e");
}

TEST_F(Broker, ForgetsEverythingWhenDisabled) {
    broker.enqueue(eval("e", "a"), now);
    broker.set_enabled(false);
    broker.enqueue(eval("f", "b"), now);
    broker.set_enabled(true);
    EXPECT_EQ(take(), "");
}

struct Blocked : ::testing::Test {
    Blocked() { blocked.set_enabled(true); }
    EvalPtr waiting(std::string id, std::string job, uint64_t snapshot, std::map<std::string, bool> classes,
                    bool escaped = false) {
        auto e = *eval(std::move(id), std::move(job));
        e.set_status("blocked");
        e.set_snapshot_index(snapshot);
        e.set_escaped_computed_class(escaped);
        for (const auto& [name, ok] : classes) (*e.mutable_class_eligibility())[name] = ok;
        return std::make_shared<const model::Evaluation>(std::move(e));
    }
    std::vector<std::string> out;
    BlockedEvals blocked{[this](std::vector<EvalPtr> evals) {
                             for (auto& e : evals) out.push_back(e->id());
                         },
                         nullptr};
};

TEST_F(Blocked, ReleasesWhatTheClassMayHelp) {
    blocked.block(waiting("yes", "a", 10, {{"c1", true}}));
    blocked.block(waiting("no", "b", 10, {{"c1", false}}));
    blocked.block(waiting("unseen", "c", 10, {{"c2", false}}));
    blocked.block(waiting("escaped", "d", 10, {{"c1", false}}, true));
    blocked.unblock("c1", 11);
    std::sort(out.begin(), out.end());
    EXPECT_EQ(out, (std::vector<std::string>{"escaped", "unseen", "yes"}));
    EXPECT_EQ(blocked.size(), 1u);
}

TEST_F(Blocked, DoesNotMissRoomThatCameWhileTheSchedulerLooked) {
    blocked.unblock("c1", 20);
    blocked.block(waiting("late", "a", 15, {{"c1", true}}));
    EXPECT_EQ(out, std::vector<std::string>{"late"});
    blocked.block(waiting("fresh", "b", 25, {{"c1", true}}));
    EXPECT_EQ(out.size(), 1u);
    EXPECT_EQ(blocked.size(), 1u);
}

TEST_F(Blocked, KeepsTheNewestOfAJob) {
    blocked.block(waiting("old", "a", 10, {}));
    blocked.block(waiting("new", "a", 20, {}));
    blocked.block(waiting("older", "a", 5, {}));
    EXPECT_EQ(blocked.size(), 1u);
    auto dropped = blocked.take_duplicates();
    ASSERT_EQ(dropped.size(), 2u);
    EXPECT_EQ(dropped[0]->id(), "old");
    EXPECT_EQ(dropped[1]->id(), "older");
    blocked.untrack({"default", "a"});
    EXPECT_EQ(blocked.size(), 0u);
}

}  // namespace
}  // namespace drover::server
