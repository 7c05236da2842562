// SPDX-License-Identifier: Apache-2.0
// Records survive a round trip and are refused with a reason when they are damaged; process facts are the
// kernel's.
#include "agent/host/record.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"

namespace drover::agent {
namespace {

PluginRecord sample() {
    PluginRecord record;
    record.boot_id = "b0";
    record.pid = 4711;
    record.start_time = 123456789012345;
    record.peer_pid = 4712;
    record.address = {Handshake::Network::Unix, "/tmp/a \"b\"", 0};
    record.file = "/opt/x";
    record.file_id = "f";
    record.config_hash = "c";
    record.name = "exec";
    record.type = "driver";
    record.api_version = "v0.1.0";
    return record;
}

class Record : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-record-XXXXXX";
        dir_ = ::mkdtemp(name);
        path_ = dir_ + "/record.json";
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    std::string dir_, path_;
};

TEST_F(Record, RoundTrip) {
    ASSERT_TRUE(write_record(path_, sample()));
    auto got = read_record(path_);
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(*got, sample());
}

TEST_F(Record, DamageIsNamed) {
    auto missing = read_record(path_);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Code::NotFound);
    ASSERT_TRUE(write_record(path_, sample()));
    const std::string good = *read_file(path_);
    const std::pair<std::string, std::string> cases[] = {
        {"", "not a JSON object"},
        {good.substr(0, good.size() / 2), "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"version\": 99}", "version 99, expected 1"},
        {"{\"version\": 1}", "\"boot_id\" is missing"},
        {std::string(good).replace(good.find("4711"), 4, "\"x\""), "\"pid\""},
        {std::string(good).replace(good.find("4711"), 4, "1"), "pid 1"},
    };
    for (const auto& [text, expected] : cases) {
        ASSERT_TRUE(write_file(path_, text));
        auto got = read_record(path_);
        ASSERT_FALSE(got) << text;
        EXPECT_EQ(got.error().code(), Code::DataLoss) << text;
        EXPECT_NE(got.error().message().find(expected), std::string::npos) << got.error().message();
        EXPECT_NE(got.error().message().find(path_), std::string::npos) << got.error().message();
    }
}

TEST_F(Record, StartTimeTellsProcessesApartAndAZombieIsNone) {
    auto own = process_start_time(::getpid());
    ASSERT_TRUE(own);
    EXPECT_GT(*own, 0u);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(0);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);  // ended, not reaped
    EXPECT_FALSE(process_start_time(child));
    EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(process_start_time(child));
    EXPECT_FALSE(open_pidfd(child));
}

TEST_F(Record, Identities) {
    EXPECT_EQ(hash_text("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ASSERT_TRUE(write_file(path_, "abc"));
    const std::string before = *identify_file(path_);
    EXPECT_EQ(*identify_file(path_), before);
    ASSERT_TRUE(write_file_durable(path_, "abc"));  // the same bytes, another file
    EXPECT_NE(*identify_file(path_), before);
    EXPECT_FALSE(identify_file(dir_ + "/none"));
}

}  // namespace
}  // namespace drover::agent
