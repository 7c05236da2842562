// SPDX-License-Identifier: Apache-2.0
// Goal: directories with the right modes, and no path from outside ever leads out of them or into secrets.
#include "agent/allocdir/alloc_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/uuid.h"

namespace drover::agent {
namespace {

class AllocDirTest : public testing::Test {
 protected:
    void SetUp() override {
        root_ = fmt::format("/tmp/drover-allocdir-{}", new_uuid());
        ASSERT_TRUE(make_dirs(root_, 0711));
        dir_ = std::make_unique<AllocDir>(root_, "a1");
        ASSERT_TRUE(dir_->build());
        ASSERT_TRUE(dir_->build_task("web", {::geteuid(), ::getegid()}));
    }
    void TearDown() override { ASSERT_TRUE(remove_tree(root_)); }

    static mode_t mode(const std::string& path) {
        struct stat st {};
        EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
        return st.st_mode & 07777;
    }

    std::string root_;
    std::unique_ptr<AllocDir> dir_;
};

TEST_F(AllocDirTest, MakesTheTreeWithItsModesAndAgain) {
    ASSERT_TRUE(dir_->build());
    ASSERT_TRUE(dir_->build_task("web", {::geteuid(), ::getegid()}));
    EXPECT_EQ(mode(dir_->shared() + "/data"), 0777u);
    EXPECT_EQ(mode(dir_->shared() + "/tmp"), 01777u);
    EXPECT_EQ(mode(dir_->task("web") + "/local"), 0777u);
    EXPECT_EQ(mode(dir_->task("web") + "/secrets"), 0700u);
}

TEST_F(AllocDirTest, TaskNamesThatAreNoDirectoryNamesAreRefused) {
    for (const char* name : {"", ".", "..", "alloc", "a/b"}) {
        EXPECT_EQ(dir_->build_task(name, {}).error().code(), Code::InvalidArgument) << name;
    }
}

TEST_F(AllocDirTest, ListsAndReads) {
    ASSERT_TRUE(write_file(dir_->logs() + "/web.stdout.0", "hello\n", 0644));
    const auto infos = dir_->list("/");
    ASSERT_TRUE(infos);
    ASSERT_EQ(infos->size(), 2u);
    EXPECT_EQ((*infos)[0].name(), "alloc");
    EXPECT_EQ((*infos)[0].file_mode(), "drwxrwxrwx");
    const auto info = dir_->stat("alloc/logs/web.stdout.0");
    ASSERT_TRUE(info);
    EXPECT_EQ(info->size(), 6);
    EXPECT_EQ(info->name(), "web.stdout.0");
    EXPECT_EQ(info->content_type(), "text/plain; charset=utf-8");
    EXPECT_TRUE(dir_->open("/alloc/logs/web.stdout.0"));
    EXPECT_EQ(dir_->open("alloc/logs").error().code(), Code::InvalidArgument);
    EXPECT_EQ(dir_->open("alloc/nothing").error().code(), Code::NotFound);
}

TEST_F(AllocDirTest, NoPathLeadsOut) {
    ASSERT_EQ(::symlink("/etc/passwd", (dir_->shared() + "/data/abs").c_str()), 0);
    ASSERT_EQ(::symlink("../../../../../../etc/passwd", (dir_->shared() + "/data/rel").c_str()), 0);
    ASSERT_EQ(::symlink("/etc", (dir_->shared() + "/data/dir").c_str()), 0);
    ASSERT_EQ(::symlink("/proc/self/root", (dir_->shared() + "/data/proc").c_str()), 0);
    for (const char* path : {"alloc/data/abs", "alloc/data/rel", "alloc/data/dir/passwd",
                             "../../../etc/passwd", "..", "alloc/../../x", "alloc/data/proc/etc/passwd"}) {
        const auto opened = dir_->open(path);
        ASSERT_FALSE(opened) << path;
        EXPECT_EQ(opened.error().code(), Code::PermissionDenied) << path << ": " << opened.error().message();
    }
}

TEST_F(AllocDirTest, SecretsAreNeverRead) {
    ASSERT_TRUE(write_file(dir_->task("web") + "/secrets/token", "s"));
    ASSERT_EQ(::symlink("../secrets/token", (dir_->task("web") + "/local/link").c_str()), 0);
    for (const char* path : {"web/secrets/token", "web/local/link"}) {
        const auto opened = dir_->open(path);
        ASSERT_FALSE(opened) << path;
        EXPECT_EQ(opened.error().code(), Code::PermissionDenied);
    }
}

TEST_F(AllocDirTest, AFifoDoesNotBlockAReader) {
    ASSERT_EQ(::mkfifo((dir_->shared() + "/data/fifo").c_str(), 0666), 0);
    EXPECT_EQ(dir_->open("alloc/data/fifo").error().code(), Code::InvalidArgument);
    EXPECT_TRUE(dir_->stat("alloc/data/fifo"));
}

TEST_F(AllocDirTest, DestroyLeavesNothingAndDoesNotFollowLinks) {
    const std::string outside = root_ + "/outside";
    ASSERT_TRUE(make_dirs(outside));
    ASSERT_TRUE(write_file(outside + "/keep", "x"));
    ASSERT_EQ(::symlink(outside.c_str(), (dir_->shared() + "/data/link").c_str()), 0);
    ASSERT_TRUE(dir_->destroy());
    EXPECT_FALSE(path_exists(dir_->path()));
    EXPECT_TRUE(path_exists(outside + "/keep"));
    EXPECT_TRUE(dir_->destroy());
}

TEST(FileModeText, IsGos) {
    EXPECT_EQ(file_mode_text(S_IFREG | 0644), "-rw-r--r--");
    EXPECT_EQ(file_mode_text(S_IFDIR | 01777), "dtrwxrwxrwx");
    EXPECT_EQ(file_mode_text(S_IFIFO | 0600), "prw-------");
}

TEST(LookupOwner, KnowsNamesAndNumbers) {
    EXPECT_EQ(lookup_owner("root")->uid, 0u);
    EXPECT_EQ(lookup_owner("4242:4243")->gid, 4243u);
    EXPECT_FALSE(lookup_owner("no-such-user-here"));
}

}  // namespace
}  // namespace drover::agent
