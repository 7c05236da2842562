// SPDX-License-Identifier: Apache-2.0
// Goal: what was acknowledged is never lost and never doubled, wherever the process is killed; damaged files
// are named and kept. Method: a child process writes numbered entries and tells which were acknowledged; it
// is killed at random; the log is opened again and compared. The machine under test adds up its entries, so a
// lost or doubled one shows.
#include "server-lite/raft_io/single_log.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <random>

#include "base/clock.h"
#include "base/files.h"
#include "server-lite/raft_io/snapshot_file.h"

namespace drover::server::raft {
namespace {

class Adder final : public StateMachine {
 public:
    std::vector<Status> apply(std::span<const Entry> entries) override {
        std::lock_guard lock(mutex);
        std::vector<Status> out;
        for (const auto& entry : entries) {
            EXPECT_EQ(entry.index, index + 1);
            index = entry.index;
            values.push_back(entry.command);
            if (entry.command == "refuse")
                out.push_back(make_error(Code::FailedPrecondition, "refused"));
            else
                out.push_back({});
        }
        return out;
    }
    std::function<Status(const RecordSink&)> capture() override {
        std::lock_guard lock(mutex);
        return [copy = values](const RecordSink& sink) -> Status {
            for (const auto& value : copy) DROVER_CHECK(sink(value));
            return {};
        };
    }
    Status restore(const RecordSource& source) override {
        for (;;) {
            DROVER_TRY(auto record, source());
            if (!record) return {};
            values.push_back(*record);
            index = values.size();
        }
    }
    std::mutex mutex;
    std::vector<std::string> values;
    uint64_t index = 0;
};

struct TempDir {
    TempDir() {
        char name[] = "/tmp/drover-log-test-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~TempDir() { (void)remove_tree(path); }
    std::string path;
};

Result<uint64_t> propose(SingleLog& log, std::string command) {
    std::promise<Result<uint64_t>> promise;
    auto future = promise.get_future();
    log.propose(std::move(command), [&](Result<uint64_t> r) { promise.set_value(std::move(r)); });
    return future.get();
}

// Writes "1", "2", ... until killed; each acknowledged number goes into the pipe.
[[noreturn]] void child(const std::string& dir, int pipe, uint64_t threshold) {
    Adder machine;
    auto log = SingleLog::open({dir, threshold}, machine);
    if (!log) ::_exit(3);
    std::atomic<int> in_flight{0};
    for (uint64_t next = machine.values.size() + 1;; ++next) {
        while (in_flight.load() > 20) std::this_thread::yield();
        ++in_flight;
        (*log)->propose(std::to_string(next), [&, next](Result<uint64_t> r) {
            if (!r || *r != next) ::_exit(4);
            if (::write(pipe, &next, sizeof next) != sizeof next) ::_exit(5);
            --in_flight;
        });
    }
}

TEST(SingleLog, LosesNothingThatWasAcknowledgedWhenKilledAnywhere) {
    TempDir dir;
    std::mt19937 random(static_cast<unsigned>(mono_now()));
    uint64_t acknowledged = 0;
    for (int round = 0; round < 15; ++round) {
        int pipe[2];
        ASSERT_EQ(::pipe(pipe), 0);
        const pid_t pid = ::fork();
        ASSERT_GE(pid, 0);
        if (pid == 0) {
            ::close(pipe[0]);
            child(dir.path, pipe[1], 40);  // snapshots and truncation all the time
        }
        ::close(pipe[1]);
        const int64_t end = mono_now() + static_cast<int64_t>(random() % 60) * kMillisecond;
        uint64_t number = 0, last = 0;
        // At least one acknowledgement, then some more until its time has come.
        while (::read(pipe[0], &number, sizeof number) == sizeof number) {
            last = std::max(last, number);
            if (mono_now() > end) break;
        }
        ::kill(pid, SIGKILL);
        int status = 0;
        ::waitpid(pid, &status, 0);
        while (::read(pipe[0], &number, sizeof number) == sizeof number) last = std::max(last, number);
        ::close(pipe[0]);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
        acknowledged = std::max(acknowledged, last);

        Adder machine;
        auto log = SingleLog::open({dir.path, 40}, machine);
        ASSERT_TRUE(log) << log.error().message();
        ASSERT_GE(machine.values.size(), acknowledged);
        for (size_t i = 0; i < machine.values.size(); ++i)
            ASSERT_EQ(machine.values[i], std::to_string(i + 1));
        EXPECT_EQ((*log)->applied_index(), machine.values.size());
    }
    EXPECT_GT(acknowledged, 100u);
}

TEST(SingleLog, AnswersWhatApplyAnswered) {
    Adder machine;
    auto log = SingleLog::open({}, machine);
    ASSERT_TRUE(log);
    EXPECT_EQ(*propose(**log, "a"), 1u);
    auto refused = propose(**log, "refuse");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message(), "refused");
    EXPECT_EQ(*propose(**log, "b"), 3u);
    (*log)->stop();
    EXPECT_EQ(propose(**log, "late").error().code(), Code::Cancelled);
}

TEST(SingleLog, TermsGrowWithEachStart) {
    TempDir dir;
    for (uint64_t term = 1; term <= 3; ++term) {
        Adder machine;
        auto log = SingleLog::open({dir.path, 100}, machine);
        ASSERT_TRUE(log);
        EXPECT_EQ((*log)->term(), term);
    }
}

std::string open_error(const std::string& dir) {
    Adder machine;
    auto log = SingleLog::open({dir, 8192}, machine);
    return log ? "" : log.error().message();
}

// Fills a log, with a snapshot when the threshold is small, and closes it.
void fill(const std::string& dir, int entries, uint64_t threshold) {
    Adder machine;
    auto log = SingleLog::open({dir, threshold}, machine);
    ASSERT_TRUE(log);
    for (int i = 1; i <= entries; ++i)
        ASSERT_TRUE(propose(**log, std::string(500, static_cast<char>('a' + i % 26))));
}

TEST(SingleLog, NamesADamagedEntryAndKeepsTheFile) {
    TempDir dir;
    fill(dir.path, 50, 8192);
    const auto path = dir.path + "/raft.db";
    auto bytes = *read_file(path);
    const auto at = bytes.find(std::string(400, 'f'));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 200] = 'X';
    ASSERT_TRUE(write_file(path, bytes));
    const auto error = open_error(dir.path);
    EXPECT_NE(error.find(path), std::string::npos) << error;
    EXPECT_NE(error.find("does not match its checksum"), std::string::npos) << error;
    EXPECT_EQ(read_file(path)->size(), bytes.size());
}

TEST(SingleLog, NoticesAMissingOrDamagedSnapshot) {
    TempDir dir;
    fill(dir.path, 60, 20);
    const auto path = dir.path + "/snapshot";
    ASSERT_TRUE(path_exists(path));
    const auto good = *read_file(path);
    auto bad = good;
    bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] + 1);
    ASSERT_TRUE(write_file(path, bad));
    EXPECT_NE(open_error(dir.path).find(path + " is damaged"), std::string::npos);
    ASSERT_TRUE(write_file(path, good.substr(0, good.size() - 5)));
    EXPECT_NE(open_error(dir.path).find(path + " is damaged"), std::string::npos);
    ASSERT_EQ(::unlink(path.c_str()), 0);
    EXPECT_NE(open_error(dir.path).find("has a gap"), std::string::npos) << open_error(dir.path);
    ASSERT_TRUE(write_file(path, good));
    EXPECT_EQ(open_error(dir.path), "");
}

