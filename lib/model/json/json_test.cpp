// SPDX-License-Identifier: Apache-2.0
// Goal: what Nomad's servers and clients exchange, we read and write the same. Method: recorded answers are
// decoded into their message, encoded again and compared value by value; then the rules for bad input, one by
// one.
#include "model/json/json.h"

#include <gtest/gtest.h>

#include "proto/model/model.pb.h"
#include "tests/support/json_diff.h"

namespace drover::model::json {
namespace {

std::string golden(const std::string& name) {
    return testing::golden_text("nomad/api/" + name);
}

template <class T>
void same_again(const std::string& name, View view = View::Server, const std::string& expected = "") {
    std::string text = golden(name);
    std::string encoded;
    if (text.find_first_of("[{") != std::string::npos && text[text.find_first_of("[{")] == '[') {
        google::protobuf::RepeatedPtrField<T> items;
        auto status = decode_list(text, [&]() -> T& { return *items.Add(); });
        ASSERT_TRUE(status) << name << ": " << status.error().message();
        encoded = encode_list(items, {.view = view, .indent = 1});
    } else {
        T message;
        auto status = decode(text, message);
        ASSERT_TRUE(status) << name << ": " << status.error().message();
        encoded = encode(message, {.view = view, .indent = 4});
    }
    EXPECT_EQ(testing::json_differences(text, encoded), expected) << name;
}

TEST(Json, WritesWhatNomadServersWrite) {
    same_again<Job>("job.json");
    same_again<JobListStub>("jobs-list.json");
    same_again<JobSummary>("job-summary.json");
    same_again<JobSubmission>("job-submission.json");
    same_again<JobVersionsResponse>("job-versions.json");
    same_again<JobPlanResponse>("plan.json");
    same_again<JobPlanResponse>("plan-failed-placement.json");
    same_again<Allocation>("allocation.json");
    same_again<AllocationListStub>("job-allocations.json");
    same_again<Evaluation>("evaluation.json");
    same_again<Evaluation>("evaluations-failed-and-blocked.json");
    same_again<Deployment>("deployment.json");
    same_again<Node>("node.json");
    same_again<NodeListStub>("nodes-list.json");
    same_again<NodePool>("node-pools.json");
    same_again<Namespace>("namespaces.json");
    same_again<SchedulerConfigurationResponse>("scheduler-config.json");
    same_again<AgentHealthResponse>("agent-health.json");
    same_again<ServerMembers>("agent-members.json");
    same_again<AllocFileInfo>("fs-ls.json");
    same_again<HostStats>("client-stats.json");
    // An allocation's sum has an empty list there, its tasks have null: the reader cannot tell, so neither do
    // we.
    same_again<AllocResourceUsage>("alloc-stats.json", View::Server,
                                   ".ResourceUsage.DeviceStats: want [], got null\n");
}

TEST(Json, WritesWhatNomadClientsWrite) {
    same_again<Job>("jobs-parse-canonicalized.json", View::Api);
}

TEST(Json, UnsetIsNullForClientsAndZeroForServers) {
    RestartPolicy policy;
    EXPECT_EQ(encode(policy, {.view = View::Api}),
              R"({"Attempts":null,"Delay":null,"Interval":null,"Mode":null,"RenderTemplates":null})");
    EXPECT_EQ(encode(policy), R"({"Attempts":0,"Delay":0,"Interval":0,"Mode":"","RenderTemplates":false})");
}

TEST(Json, IndentsLikeGo) {
    TaskArtifact artifact;
    (*artifact.mutable_getter_options())["b"] = "2";
    (*artifact.mutable_getter_options())["a"] = "1\n\"<\x01";
    EXPECT_EQ(encode(artifact, {.view = View::Api, .indent = 2}), R"({
  "Chown": false,
  "GetterHeaders": null,
  "GetterInsecure": null,
  "GetterMode": null,
  "GetterOptions": {
    "a": "1\n\"<\u0001",
    "b": "2"
  },
  "GetterSource": null,
  "RelativeDest": null
})");
}

TEST(Json, ListsAreNeverNull) {
    std::vector<std::shared_ptr<const JobUILink>> links;
    EXPECT_EQ(encode_list(links), "[]");
    EXPECT_EQ(encode_list(links, {.indent = 2}), "[]");
    auto link = std::make_shared<JobUILink>();
    link->set_label("l");
    links.push_back(link);
    links.push_back(link);
    EXPECT_EQ(encode_list(links), R"([{"Label":"l","URL":""},{"Label":"l","URL":""}])");
}

std::string error_of(std::string_view text) {
    Job job;
    auto status = decode(text, job);
    return status ? "" : status.error().message();
}

TEST(Json, WrongTypesNameTheField) {
    EXPECT_EQ(error_of(R"({"TaskGroups":[{"Count":"x"}]})"),
              R"(TaskGroups[0].Count: expected a number, found string "x")");
    EXPECT_EQ(error_of(R"({"taskgroups":[{},{"tasks":[{"ENV":{"A":1}}]}]})"),
              R"(TaskGroups[1].Tasks[0].Env.A: expected a string, found number 1)");
    EXPECT_EQ(error_of(R"({"ID":{}})"), "ID: expected a string, found an object");
    EXPECT_EQ(error_of(R"({"Priority":1.5})"), "Priority: expected a whole number, found number 1.5");
    EXPECT_EQ(error_of(R"({"Version":-1})"),
              "Version: expected a number from 0 to 18446744073709551615, found number -1");
    EXPECT_EQ(error_of(R"({"Datacenters":"dc1"})"), R"(Datacenters: expected a list, found string "dc1")");
    EXPECT_EQ(error_of(R"({"Datacenters":["a",null]})"), "Datacenters[1]: expected a string, found null");
    EXPECT_EQ(error_of(R"({"Update":[]})"), "Update: expected an object, found a list");
    EXPECT_EQ(error_of(R"({"Payload":"?"})"), R"(Payload: expected a base64 string, found string "?")");
    EXPECT_EQ(error_of("[]"), "expected an object, found a list");
    EXPECT_EQ(error_of(R"({"AllAtOnce":"true"})"), R"(AllAtOnce: expected a boolean, found string "true")");
}

TEST(Json, BrokenTextNamesThePlace) {
    EXPECT_EQ(error_of(""),
              "invalid JSON at line 1, column 1: expected an object, found the end of the text");
    EXPECT_EQ(error_of("{\n  \"ID\": \"a\",\n}"),
              "invalid JSON at line 3, column 1: expected a value after the comma, found '}'");
    EXPECT_EQ(error_of(R"({"ID":"a"} x)"),
              "invalid JSON at line 1, column 12: expected nothing more, found 'x'");
    EXPECT_EQ(error_of(R"({"ID" "a"})"), "invalid JSON at line 1, column 7: expected ':', found '\"'");
    EXPECT_EQ(error_of(R"({"Nothing":01})"),
              "invalid JSON at line 1, column 13: expected no digit after a leading zero, found '1'");
    EXPECT_EQ(error_of("{\"ID\":\"a\nb\"}"),
              "invalid JSON at line 1, column 9: expected an escape sequence instead of a control character, "
              "found byte 0x0a");
    EXPECT_NE(error_of(R"({"ID":tru})"), "");
    EXPECT_NE(error_of(R"({"AllAtOnce":tru})"), "");
    std::string deep = R"({"Nothing":)" + std::string(200, '[');
    EXPECT_EQ(error_of(deep), "JSON is nested more than 128 levels deep");
}

TEST(Json, FreeFormValuesAreNotNestedTooDeep) {
    auto nested = [](int levels) {
        std::string text = "1";
        for (int i = 0; i < levels; i++) text = R"({"a":)" + text + "}";
        return R"({"TaskGroups":[{"Tasks":[{"Config":{"x":)" + text + "}}]}]}";
    };
    Job job;
    ASSERT_TRUE(decode(nested(23), job));
    // What is accepted can be stored and read again, at the greatest depth it may stand at.
    Allocation alloc;
    *alloc.mutable_job() = job;
    Allocation again;
    EXPECT_TRUE(again.ParseFromString(alloc.SerializeAsString()));
    EXPECT_NE(error_of(nested(60)).find("nested more than 24 levels deep"), std::string::npos);
}

TEST(Json, ReadsLikeGo) {
    Job job;
    auto status = decode(R"({"id":"\u00e9\ud83d\ude00\udc00x","Unknown":[{"a":[1,2,{}]}],"Name":null,
                             "Payload":"aGk=","Priority":3,"priority":4,"Datacenters":["a"],"datacenters":["b"]})",
                         job);
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_EQ(job.id(), "é😀\xEF\xBF\xBDx");
    EXPECT_FALSE(job.has_name());
    EXPECT_EQ(job.payload(), "hi");
    EXPECT_EQ(job.priority(), 4);
    ASSERT_EQ(job.datacenters_size(), 1);
    EXPECT_EQ(job.datacenters(0), "b");
}

