// SPDX-License-Identifier: Apache-2.0
// Lines of plugins' stderr: hclog JSON, tags, panics, pieces, and what must not reach a terminal. Backoff
// beside it.
#include "agent/host/plugin_log.h"

#include <gtest/gtest.h>

#include "agent/host/backoff.h"
#include "agent/host/limits.h"

namespace drover::agent {
namespace {

PluginLogLine one(const std::string& text) {
    PluginLog log;
    auto lines = log.feed(text + "\n");
    EXPECT_EQ(lines.size(), 1u) << text;
    return lines.empty() ? PluginLogLine() : lines[0];
}

TEST(PluginLog, ReadsHclog) {
    auto line = one(R"({"@level":"warn","@message":"disk is slow","@module":"podman",)"
                    R"("@timestamp":"2026-11-21T10:00:00.123456Z","n":3})");
    EXPECT_EQ(line.level, log::Level::Warn);
    EXPECT_EQ(line.message, "disk is slow");
    const std::vector<std::pair<std::string, std::string>> fields = {
        {"@module", "podman"}, {"timestamp", "2026-11-21T10:00:00.123456Z"}, {"n", "3"}};
    for (const auto& field : fields)
        EXPECT_NE(std::find(line.fields.begin(), line.fields.end(), field), line.fields.end()) << field.first;
}

TEST(PluginLog, EverythingElseIsAPlainLine) {
    for (const char* text :
         {R"({"@level":5,"@message":"x"})", R"({"@level":"loud","@message":"x"})", R"({"@message":"x"})", "{",
          "[]", R"({"@level":"info","@message":"a"}{"@level":"info","@message":"b"})"}) {
        EXPECT_EQ(one(text).level, log::Level::Debug) << text;
        EXPECT_EQ(one(text).message, text);
    }
    EXPECT_EQ(one("[ERROR] no").level, log::Level::Error);
    EXPECT_EQ(one("[ERROR] no").message, "[ERROR] no");
    EXPECT_EQ(one(std::string(1000, '[')).level, log::Level::Debug);
    EXPECT_EQ(one("{\"@level\":" + std::string(60000, '[')).level, log::Level::Debug);
}

TEST(PluginLog, AfterAPanicAllIsAnError) {
    PluginLog log;
    auto lines = log.feed("fine\npanic: nil map\ngoroutine 1\n[INFO] tagged\n");
    ASSERT_EQ(lines.size(), 4u);
    EXPECT_EQ(lines[0].level, log::Level::Debug);
    EXPECT_EQ(lines[1].level, log::Level::Error);
    EXPECT_EQ(lines[2].level, log::Level::Error);
    EXPECT_EQ(lines[3].level, log::Level::Info);
    EXPECT_EQ(log.tail(), "panic: nil map; goroutine 1; [INFO] tagged");
}

TEST(PluginLog, PiecesBecomeLinesAndLinesThatAreTooLongPieces) {
    PluginLog log;
    EXPECT_TRUE(log.feed("hal").empty());
    auto lines = log.feed("lo\n\r\n  \nrest");
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].message, "hallo");
    lines = log.finish();
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].message, "rest");
    lines = log.feed(std::string(2 * kLogLineBytesMax + 10, 'x') + "\n");
    ASSERT_EQ(lines.size(), 3u);
    EXPECT_EQ(lines[0].message.size(), kLogLineBytesMax);
    EXPECT_EQ(lines[2].message.size(), 10u);
}

TEST(PluginLog, CannotForgeLinesOrMoveTheCursor) {
    EXPECT_EQ(one("a\x1b[2Jb\x7f").message, "a\\x1b[2Jb\\x7f");
    EXPECT_EQ(one(R"({"@level":"info","@message":"a\nb"})").message, "a\\x0ab");
}

TEST(Backoff, DoublesToItsLimitWithJitterAndResets) {
    Backoff backoff(100, 1000);
    EXPECT_EQ(backoff.next(0), 100);
    EXPECT_EQ(backoff.next(0), 200);
    EXPECT_EQ(backoff.next(0), 400);
    EXPECT_EQ(backoff.next(0), 800);
    for (uint32_t random = 0; random < 5000; random += 7) {
        const int64_t delay = backoff.next(random);
        EXPECT_LE(delay, 1000);
        EXPECT_GE(delay, 750);
    }
    backoff.reset();
    EXPECT_EQ(backoff.next(0), 100);
}

}  // namespace
}  // namespace drover::agent