TEST(SingleLog, GoesOnWhenThereIsRoomAgain) {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting a small tmpfs needs root";
    TempDir dir;
    if (::mount("tmpfs", dir.path.c_str(), "tmpfs", 0, "size=400k") != 0) GTEST_SKIP() << "no mounts here";
    {
        Adder machine;
        auto log = SingleLog::open({dir.path, 8192}, machine);
        ASSERT_TRUE(log) << log.error().message();
        ASSERT_TRUE(write_file(dir.path + "/ballast", std::string(150'000, 'b')));
        Result<uint64_t> result = uint64_t{0};
        uint64_t stored = 0;
        for (int i = 0; i < 1000 && result; ++i)
            if ((result = propose(**log, std::string(5000, 'x')))) stored = *result;
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code(), Code::ResourceExhausted) << result.error().message();
        EXPECT_NE(result.error().message().find(dir.path + "/raft.db"), std::string::npos);
        EXPECT_EQ(machine.values.size(), stored) << "what is not stored is not applied";
        ASSERT_EQ(::unlink((dir.path + "/ballast").c_str()), 0);
        auto again = propose(**log, "y");
        ASSERT_TRUE(again) << again.error().message();
        EXPECT_EQ(*again, stored + 1);
    }
    ::umount2(dir.path.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace drover::server::raft
