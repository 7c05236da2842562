// SPDX-License-Identifier: Apache-2.0
// Goal: what was acknowledged is there after a kill -9 at any moment; files that cannot be used are kept
// aside. Method: a child process writes and reports each acknowledged write through a pipe until it is
// killed.
#include "agent/store/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "proto/client/state.pb.h"

namespace drover::agent {
namespace {

class StoreTest : public testing::Test {
 protected:
    void SetUp() override {
        log::set_level(log::Level::Off);
        dir_ = fmt::format("/tmp/drover-store-{}", new_uuid());
        ASSERT_TRUE(make_dirs(dir_));
        path_ = dir_ + "/state.db";
    }
    void TearDown() override { ASSERT_TRUE(remove_tree(dir_)); }

    std::unique_ptr<Store> open() {
        auto store = Store::open(path_, Durability::Power);
        EXPECT_TRUE(store) << store.error().message();
        return std::move(*store);
    }

    static client::AllocRecord alloc(const std::string& id, const std::string& status) {
        client::AllocRecord record;
        record.mutable_alloc()->set_id(id);
        record.mutable_alloc()->set_client_status(status);
        return record;
    }
    static client::TaskRecord task(const std::string& task_id) {
        client::TaskRecord record;
        record.set_format(1);
        record.set_task_id(task_id);
        return record;
    }

    std::string dir_;
    std::string path_;
};

TEST_F(StoreTest, KeepsTheLastOfEachRecordAcrossReopening) {
    {
        auto store = open();
        store->put_alloc(alloc("a", "pending"));
        store->put_task("a", "web", task("1"));
        store->put_task("a", "web", task("2"));
        store->put_alloc(alloc("a", "running"));
        store->put_alloc(alloc("gone", "complete"));
        store->put_task("gone", "web", task("9"));
        store->erase_alloc("gone");
        store->put_meta("boot", "x");
        ASSERT_TRUE(store->flush(5 * kSecond));
    }
    auto contents = open()->take_contents();
    ASSERT_EQ(contents.allocs.size(), 1u);
    EXPECT_EQ(contents.allocs["a"].alloc->alloc().client_status(), "running");
    EXPECT_EQ(contents.allocs["a"].tasks.at("web")->task_id(), "2");
    EXPECT_EQ(contents.meta["boot"], "x");
    EXPECT_EQ(contents.set_aside, "");
}

TEST_F(StoreTest, AcknowledgedWritesSurviveKill) {
    for (int round = 0; round < 5; ++round) {
        int pipe_fds[2];
        ASSERT_EQ(::pipe(pipe_fds), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto store = Store::open(path_, Durability::Power);
            if (!store) ::_exit(1);
            for (int i = 0; i < 1000000; ++i) {
                (*store)->put_alloc(alloc(fmt::format("r{}-{}", round, i), "running"),
                                    [i, &pipe_fds] { (void)!::write(pipe_fds[1], &i, sizeof i); });
                if (i % 50 == 0) (void)(*store)->flush(kSecond);
            }
            ::_exit(0);
        }
        ::close(pipe_fds[1]);
        int last = -1;
        int value = 0;
        while (last < 200 + round * 37 && ::read(pipe_fds[0], &value, sizeof value) == sizeof value)
            last = value;
        ASSERT_GE(last, 0);
        ::kill(child, SIGKILL);
        while (::read(pipe_fds[0], &value, sizeof value) == sizeof value) last = value;
        ::close(pipe_fds[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        const auto contents = open()->take_contents();
        EXPECT_EQ(contents.set_aside, "");
        for (int i = 0; i <= last; ++i) {
            ASSERT_TRUE(contents.allocs.contains(fmt::format("r{}-{}", round, i))) << i << " of " << last;
        }
    }
}

TEST_F(StoreTest, ACorruptFileIsKeptAsideWithAReason) {
    { open()->put_alloc(alloc("a", "running")); }
    auto bytes = *read_file(path_);
    for (size_t i = 0; i < bytes.size(); i += 7) bytes[i] = static_cast<char>(bytes[i] ^ 0x5a);
    ASSERT_TRUE(write_file(path_, bytes));
    auto store = open();
    const auto contents = store->take_contents();
    EXPECT_TRUE(contents.allocs.empty());
    EXPECT_NE(contents.set_aside.find(path_ + ".corrupt-"), std::string::npos) << contents.set_aside;
    const auto files = *list_dir(dir_);
    EXPECT_TRUE(std::any_of(files.begin(), files.end(),
                            [](const auto& f) { return starts_with(f, "state.db.corrupt-"); }));
    store->put_alloc(alloc("b", "running"));
    EXPECT_TRUE(store->flush(5 * kSecond));
}

TEST_F(StoreTest, AFileOfANewerAgentIsKeptAside) {
    {
        auto store = open();
        auto record = task("1");
        record.set_format(99);
        store->put_alloc(alloc("a", "running"));
        store->put_task("a", "web", record);
    }
    const auto contents = open()->take_contents();
    EXPECT_TRUE(contents.allocs.empty());
    EXPECT_NE(contents.set_aside.find(".newer-"), std::string::npos) << contents.set_aside;
    EXPECT_NE(contents.set_aside.find("format 99"), std::string::npos) << contents.set_aside;
}

TEST_F(StoreTest, GarbageInsteadOfADatabaseIsKeptAside) {
    ASSERT_TRUE(write_file(path_, std::string(5000, 'x')));
    EXPECT_NE(open()->take_contents().set_aside, "");
}

TEST_F(StoreTest, AMissingDirectoryIsAnErrorThatNamesIt) {
    const auto store = Store::open(dir_ + "/nowhere/state.db", Durability::Power);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message().find("/nowhere/state.db"), std::string::npos);
}

}  // namespace
}  // namespace drover::agent
