// SPDX-License-Identifier: Apache-2.0
// Goal: configuration files, as people who come from Nomad have them, become the agent's configuration; what
// is wrong is refused at its place. Method: tests/golden/agent_config/*.txt. Commands: `config` (what the
// text sets; `json`: as JSON), `merge` (files apart by "=== file" lines, merged in order), `check` (the text
// over the defaults, validated).
#include <gtest/gtest.h>

#include <google/protobuf/util/message_differencer.h>

#include "base/files.h"
#include "base/strings.h"
#include "jobspec/agent_config.h"
#include "proto/agent/config.pb.h"
#include "tests/support/golden.h"

namespace drover::jobspec {
namespace {

using agentconfig::AgentConfig;

// protobuf's text form: map entries come sorted.
std::string text_of(const AgentConfig& config) {
    return config.DebugString();
}

std::string merged(const std::string& input) {
    AgentConfig all;
    std::string name, text;
    std::string problems;
    auto take = [&] {
        AgentConfig one;
        if (name.empty()) return;
        Status status = parse_agent_config(text, name, one);
        if (!status) problems += status.error().message() + "\n";
        merge_agent_config(all, one);
        text.clear();
    };
    for (const std::string& line : split(input, '\n')) {
        if (starts_with(line, "=== ")) {
            take();
            name = line.substr(4);
        } else {
            text += line + "\n";
        }
    }
    take();
    return problems.empty() ? text_of(all) : problems;
}

std::string run(const testing::GoldenCase& golden) {
    if (golden.command == "merge") return merged(golden.input);
    bool json = !golden.arguments.empty() && golden.arguments[0] == "json";
    AgentConfig config;
    if (Status status = parse_agent_config(golden.input, json ? "agent.json" : "agent.hcl", config);
        !status) {
        return status.error().message();
    }
    if (golden.command == "config") return text_of(config);
    AgentConfig whole = default_agent_config();
    merge_agent_config(whole, config);
    Status status = validate_agent_config(whole, false);
    return status ? "ok" : status.error().message();
}

TEST(AgentConfig, TextInTextOut) {
    testing::run_golden_files("tests/golden/agent_config", run);
}

// A temporary directory that is gone at the end.
struct TemporaryDir {
    std::string path;
    TemporaryDir() {
        char name[] = "/tmp/drover-agent-config-XXXXXX";
        path = mkdtemp(name);
    }
    ~TemporaryDir() { static_cast<void>(remove_tree(path)); }
};

TEST(AgentConfig, DirectoriesAreReadInOrder) {
    TemporaryDir dir;
    ASSERT_TRUE(write_file(dir.path + "/b.hcl", "region = \"second\"\nclient {\n  servers = [\"b:1\"]\n}\n"));
    ASSERT_TRUE(
        write_file(dir.path + "/a.json", "{\"region\": \"first\", \"client\": {\"servers\": [\"a:1\"]}}"));
    ASSERT_TRUE(write_file(dir.path + "/.hidden.hcl", "nonsense"));
    ASSERT_TRUE(write_file(dir.path + "/c.hcl~", "nonsense"));
    ASSERT_TRUE(write_file(dir.path + "/notes.txt", "nonsense"));
    ASSERT_TRUE(make_dirs(dir.path + "/sub.hcl"));
    AgentConfig config;
    std::vector<std::string> files;
    Status status = load_agent_config(dir.path, config, files);
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_EQ(files, (std::vector<std::string>{dir.path + "/a.json", dir.path + "/b.hcl"}));
    EXPECT_EQ(config.region(), "second");
    EXPECT_EQ(config.client().servers_size(), 2);
}

TEST(AgentConfig, ErrorsNameTheFile) {
    TemporaryDir dir;
    AgentConfig config;
    std::vector<std::string> files;
    Status missing = load_agent_config(dir.path + "/none.hcl", config, files);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Code::NotFound);
    EXPECT_NE(missing.error().message().find(dir.path + "/none.hcl"), std::string::npos);
    ASSERT_TRUE(write_file(dir.path + "/a.hcl", "regon = \"x\"\n"));
    Status unknown = load_agent_config(dir.path, config, files);
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().message(),
              dir.path +
                  "/a.hcl:1,1-6: unexpected keys regon; An argument named \"regon\" is not "
                  "expected here. Did you mean \"region\"?");
}

TEST(AgentConfig, DevelopmentModeIsValid) {
    Status status = validate_agent_config(dev_agent_config(), true);
    EXPECT_TRUE(status) << status.error().message();
}

// Merging a configuration over nothing, or over itself, must not lose or double anything that is not a list.
TEST(AgentConfig, DefaultsSurviveMerging) {
    AgentConfig once = default_agent_config();
    AgentConfig twice = default_agent_config();
    merge_agent_config(twice, default_agent_config());
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(once, twice));
    AgentConfig empty;
    merge_agent_config(empty, once);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(once, empty));
}

}  // namespace
}  // namespace drover::jobspec

int main(int argc, char** argv) {
    drover::testing::golden_init(&argc, argv);
    ::testing::InitGoogleTest(&argc, argv);
    return RUN_ALL_TESTS();
}
