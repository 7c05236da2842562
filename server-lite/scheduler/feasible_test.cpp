// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/feasible.h"

#include <gtest/gtest.h>

#include "base/clock.h"
#include "server-lite/scheduler/reconcile.h"
#include "server-lite/scheduler/version.h"

namespace drover::server {
namespace {

TEST(Version, FollowsGoVersionsRules) {
    struct Case {
        const char *version, *constraint;
        bool matches;
    };
    for (const auto& c :
         {Case{"1.2.3", ">= 1.2, < 2", true}, Case{"2.0", ">= 1.2, < 2", false}, Case{"v1.4", "> 1.3", true},
          Case{"1.10.0", "> 1.9.0", true}, Case{"1.2.3", "~> 1.2.0", true}, Case{"1.3.0", "~> 1.2.0", false},
          Case{"1.9", "~> 1.2", true}, Case{"2.0", "~> 1.2", false}, Case{"1.2.3-beta", ">= 1.2", false},
          Case{"1.2.3-beta", ">= 1.2.3-alpha", true}, Case{"6.18.44-fc", "> 5", false},
          Case{"1.0", "!= 1.1", true}, Case{"1.0", "1.0.0", true}, Case{"x", "> 1", false},
          Case{"1.0", "nonsense", false}, Case{"1.0", "", false}, Case{"", "> 1", false}})
        EXPECT_EQ(version_matches(c.version, c.constraint, VersionRules::Lenient), c.matches)
            << c.version << " " << c.constraint;
    for (const auto& c : {Case{"1.2.3-beta", ">= 1.2.0", true}, Case{"1.2.3-beta", ">= 1.2.3", false},
                          Case{"1.2", ">= 1", false}, Case{"v1.2.3", ">= 1.0.0", false},
                          Case{"1.2.3+meta", "= 1.2.3", true}, Case{"2.0.6-dev", ">= 1.7.0-a", true}})
        EXPECT_EQ(version_matches(c.version, c.constraint, VersionRules::Semver), c.matches)
            << c.version << " " << c.constraint;
}

model::Node node() {
    model::Node n;
    n.set_id("6f1e");
    n.set_name("worker");
    n.set_datacenter("eu-1");
    n.set_node_class("big");
    (*n.mutable_attributes())["kernel.name"] = "linux";
    (*n.mutable_attributes())["cpu.numcores"] = "12";
    (*n.mutable_attributes())["os.signals"] = "SIGINT, SIGTERM,SIGKILL";
    (*n.mutable_meta())["rack"] = "r1";
    return n;
}

TEST(Constraints, CompareAsTheirOperatorsSay) {
    struct Case {
        const char *left, *op, *right;
        bool holds;
    };
    const auto n = node();
    for (const auto& c : {Case{"${attr.kernel.name}", "=", "linux", true},
                          Case{"${attr.kernel.name}", "", "linux", true},
                          Case{"${attr.kernel.name}", "is", "windows", false},
                          Case{"${attr.nothing}", "=", "", false},
                          Case{"${attr.nothing}", "!=", "x", true},
                          Case{"${meta.rack}", "not", "r1", false},
                          Case{"${attr.cpu.numcores}", ">", "9", true},
                          Case{"${attr.cpu.numcores}", "<=", "11.5", false},
                          Case{"abc", "<", "abd", true},
                          Case{"${attr.nothing}", "<", "5", false},
                          Case{"${attr.kernel.name}", "regexp", "^li.+x$", true},
                          Case{"${attr.kernel.name}", "regexp", "(", false},
                          Case{"${attr.os.signals}", "set_contains", "SIGTERM,SIGINT", true},
                          Case{"${attr.os.signals}", "set_contains_all", "SIGTERM,SIGHUP", false},
                          Case{"${attr.os.signals}", "set_contains_any", "SIGHUP,SIGKILL", true},
                          Case{"${meta.rack}", "is_set", "", true},
                          Case{"${meta.none}", "is_not_set", "", true},
                          Case{"${node.class}", "=", "big", true},
                          Case{"${node.unique.name}", "=", "worker", true},
                          Case{"${node.datacenter}", "=", "eu-1", true},
                          Case{"${unknown.thing}", "=", "", false},
                          Case{"${attr.kernel.name}", "made-up", "linux", false},
                          Case{"x", "distinct_hosts", "true", true}}) {
        model::Constraint constraint;
        constraint.set_l_target(c.left);
        constraint.set_operand(c.op);
        constraint.set_r_target(c.right);
        EXPECT_EQ(check_constraint(constraint, n), c.holds) << c.left << " " << c.op << " " << c.right;
    }
}

TEST(Constraints, TellWhatEscapesTheClass) {
    auto escapes = [](const char* left, const char* right = "x") {
        model::Constraint c;
        c.set_l_target(left);
        c.set_r_target(right);
        return escapes_class(c);
    };
    EXPECT_TRUE(escapes("${node.unique.id}"));
    EXPECT_TRUE(escapes("a", "${attr.unique.hostname}"));
    EXPECT_TRUE(escapes("${meta.unique.x}"));
    EXPECT_FALSE(escapes("${attr.kernel.name}"));
    EXPECT_FALSE(escapes("${meta.rack}"));
}

TEST(ComputedClass, IgnoresWhatIsUniqueToANode) {
    auto a = node(), b = node();
    b.set_id("other");
    b.set_name("other");
    (*b.mutable_attributes())["unique.hostname"] = "other";
    EXPECT_EQ(computed_class(a), computed_class(b));
    (*b.mutable_meta())["rack"] = "r2";
    EXPECT_NE(computed_class(a), computed_class(b));
}

TEST(Globs, MatchDatacenters) {
    EXPECT_TRUE(glob_match("*", "dc1"));
    EXPECT_TRUE(glob_match("eu-*", "eu-1"));
    EXPECT_TRUE(glob_match("*-1", "eu-1"));
    EXPECT_TRUE(glob_match("e*-*1", "eu-west-1"));
    EXPECT_FALSE(glob_match("eu-*", "us-1"));
    EXPECT_FALSE(glob_match("dc1", "dc11"));
    EXPECT_TRUE(glob_match("dc1", "dc1"));
}

// Each attempt happens when its delay is over; what would be the next delay?
std::vector<int64_t> delays(const std::string& function, int64_t delay, int64_t max_delay, int attempts) {
    model::ReschedulePolicy policy;
    policy.set_delay(delay * kSecond);
    policy.set_delay_function(function);
    policy.set_max_delay(max_delay * kSecond);
    policy.set_unlimited(true);
    model::Allocation alloc;
    std::vector<int64_t> out;
    int64_t now = 1000 * kHour;
    for (int i = 0; i < attempts; ++i) {
        const int64_t next = reschedule_delay(alloc, policy, now);
        out.push_back(next / kSecond);
        now += next;
        alloc.mutable_reschedule_tracker()->add_events()->set_reschedule_time(now);
    }
    return out;
}

TEST(Reschedule, GrowsItsDelaysAsThePolicySays) {
    EXPECT_EQ(delays("constant", 5, 0, 4), (std::vector<int64_t>{5, 5, 5, 5}));
    EXPECT_EQ(delays("exponential", 5, 60, 6), (std::vector<int64_t>{5, 10, 20, 40, 60, 60}));
    EXPECT_EQ(delays("fibonacci", 5, 60, 7), (std::vector<int64_t>{5, 5, 10, 15, 25, 40, 60}));
}

TEST(Reschedule, CountsAttemptsInTheInterval) {
    model::TaskGroup group;
    auto& policy = *group.mutable_reschedule_policy();
    policy.set_attempts(2);
    policy.set_interval(kHour);
    policy.set_delay(5 * kSecond);
    policy.set_delay_function("constant");
    model::Allocation alloc;
    alloc.set_client_status("failed");
    const int64_t now = 1000 * kHour;
    (*alloc.mutable_task_states())["t"].set_finished_at(now);
    EXPECT_EQ(reschedule_time(alloc, group, now), now + 5 * kSecond);
    alloc.mutable_reschedule_tracker()->add_events()->set_reschedule_time(now - 2 * kHour);
    alloc.mutable_reschedule_tracker()->add_events()->set_reschedule_time(now - kMinute);
    EXPECT_TRUE(reschedule_time(alloc, group, now)) << "the old one does not count";
    alloc.mutable_reschedule_tracker()->add_events()->set_reschedule_time(now - kSecond);
    EXPECT_FALSE(reschedule_time(alloc, group, now));
    policy.set_unlimited(true);
    EXPECT_TRUE(reschedule_time(alloc, group, now));
    alloc.set_client_status("complete");
    EXPECT_FALSE(reschedule_time(alloc, group, now));
}

}  // namespace
}  // namespace drover::server
