// SPDX-License-Identifier: Apache-2.0
// The escape character, and a reader of stdin that can be ended while it waits.
#include "cli/exec_terminal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "base/fd.h"

namespace drover::cli {
namespace {

std::string passed(EscapeFilter& filter, std::string_view typed) {
    auto found = filter.feed(typed);
    return found.pass + (found.detach ? "<detach>" : "");
}

TEST(EscapeFilter, DetachesAtTheBeginningOfALineOnly) {
    EscapeFilter filter('~');
    EXPECT_EQ(passed(filter, "ls ~.\r"), "ls ~.\r");
    EXPECT_EQ(passed(filter, "~"), "");  // held back until it is known what it is
    EXPECT_EQ(passed(filter, "x~."), "~x~.");
    EXPECT_EQ(passed(filter, "\r~~."), "\r~.");
    EXPECT_EQ(passed(filter, "\n"), "\n");
    EXPECT_EQ(passed(filter, "~.rest"), "<detach>");
    EscapeFilter first('~');
    EXPECT_EQ(passed(first, "~."), "<detach>");
    EscapeFilter newline('~');
    EXPECT_EQ(passed(newline, "~\r~."), "~\r<detach>");
}

TEST(EscapeFilter, NoneAndOthers) {
    EscapeFilter none(std::nullopt);
    EXPECT_EQ(passed(none, "~.\r~."), "~.\r~.");
    EscapeFilter other('%');
    EXPECT_EQ(passed(other, "~.\r%."), "~.\r<detach>");
}

TEST(InputReader, OnePieceAtATimeToTheEndAndEndsWhileItWaits) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd out(ends[0]);
    UniqueFd in(ends[1]);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> pieces;
    auto got = [&](size_t count) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, std::chrono::seconds(10), [&] { return pieces.size() >= count; });
    };
    {
        InputReader reader(out.get(), [&](std::string piece) {
            std::lock_guard lock(mutex);
            pieces.push_back(std::move(piece));
            changed.notify_all();
        });
        ASSERT_EQ(::write(in.get(), "one", 3), 3);
        ASSERT_TRUE(got(1));
        ASSERT_EQ(::write(in.get(), "two", 3), 3);
        reader.resume();
        ASSERT_TRUE(got(2));
        reader.resume();
        in.reset();
        ASSERT_TRUE(got(3));
    }
    EXPECT_EQ(pieces, (std::vector<std::string>{"one", "two", ""}));
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    UniqueFd waiting(ends[0]);
    UniqueFd writer(ends[1]);
    InputReader blocked(waiting.get(), [](std::string) { FAIL() << "nothing was written"; });
}

}  // namespace
}  // namespace drover::cli
