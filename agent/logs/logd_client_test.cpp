// SPDX-License-Identifier: Apache-2.0
// LogdClient against the real drover-logd: draining, rotation, links, full disks, and the death of either
// process.
#include "agent/logs/logd_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/sys/proc.h"

namespace drover::agent {
namespace {

bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 15 * kSecond) {
    for (int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(2000))
        if (condition()) return true;
    return condition();
}

class LogdTest : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-logd-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        logs_ = dir_ + "/logs";
        ASSERT_TRUE(make_dirs(logs_, 0777));
        reopen();
    }
    void TearDown() override {
        if (client_) {
            Status stopped = client_->shutdown();
            EXPECT_TRUE(stopped) << stopped.error().message();
        }
        client_.reset();
        if (mounted_) {
            EXPECT_EQ(::umount2(logs_.c_str(), MNT_DETACH), 0);
        }
        EXPECT_TRUE(remove_tree(dir_));
    }
    // As an agent that was killed and started again.
    void reopen() {
        client_.reset();
        const char* build = ::getenv("DROVER_BUILD_DIR");
        auto client = LogdClient::open(
            {dir_ + "/state", std::string(build ? build : "build/dev") + "/libexec/drover/drover-logd", ""});
        ASSERT_TRUE(client) << client.error().message();
        client_ = std::move(*client);
    }
    LogStream stream(const std::string& name = "web.stdout") {
        return {"alloc/" + name, dir_ + "/" + name + ".fifo", logs_, name, 10, 10u << 20};
    }
    void add(const LogStream& stream) {
        Status added = client_->add(stream);
        ASSERT_TRUE(added) << added.error().message();
    }
    // A writer like a task: the FIFO open for writing only.
    UniqueFd writer(const LogStream& stream) {
        UniqueFd fd(::open(stream.fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
        EXPECT_TRUE(fd.valid()) << "nobody holds the FIFO: " << std::strerror(errno);
        if (fd) ::fcntl(fd.get(), F_SETFL, O_WRONLY);
        return fd;
    }
    // Never kill(0): a pid that is not known is a failure, not our own process group.
    void kill_one(std::function<pid_t()> find) {
        pid_t pid = 0;
        ASSERT_TRUE(eventually([&] { return (pid = find()) > 1; }));
        ASSERT_EQ(::kill(pid, SIGKILL), 0);
    }
    void kill_worker() {
        kill_one([&] { return client_->worker_pid(); });
    }
    std::string file(const std::string& name) { return read_file(join_path(logs_, name)).value_or("(none)"); }
    std::string link(const std::string& name) {
        char target[256];
        ssize_t n = ::readlink(join_path(logs_, name).c_str(), target, sizeof target);
        return n < 0 ? "(none)" : std::string(target, static_cast<size_t>(n));
    }

    std::string dir_, logs_;
    std::unique_ptr<LogdClient> client_;
    bool mounted_ = false;
};

TEST_F(LogdTest, DrainsIntoTheFirstFileAndLinksIt) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    ASSERT_TRUE(write_all(fd.get(), "one\ntwo\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(file("web.stdout.0"), "one\ntwo\n");
    EXPECT_EQ(link("web.stdout"), "web.stdout.0");
    EXPECT_EQ(file("web.stdout"), "one\ntwo\n");
    EXPECT_EQ(client_->streams(), std::vector<LogStream>{out});
    auto status = client_->status();
    ASSERT_TRUE(status);
    ASSERT_EQ(status->size(), 1u);
    EXPECT_EQ((*status)[0].waiting_bytes, 0u);
    ASSERT_TRUE(client_->remove(out.id));
    ASSERT_TRUE(client_->remove(out.id));  // again: fine
    EXPECT_TRUE(client_->flush(out.id, kSecond));
    EXPECT_TRUE(client_->streams().empty());
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_FALSE(write_all(fd.get(), "nobody holds it any more"));
}

TEST_F(LogdTest, RotatesAtLineEndsAndKeepsTheNewest) {
    LogStream out = stream();
    out.max_files = 3;
    out.max_file_bytes = 1000;
    add(out);
    UniqueFd fd = writer(out);
    std::string all;
    for (int i = 0; i < 500; ++i) all += fmt::format("line {:05}\n", i);  // 11 bytes each: 90 in a file
    ASSERT_TRUE(write_all(fd.get(), all));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(*list_dir(logs_),
              (std::vector<std::string>{"web.stdout", "web.stdout.3", "web.stdout.4", "web.stdout.5"}));
    EXPECT_EQ(link("web.stdout"), "web.stdout.5");
    EXPECT_EQ(file("web.stdout.3") + file("web.stdout.4") + file("web.stdout.5"), all.substr(3 * 90 * 11));
    EXPECT_EQ(file("web.stdout.3").size(), 990u);
}

TEST_F(LogdTest, KeepsALineWholeThatComesInPieces) {
    LogStream out = stream();
    out.max_file_bytes = 100;
    add(out);
    UniqueFd fd = writer(out);
    const std::string first(80, 'a'), piece(40, 'b'), rest(10, 'c');
    ASSERT_TRUE(write_all(fd.get(), first + "\n" + piece));  // does not fit: the piece is the next file's
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    ASSERT_TRUE(write_all(fd.get(), rest + std::string(70, 'd') + "\nnext\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(file("web.stdout.0"), first + "\n");
    EXPECT_EQ(file("web.stdout.1"), piece + rest + std::string(70, 'd') + "\n");
    EXPECT_EQ(file("web.stdout.2"), "next\n");
}

TEST_F(LogdTest, CutsALineThatNeverEnds) {
    LogStream out = stream();
    out.max_file_bytes = 1000;
    out.max_files = 1000;
    add(out);
    UniqueFd fd = writer(out);
    const std::string endless(300'000, 'x');
    ASSERT_TRUE(write_all(fd.get(), endless));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    std::string got;
    for (int i = 0; path_exists(join_path(logs_, fmt::format("web.stdout.{}", i))); ++i) {
        std::string part = file(fmt::format("web.stdout.{}", i));
        EXPECT_LE(part.size(), 1000u + 16384u);
        got += part;
    }
    EXPECT_EQ(got.size(), endless.size());
}

TEST_F(LogdTest, IsNotLedAstrayByWhatATaskPutsIntoTheDirectory) {
    ASSERT_TRUE(write_file(dir_ + "/victim", "precious\n"));
    ASSERT_EQ(::symlink((dir_ + "/victim").c_str(), (logs_ + "/web.stdout.0").c_str()), 0);
    ASSERT_EQ(::link((dir_ + "/victim").c_str(), (logs_ + "/web.stdout.1").c_str()), 0);
    ASSERT_EQ(::mkfifo((logs_ + "/web.stdout.2").c_str(), 0666), 0);
    ASSERT_TRUE(make_dirs(logs_ + "/web.stdout.3"));
    ASSERT_TRUE(write_file(logs_ + "/web.stdout.99999999999999999999", ""));
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    ASSERT_TRUE(write_all(fd.get(), "text\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(*read_file(dir_ + "/victim"), "precious\n");
    EXPECT_EQ(file("web.stdout.4"), "text\n");
    EXPECT_EQ(link("web.stdout"), "web.stdout.4");
    // The whole directory swapped for a link: refused, nothing is written, the writer waits.
    LogStream other = stream("db.stdout");
    other.dir = dir_ + "/swapped";
    ASSERT_EQ(::symlink(dir_.c_str(), other.dir.c_str()), 0);
    add(other);
    UniqueFd other_fd = writer(other);
    ASSERT_TRUE(write_all(other_fd.get(), "text\n"));
    EXPECT_EQ(client_->flush(other.id, 300 * kMillisecond).error().code(), Code::DeadlineExceeded);
    EXPECT_FALSE(path_exists(dir_ + "/db.stdout.0"));
}

TEST_F(LogdTest, GoesOnWhenSomebodyRemovesOrEmptiesTheFile) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    ASSERT_TRUE(write_all(fd.get(), "one\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    ASSERT_EQ(::truncate((logs_ + "/web.stdout.0").c_str(), 0), 0);
    ASSERT_TRUE(write_all(fd.get(), "two\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(file("web.stdout.0"), "two\n");
    ASSERT_EQ(::unlink((logs_ + "/web.stdout.0").c_str()), 0);
    ASSERT_TRUE(write_all(fd.get(), "three\n"));
    ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(file("web.stdout"), "three\n");
}

TEST_F(LogdTest, RefusesStreamsThatMakeNoSense) {
    LogStream bad = stream();
    bad.fifo = "relative";
    EXPECT_EQ(client_->add(bad).error().code(), Code::InvalidArgument);
    bad = stream();
    bad.name = "../x";
    EXPECT_EQ(client_->add(bad).error().code(), Code::InvalidArgument);
    bad = stream();
    bad.fifo = dir_ + "/file";
    ASSERT_TRUE(write_file(bad.fifo, ""));
    EXPECT_NE(client_->add(bad).error().message().find("is not a FIFO"), std::string::npos);
    EXPECT_TRUE(client_->streams().empty());
}

TEST_F(LogdTest, ContinuesAfterTheWorkerDies) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    for (int i = 0; i < 10; ++i) {
        kill_worker();
        ASSERT_TRUE(write_all(fd.get(), fmt::format("{}\n", i)));
        ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    }
    EXPECT_EQ(file("web.stdout.0"), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
}

TEST_F(LogdTest, KeeperStartsAWorkerWhileTheAgentIsDead) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    const pid_t worker = client_->worker_pid(), keeper = client_->keeper_pid();
    ASSERT_GT(worker, 1);
    client_.reset();
    ASSERT_EQ(::kill(worker, SIGKILL), 0);
    ASSERT_TRUE(write_all(fd.get(), "agent is dead\n"));
    EXPECT_TRUE(eventually([&] { return file("web.stdout.0") == "agent is dead\n"; }));
    reopen();
    EXPECT_EQ(client_->keeper_pid(), keeper);
    EXPECT_NE(client_->worker_pid(), worker);
}

TEST_F(LogdTest, ANewKeeperTakesOverFromADeadOne) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    for (int i = 0; i < 5; ++i) {
        const pid_t keeper = client_->keeper_pid();
        ASSERT_GT(keeper, 1);
        ASSERT_EQ(::kill(keeper, SIGKILL), 0);
        ASSERT_TRUE(write_all(fd.get(), fmt::format("{}\n", i)));  // the worker still holds the FIFO
        ASSERT_TRUE(eventually([&] {
            pid_t now = client_->keeper_pid();
            return now != 0 && now != keeper;
        }));
        // And the FIFO is in its hands: with every worker dead the writer still has a reader.
        kill_worker();
        ASSERT_TRUE(client_->flush(out.id, 10 * kSecond));
    }
    EXPECT_EQ(file("web.stdout.0"), "0\n1\n2\n3\n4\n");
}

TEST_F(LogdTest, FindsAFifoAgainWhosePathIsGone) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    ASSERT_EQ(::unlink(out.fifo.c_str()), 0);
    const pid_t keeper = client_->keeper_pid();
    ASSERT_GT(keeper, 1);
    kill_worker();  // the next takes it from the keeper,
    ASSERT_TRUE(write_all(fd.get(), "one\n"));
    ASSERT_TRUE(eventually([&] { return file("web.stdout.0") == "one\n"; }));
    ASSERT_EQ(::kill(keeper, SIGKILL), 0);  // and the next keeper from the worker
    ASSERT_TRUE(eventually([&] { return client_->keeper_pid() != 0 && client_->keeper_pid() != keeper; }));
    kill_worker();
    ASSERT_TRUE(write_all(fd.get(), "two\n"));
    ASSERT_TRUE(eventually([&] { return file("web.stdout.0") == "one\ntwo\n"; })) << file("web.stdout.0");
}

TEST_F(LogdTest, ForgetsStreamsRemovedByAnAgentThatDied) {
    LogStream out = stream();
    add(out);
    UniqueFd fd = writer(out);
    const auto names = list_dir(dir_ + "/state/streams");
    ASSERT_TRUE(names);
    for (const std::string& name : *names) ASSERT_EQ(::unlink((dir_ + "/state/streams/" + name).c_str()), 0);
    reopen();
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_TRUE(eventually([&] { return !write_all(fd.get(), "x"); }));
}

TEST_F(LogdTest, WaitsForRoomOnAFullDisk) {
    if (::mount("tmpfs", logs_.c_str(), "tmpfs", 0, "size=256k") != 0) GTEST_SKIP() << "cannot mount a tmpfs";
    mounted_ = true;
    LogStream out = stream();
    std::mutex mutex;
    std::vector<std::pair<bool, int>> events;
    auto seen = [&] {
        std::lock_guard lock(mutex);
        return events;
    };
    auto note = [&](const LogEvent& event) {
        std::lock_guard lock(mutex);
        EXPECT_EQ(event.stream_id, out.id);
        events.emplace_back(event.full, event.error_number);
    };
    client_->on_event(note);
    ASSERT_TRUE(write_file(logs_ + "/ballast", std::string(200 << 10, 'b')));
    add(out);
    UniqueFd fd = writer(out);
    std::string all;
    while (all.size() < (180 << 10)) all += fmt::format("line {}\n", all.size());
    std::atomic<bool> written{false};
    std::thread task([&] {
        EXPECT_TRUE(write_all(fd.get(), all));
        written = true;
    });
    ASSERT_TRUE(eventually([&] { return seen().size() == 1; }));
    EXPECT_EQ(seen()[0], (std::pair<bool, int>(true, ENOSPC)));
    EXPECT_EQ(client_->flush(out.id, 50 * kMillisecond).error().code(), Code::DeadlineExceeded);
    // A new worker on the same full disk is no news, a new agent hears of it.
    kill_worker();
    EXPECT_EQ(client_->flush(out.id, 300 * kMillisecond).error().code(), Code::DeadlineExceeded);
    EXPECT_EQ(seen().size(), 1u);
    reopen();
    client_->on_event(note);
    ASSERT_TRUE(eventually([&] { return seen().size() == 2; }));
    EXPECT_TRUE(seen()[1].first);
    ASSERT_EQ(::unlink((logs_ + "/ballast").c_str()), 0);
    ASSERT_TRUE(eventually([&] { return seen().size() == 3; }));
    EXPECT_FALSE(seen()[2].first);
    task.join();
    EXPECT_TRUE(client_->flush(out.id, 10 * kSecond));
    EXPECT_EQ(file("web.stdout.0"), all);
}

}  // namespace
}  // namespace drover::agent
