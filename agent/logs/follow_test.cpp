// SPDX-License-Identifier: Apache-2.0
// Goal: every byte of rotated logs once and in order, from any offset, also while they are written and
// rotated.
#include "agent/logs/follow.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "base/uuid.h"

namespace drover::agent {
namespace {

class FollowTest : public testing::Test {
 protected:
    void SetUp() override {
        root_ = fmt::format("/tmp/drover-follow-{}", new_uuid());
        ASSERT_TRUE(make_dirs(root_, 0711));
        dir_ = std::make_unique<AllocDir>(root_, "a1");
        ASSERT_TRUE(dir_->build());
    }
    void TearDown() override { ASSERT_TRUE(remove_tree(root_)); }

    std::string log(int n) const { return fmt::format("{}/web.stdout.{}", dir_->logs(), n); }
    void write(int n, const std::string& text) { ASSERT_TRUE(write_file(log(n), text, 0644)); }

    std::string all(const std::string& origin, int64_t offset) {
        auto stream = follow_logs(*dir_, "web.stdout", origin, offset, false);
        EXPECT_TRUE(stream) << stream.error().message();
        std::string text;
        while (true) {
            auto frame = (*stream)->next();
            if (!frame) {
                EXPECT_EQ(frame.error().code(), Code::OutOfRange);
                return text;
            }
            text += (*frame)->data();
        }
    }

    std::string root_;
    std::unique_ptr<AllocDir> dir_;
};

TEST_F(FollowTest, OffsetsCountOverAllFiles) {
    write(2, "aaaa");
    write(3, "bbbb");
    write(10, "cc");
    ASSERT_TRUE(write_file(dir_->logs() + "/web.stderr.0", "no"));
    ASSERT_EQ(::symlink("web.stdout.10", (dir_->logs() + "/web.stdout").c_str()), 0);
    EXPECT_EQ(all("start", 0), "aaaabbbbcc");
    EXPECT_EQ(all("start", 3), "abbbbcc");
    EXPECT_EQ(all("start", 6), "bbcc");
    EXPECT_EQ(all("start", 100), "");
    EXPECT_EQ(all("end", 0), "");
    EXPECT_EQ(all("end", 2), "cc");
    EXPECT_EQ(all("end", 3), "bcc");
    EXPECT_EQ(all("end", 100), "aaaabbbbcc");
}

TEST_F(FollowTest, FramesTellFileAndOffsetAfterTheData) {
    write(0, "hello");
    auto stream = *follow_logs(*dir_, "web.stdout", "start", 0, false);
    const auto frame = stream->next();
    ASSERT_TRUE(frame);
    EXPECT_EQ((*frame)->file(), "alloc/logs/web.stdout.0");
    EXPECT_EQ((*frame)->offset(), 5);
}

TEST_F(FollowTest, FollowsAWriterAcrossRotations) {
    auto stream = *follow_logs(*dir_, "web.stdout", "start", 0, true);
    constexpr int kFiles = 20;
    constexpr int kLines = 500;
    std::thread writer([this] {
        int line = 0;
        for (int n = 0; n < kFiles; ++n) {
            FILE* out = ::fopen(log(n).c_str(), "w");
            for (int i = 0; i < kLines; ++i) {
                fmt::print(out, "{}\n", line++);
                if (i % 50 == 0) ::fflush(out);
            }
            ::fclose(out);
        }
    });
    std::string want;
    for (int i = 0; i < kFiles * kLines; ++i) want += fmt::format("{}\n", i);
    std::string got;
    while (got.size() < want.size()) {
        auto frame = stream->next();
        ASSERT_TRUE(frame) << frame.error().message();
        got += (*frame)->data();
    }
    writer.join();
    EXPECT_EQ(got, want);
}

TEST_F(FollowTest, SkipsFilesThatWereRotatedAwayUnderIt) {
    write(0, "a");
    auto stream = *follow_logs(*dir_, "web.stdout", "start", 0, true);
    EXPECT_EQ((*stream->next())->data(), "a");
    write(5, "f");
    ::unlink(log(0).c_str());
    EXPECT_EQ((*stream->next())->data(), "f");
}

TEST_F(FollowTest, SendsHeartbeatsAndEndsWhenCancelled) {
    auto stream = *follow_logs(*dir_, "web.stdout", "start", 0, true);
    const auto beat = stream->next();
    ASSERT_TRUE(beat);
    EXPECT_EQ((*beat)->ByteSizeLong(), 0u);
    std::thread canceller([&] { stream->cancel(); });
    while (true) {
        const auto frame = stream->next();
        if (frame) continue;
        EXPECT_EQ(frame.error().code(), Code::OutOfRange);
        break;
    }
    canceller.join();
}

TEST_F(FollowTest, AFileTellsOfTruncationAndRemoval) {
    const std::string path = dir_->shared() + "/data/f";
    ASSERT_TRUE(write_file(path, "12345"));
    auto stream = *follow_file(*dir_, "alloc/data/f", "end", 2, true);
    EXPECT_EQ((*stream->next())->data(), "45");
    ASSERT_EQ(::truncate(path.c_str(), 0), 0);
    EXPECT_EQ((*stream->next())->file_event(), "file truncated");
    ASSERT_TRUE(write_file(path, "xy"));
    EXPECT_EQ((*stream->next())->data(), "xy");
    ::unlink(path.c_str());
    EXPECT_EQ((*stream->next())->file_event(), "file deleted");
    EXPECT_EQ(stream->next().error().code(), Code::OutOfRange);
}

TEST_F(FollowTest, RefusesWhatMakesNoSense) {
    EXPECT_EQ(follow_logs(*dir_, "web.stdout", "middle", 0, false).error().code(), Code::InvalidArgument);
    EXPECT_EQ(follow_logs(*dir_, "web.stdout", "start", -1, false).error().code(), Code::InvalidArgument);
    EXPECT_EQ(follow_file(*dir_, "alloc/none", "start", 0, false).error().code(), Code::NotFound);
    EXPECT_EQ(follow_file(*dir_, "../x", "start", 0, false).error().code(), Code::PermissionDenied);
}

}  // namespace
}  // namespace drover::agent
