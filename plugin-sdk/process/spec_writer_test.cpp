// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/process/spec_writer.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace drover::sdk {
namespace {

ProcessSpec sample() {
    ProcessSpec spec;
    spec.task_id = "a/web/1";
    spec.command = "/bin/echo";
    spec.args = {"one", ""};
    spec.env = {"A=B"};
    spec.cgroup = "drover/task/x";
    spec.user = ProcessUser{1, 2, {3, 4}};
    return spec;
}

TEST(SpecWriter, WritesWhatTheShimReads) {
    auto bytes = encode_spec(sample(), {});
    ASSERT_TRUE(bytes) << bytes.error().message();
    shim::SpecReader reader;
    ASSERT_EQ(reader.open(bytes->data(), bytes->size()), nullptr);
    std::vector<std::string> args;
    shim::Tag tag;
    const char* payload;
    uint32_t size;
    while (reader.next(&tag, &payload, &size))
        if (tag == shim::Tag::Arg) args.emplace_back(payload);
    EXPECT_EQ(args, (std::vector<std::string>{"/bin/echo", "one", ""}));
}

TEST(SpecWriter, RefusesWhatCannotBeStarted) {
    auto broken = [](auto change) {
        ProcessSpec spec = sample();
        change(spec);
        auto bytes = encode_spec(spec, {});
        return bytes ? std::string() : bytes.error().message();
    };
    EXPECT_EQ(broken([](auto& s) { s.command = "echo"; }), "command \"echo\": expected an absolute path");
    EXPECT_EQ(broken([](auto& s) { s.work_dir = "x"; }), "work_dir \"x\": expected an absolute path");
    EXPECT_EQ(broken([](auto& s) { s.env = {"A"}; }), "environment entry \"A\": expected NAME=VALUE");
    EXPECT_NE(broken([](auto& s) { s.args = {std::string("a\0b", 3)}; }).find("NUL"), std::string::npos);
    EXPECT_NE(broken([](auto& s) { s.env = {"A=" + std::string(9 << 20, 'x')}; }).find("at most"),
              std::string::npos);
}

TEST(SpecReader, NoticesEveryDamagedByte) {
    const std::string good = *encode_spec(sample(), {});
    for (size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 0x40);
        shim::SpecReader reader;
        // `reserved` is the one place where a flipped bit means nothing.
        if (i == 6 || i == 7) continue;
        EXPECT_NE(reader.open(bad.data(), bad.size()), nullptr) << "byte " << i;
        EXPECT_NE(reader.open(good.data(), i), nullptr) << "cut at " << i;
    }
}

TEST(Record, NoticesDamage) {
    shim::Record record{};
    record.phase = shim::Phase::Exited;
    shim::seal_record(&record);
    ASSERT_TRUE(shim::record_ok(record));
    for (size_t i = 0; i < sizeof record; ++i) {
        shim::Record bad = record;
        reinterpret_cast<char*>(&bad)[i] ^= 1;
        EXPECT_FALSE(shim::record_ok(bad)) << i;
    }
}

TEST(Frames, AreReadOnlyWhenWhole) {
    shim::FrameHeader header = shim::make_frame(shim::FrameType::Stop, sizeof(shim::StopRequest), 9);
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += std::string(sizeof(shim::StopRequest), 'x');
    shim::FrameHeader out;
    const char* payload = nullptr;
    for (size_t i = 0; i < bytes.size(); ++i)
        EXPECT_EQ(shim::parse_frame(bytes.data(), i, &out, &payload), shim::Parse::NeedMore);
    EXPECT_EQ(shim::parse_frame(bytes.data(), bytes.size(), &out, &payload), shim::Parse::Ok);
    EXPECT_EQ(out.id, 9u);
    bytes[0] = 'X';
    EXPECT_EQ(shim::parse_frame(bytes.data(), bytes.size(), &out, &payload), shim::Parse::Bad);
}

TEST(TaskDirName, IsSafeAndDistinct) {
    EXPECT_EQ(task_dir_name("ab12/web/9f"), "ab12%2Fweb%2F9f");
    EXPECT_EQ(task_dir_name(".."), "%2E.");
    EXPECT_EQ(task_dir_name(".shim"), "%2Eshim");
    EXPECT_NE(task_dir_name("a/b"), task_dir_name("a%2Fb"));
    const std::string a(400, 'a');
    EXPECT_LE(task_dir_name(a).size(), 255u);
    EXPECT_NE(task_dir_name(a), task_dir_name(a + "b"));
}

}  // namespace
}  // namespace drover::sdk
