// SPDX-License-Identifier: Apache-2.0
#include "server-lite/rpc/filter.h"

#include <gtest/gtest.h>

#include "proto/model/model.pb.h"

namespace drover::server {
namespace {

model::JobListStub stub() {
    model::JobListStub job;
    job.set_id("web-1");
    job.set_type("service");
    job.set_status("running");
    job.set_priority(50);
    job.set_stop(false);
    job.add_datacenters("dc1");
    job.add_datacenters("dc2");
    (*job.mutable_meta())["owner"] = "me";
    (*job.mutable_job_summary()->mutable_summary())["g"].set_running(0);
    return job;
}

TEST(Filter, SelectsAsExpressionsSay) {
    struct Case {
        const char* text;
        bool matches;
    };
    for (const auto& c : {Case{"", true},
                          Case{"Type == service", true},
                          Case{"Type != \"service\"", false},
                          Case{"Type == \"service\" and Status != \"dead\"", true},
                          Case{"Type == batch or Priority == 50", true},
                          Case{"not (Stop == true)", true},
                          Case{"ID contains \"web\"", true},
                          Case{"ID not contains \"web\"", false},
                          Case{"ID matches \"^web-[0-9]+$\"", true},
                          Case{"ID not matches `^web`", false},
                          Case{"\"dc2\" in Datacenters", true},
                          Case{"dc9 in Datacenters", false},
                          Case{"dc9 not in Datacenters", true},
                          Case{"Meta.owner == me", true},
                          Case{"Meta[\"owner\"] == you", false},
                          Case{"Meta.none == x", false},
                          Case{"\"owner\" in Meta", true},
                          Case{"ParentID is empty", true},
                          Case{"Datacenters is not empty", true},
                          Case{"Multiregion is empty", true},
                          Case{"JobSummary.Summary.g.Running == 0", true},
                          Case{"Type == batch and Status == running or ID == web-1", true}}) {
        auto filter = Filter::parse(c.text);
        ASSERT_TRUE(filter) << c.text << ": " << filter.error().message();
        auto result = filter->matches(stub());
        ASSERT_TRUE(result) << c.text << ": " << result.error().message();
        EXPECT_EQ(*result, c.matches) << c.text;
    }
}

TEST(Filter, NamesWhatIsWrong) {
    for (const char* text : {"Type ==", "== x", "Type == \"x", "(Type == x", "Type ? x", "Type == x Status",
                             "Type matches \"(\"", "not", "x in", "Type is full"}) {
        auto filter = Filter::parse(text);
        ASSERT_FALSE(filter) << text;
        EXPECT_TRUE(filter.error().message().starts_with("failed to read filter expression: "))
            << filter.error().message();
    }
    auto unknown = Filter::parse("Nonsense == 1");
    ASSERT_TRUE(unknown);
    auto result = unknown->matches(stub());
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message().find("\"Nonsense\""), std::string::npos);
    EXPECT_FALSE(Filter::parse(std::string(10'000, '(')));
}

}  // namespace
}  // namespace drover::server