TEST(Json, TextThatIsNotUtf8IsRepaired) {
    Job job;
    ASSERT_TRUE(decode("{\"ID\":\"a\xFF\xC3\"}", job));
    EXPECT_EQ(job.id(), "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Json, FreeFormValuesKeepTheirNumbers) {
    constexpr std::string_view kText =
        R"({"a":[9223372036854775807,-9223372036854775808,18446744073709551615,)"
        R"(0.1,1.5,3.141592653589793238462643,null,true,"x",{},[]]})";
    auto value = parse_value(kText);
    ASSERT_TRUE(value);
    EXPECT_EQ(encode_value(*value), kText);
    EXPECT_EQ(value->map_value().fields().at("a").list_value().values(0).int_value(), INT64_MAX);
    Task task;
    ASSERT_TRUE(decode(R"({"Config":{"n":null,"port":8080}})", task));
    EXPECT_EQ(encode_value(task.config()), R"({"n":null,"port":8080})");
}

TEST(Json, TimesAndDurations) {
    TaskState state;
    ASSERT_TRUE(decode(
        R"({"StartedAt":"2026-11-21T08:12:45.423353175Z","FinishedAt":"0001-01-01T00:00:00Z"})", state));
    EXPECT_EQ(state.started_at(), 1795248765423353175);
    EXPECT_EQ(state.finished_at(), 0);
    EXPECT_NE(encode(state).find(R"("FinishedAt":null)"), std::string::npos);
    EXPECT_NE(encode(state).find(R"("StartedAt":"2026-11-21T08:12:45.423353175Z")"), std::string::npos);
    auto bad = decode(R"({"StartedAt":"yesterday"})", state);
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().message(),
              R"(StartedAt: expected a time such as "2026-01-02T15:04:05Z", found string "yesterday")");
    NodePool pool;
    ASSERT_TRUE(decode(R"({"NodeIdentityTTL":"24h"})", pool));
    EXPECT_EQ(pool.node_identity_ttl(), 86400000000000);
    EXPECT_FALSE(decode(R"({"ProgressDeadline":"10m"})", *std::make_unique<UpdateStrategy>()));
}

TEST(Json, EveryMessageSurvivesTheTrip) {
    // The largest recorded object, three times over: decode(encode(x)) is x to the bit.
    for (auto view : {View::Server, View::Api}) {
        Allocation first;
        ASSERT_TRUE(decode(golden("allocation.json"), first));
        Allocation second;
        ASSERT_TRUE(decode(encode(first, {.view = view}), second));
        Allocation third;
        ASSERT_TRUE(decode(encode(second, {.view = view, .indent = 3}), third));
        EXPECT_EQ(encode(second), encode(third));
    }
}

}  // namespace
}  // namespace drover::model::json
