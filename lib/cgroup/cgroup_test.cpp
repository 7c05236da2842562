// SPDX-License-Identifier: Apache-2.0
// The real hierarchies where this machine has them (root), a fake cgroupfs directory for the tree it does not
// have.
#include "cgroup/cgroup.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/uuid.h"

namespace drover::cgroup {
namespace {

constexpr char kHybrid[] =
    "28 24 0:25 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs ro,mode=755\n"
    "29 28 0:26 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
    "30 28 0:27 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,name=systemd\n"
    "33 28 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 28 0:31 / /sys/fs/cgroup/my\\040memory rw - cgroup cgroup rw,memory\n";

TEST(CgroupLayout, ReadsHybridMounts) {
    Layout layout = parse_mounts(kHybrid);
    EXPECT_EQ(layout.version, Version::V1);
    ASSERT_NE(layout.hierarchy("cpuacct"), nullptr);
    EXPECT_EQ(*layout.hierarchy("cpuacct"), "/sys/fs/cgroup/cpu,cpuacct");
    EXPECT_EQ(*layout.hierarchy("memory"), "/sys/fs/cgroup/my memory");
    EXPECT_EQ(*layout.hierarchy("unified"), "/sys/fs/cgroup/unified");
    EXPECT_EQ(layout.controllers(), (std::vector<std::string>{"cpu", "cpuacct", "memory"}));
}

TEST(CgroupLayout, ReadsUnifiedMounts) {
    Layout layout = parse_mounts("29 28 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
    EXPECT_EQ(layout.version, Version::V2);
    EXPECT_EQ(layout.root2, "/sys/fs/cgroup");
}

TEST(CgroupLayout, SurvivesNonsense) {
    EXPECT_EQ(parse_mounts("").version, Version::None);
    EXPECT_EQ(parse_mounts("a b c - \n - - -\n1 2 3 4 5 6 -\n\\0 \\").version, Version::None);
}

TEST(Cgroup, RefusesPathsThatLeaveTheTree) {
    for (const char* path : {"", "/drover", "drover/../x", "drover//x", "drover/.", "a\nb", "drover/tasks/x"})
        EXPECT_FALSE(Cgroup::open(path)) << path;
    EXPECT_FALSE(Cgroup::open("drover", Layout()));
}

class FakeV2 : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-cgroup-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        layout_.version = Version::V2;
        layout_.root2 = name;
        put("cgroup.controllers", "cpuset cpu io memory pids\n");
        put("cgroup.subtree_control", "");
    }
    void TearDown() override { static_cast<void>(remove_tree(layout_.root2)); }
    void put(const std::string& file, std::string_view text) {
        ASSERT_TRUE(write_file(join_path(layout_.root2, file), text));
    }
    std::string get(const std::string& file) {
        return read_file(join_path(layout_.root2, file)).value_or("?");
    }
    Layout layout_;
};

TEST_F(FakeV2, CreatesParentsAndHandsControllersDown) {
    auto group = Cgroup::create("drover/task/a", {}, layout_);
    ASSERT_TRUE(group) << group.error().message();
    EXPECT_TRUE(group->exists());
    EXPECT_EQ(get("cgroup.subtree_control"), "+pids");  // the fake file keeps the last write only
    EXPECT_EQ(group->join_files(), (std::vector<std::string>{layout_.root2 + "/drover/task/a/cgroup.procs"}));
    EXPECT_EQ(group->unified_dir(), layout_.root2 + "/drover/task/a");
    EXPECT_EQ(group->oom_file(), layout_.root2 + "/drover/task/a/memory.events");
    EXPECT_TRUE(group->remove(kSecond));
    EXPECT_FALSE(group->exists());
    EXPECT_TRUE(group->remove(kSecond));
}

TEST_F(FakeV2, WritesLimitsInV2Terms) {
    auto group = Cgroup::create("drover/a", {}, layout_);
    ASSERT_TRUE(group);
    for (const char* file :
         {"cpu.weight", "cpu.max", "cpuset.cpus", "memory.max", "memory.low", "memory.swap.max", "pids.max"})
        put(std::string("drover/a/") + file, "");
    Limits limits;
    limits.cpu_shares = 1024;
    limits.cpu_quota_us = 50000;
    limits.cpuset_cpus = "0-1";
    limits.memory_limit_bytes = 64 << 20;
    limits.memory_soft_bytes = 32 << 20;
    limits.memory_swap_bytes = 0;
    limits.pids_max = 100;
    Status applied = group->apply(limits);
    ASSERT_TRUE(applied) << applied.error().message();
    EXPECT_EQ(get("drover/a/cpu.weight"), "39");
    EXPECT_EQ(get("drover/a/cpu.max"), "50000 100000");
    EXPECT_EQ(get("drover/a/cpuset.cpus"), "0-1");
    EXPECT_EQ(get("drover/a/memory.max"), "67108864");
    EXPECT_EQ(get("drover/a/memory.low"), "33554432");
    EXPECT_EQ(get("drover/a/memory.swap.max"), "0");
    EXPECT_EQ(get("drover/a/pids.max"), "100");
    limits = {};
    limits.memory_limit_bytes = -1;
    ASSERT_TRUE(group->apply(limits));
    EXPECT_EQ(get("drover/a/memory.max"), "max");
}

TEST_F(FakeV2, NamesTheKnobThatIsMissing) {
    auto group = Cgroup::create("drover/a", {}, layout_);
    ASSERT_TRUE(group);
    Limits limits;
    limits.pids_max = 1;
    Status applied = group->apply(limits);
    ASSERT_FALSE(applied);
    EXPECT_NE(applied.error().message().find("drover/a/pids.max"), std::string::npos);
}

TEST_F(FakeV2, ReadsStats) {
    auto group = Cgroup::create("drover/a", {}, layout_);
    ASSERT_TRUE(group);
    put("drover/a/cpu.stat",
        "usage_usec 300\nuser_usec 200\nsystem_usec 100\nnr_throttled 4\nthrottled_usec 7\n");
    put("drover/a/memory.stat", "anon 111\nfile 222\nkernel 5\nfile_mapped 33\n");
    put("drover/a/memory.current", "1000\n");
    put("drover/a/memory.peak", "2000\n");
    put("drover/a/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n");
    put("drover/a/pids.current", "6\n");
    auto stats = group->stats();
    ASSERT_TRUE(stats);
    EXPECT_EQ(stats->cpu_ns, 300'000u);
    EXPECT_EQ(stats->cpu_throttled_ns, 7'000u);
    EXPECT_EQ(stats->memory_rss_bytes, 111u);
    EXPECT_EQ(stats->memory_mapped_bytes, 33u);
    EXPECT_EQ(stats->memory_usage_bytes, 1000u);
    EXPECT_EQ(stats->memory_peak_bytes, 2000u);
    EXPECT_EQ(stats->oom_kills, 2u);
    EXPECT_EQ(stats->pids, 6u);
}

// cgroup.kill and cgroup.freeze are there without any controller, so a hybrid machine's unified tree will do.
TEST(UnifiedCgroup, KillsThroughTheKernel) {
    Layout layout = mounted();
    if (layout.version == Version::V1 && layout.hierarchy("unified"))
        layout.root2 = *layout.hierarchy("unified");
    layout.version = Version::V2;
    if (::geteuid() != 0 || layout.root2.empty()) GTEST_SKIP() << "needs root and cgroup2";
    const std::string parent = "drover-test-" + short_id(new_uuid());
    auto group = Cgroup::create(parent + "/task/below", {}, layout);
    ASSERT_TRUE(group) << group.error().message();
    pid_t pid = ::fork();
    if (pid == 0) {
        ::signal(SIGTERM, SIG_IGN);
        for (;;) ::pause();
    }
    ASSERT_TRUE(group->attach(pid));
    auto task = Cgroup::open(parent + "/task", layout);
    EXPECT_EQ(*task->procs(), std::vector<pid_t>{pid});
    EXPECT_TRUE(task->freeze(true));
    EXPECT_TRUE(task->freeze(false));
    EXPECT_FALSE(task->remove(20 * kMillisecond));
    std::thread reaper([pid] { ::waitpid(pid, nullptr, 0); });
    Status killed = task->kill_tree(5 * kSecond);
    reaper.join();
    EXPECT_TRUE(killed) << killed.error().message();
    EXPECT_TRUE(Cgroup::open(parent, layout)->remove(5 * kSecond));
    EXPECT_FALSE(task->exists());
}

// A group of this machine, gone again at the end whatever the test did.
class RealCgroup : public ::testing::Test {
 protected:
    void SetUp() override {
        if (::geteuid() != 0 || mounted().version == Version::None) GTEST_SKIP() << "needs root and cgroups";
        path_ = "drover-test-" + short_id(new_uuid());
        auto group = Cgroup::create(path_ + "/task");
        ASSERT_TRUE(group) << group.error().message();
        group_ = std::make_unique<Cgroup>(*group);
    }
    void TearDown() override {
        if (!group_) return;
        EXPECT_TRUE(group_->kill_tree(5 * kSecond));
        for (pid_t pid : children_) ::waitpid(pid, nullptr, 0);
        auto parent = Cgroup::open(path_);
        ASSERT_TRUE(parent);
        Status removed = parent->remove(5 * kSecond);
        EXPECT_TRUE(removed) << removed.error().message();
        EXPECT_FALSE(parent->exists());
    }
    template <class F>
    pid_t spawn_inside(F run) {
        pid_t pid = ::fork();
        if (pid == 0) {
            for (const std::string& file : group_->join_files())
                if (!write_file(file, "0")) ::_exit(99);
            ::_exit(run());
        }
        children_.push_back(pid);
        return pid;
    }
    bool eventually(const std::function<bool()>& condition) {
        for (int64_t deadline = mono_now() + 10 * kSecond; mono_now() < deadline; ::usleep(2000))
            if (condition()) return true;
        return condition();
    }
    std::string path_;
    std::unique_ptr<Cgroup> group_;
    std::vector<pid_t> children_;
};

TEST_F(RealCgroup, KillsATreeThatForksAllTheTime) {
    spawn_inside([] {
        ::signal(SIGCHLD, SIG_IGN);
        for (;;) {
            if (::fork() == 0) {
                ::setsid();
                ::usleep(3000);
                if (::fork() != 0) ::_exit(0);
            } else {
                ::usleep(2000);
            }
        }
        return 0;
    });
    ASSERT_TRUE(eventually([&] { return group_->procs()->size() >= 4; }));
    Status killed = group_->kill_tree(10 * kSecond);
    EXPECT_TRUE(killed) << killed.error().message();
    EXPECT_TRUE(group_->procs()->empty());
}

TEST_F(RealCgroup, CountsOomKillsAndMemory) {
    Limits limits;
    limits.memory_limit_bytes = 32 << 20;
    limits.memory_swap_bytes = 0;
    Status applied = group_->apply(limits);
    ASSERT_TRUE(applied) << applied.error().message();
    pid_t pid = spawn_inside([] {
        for (;;) {
            char* block = static_cast<char*>(::malloc(1 << 20));
            for (size_t i = 0; i < 1 << 20; i += 4096) const_cast<volatile char*>(block)[i] = 1;
        }
        return 0;
    });
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    children_.clear();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_TRUE(eventually([&] { return group_->oom_kills() >= 1; }));
    auto stats = group_->stats();
    ASSERT_TRUE(stats);
    EXPECT_GT(stats->memory_peak_bytes, 16u << 20);
    EXPECT_GT(stats->cpu_ns, 0u);
}

TEST_F(RealCgroup, SamplesAgainAndAgainUntilItIsGone) {
    StatsReader reader(*group_);
    for (int i = 0; i < 3; ++i) {
        auto stats = reader.read();
        ASSERT_TRUE(stats) << stats.error().message();
        EXPECT_EQ(stats->cpu_ns, group_->stats()->cpu_ns);
    }
    ASSERT_TRUE(group_->remove(5 * kSecond));
    EXPECT_EQ(reader.read().error().code(), Code::NotFound);
}

TEST_F(RealCgroup, SetsLimitsAndAttaches) {
    Limits limits;
    limits.cpu_shares = 512;
    limits.memory_limit_bytes = 64 << 20;
    limits.memory_soft_bytes = 32 << 20;
    limits.pids_max = 50;
    Status applied = group_->apply(limits);
    ASSERT_TRUE(applied) << applied.error().message();
    limits.memory_limit_bytes = 16 << 20;  // down and up again
    EXPECT_TRUE(group_->apply(limits));
    limits.memory_limit_bytes = 128 << 20;
    EXPECT_TRUE(group_->apply(limits));
    pid_t pid = ::fork();
    if (pid == 0) {
        ::pause();
        ::_exit(0);
    }
    children_.push_back(pid);
    Status attached = group_->attach(pid);
    ASSERT_TRUE(attached) << attached.error().message();
    EXPECT_EQ(*group_->procs(), std::vector<pid_t>{pid});
    EXPECT_FALSE(group_->remove(50 * kMillisecond));  // in use
    EXPECT_TRUE(group_->freeze(true));
    EXPECT_TRUE(group_->freeze(false));
}

}  // namespace
}  // namespace drover::cgroup
