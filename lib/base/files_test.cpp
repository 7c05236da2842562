// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace drover {

class FilesTest : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-files-XXXXXX";
        dir_ = ::mkdtemp(name);
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    std::string dir_;
};

TEST_F(FilesTest, DurableWriteReplacesAndLeavesNoTemporary) {
    std::string path = dir_ + "/f";
    ASSERT_TRUE(write_file_durable(path, "one"));
    ASSERT_TRUE(write_file_durable(path, "two", 0640));
    EXPECT_EQ(*read_file(path), "two");
    EXPECT_EQ(list_dir(dir_)->size(), 1u);
    struct stat st {};
    ASSERT_EQ(::stat(path.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0640u);
}

TEST_F(FilesTest, ErrorsNameThePath) {
    auto missing = read_file(dir_ + "/absent");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), Code::NotFound);
    EXPECT_NE(missing.error().message().find("/absent"), std::string::npos);
}

TEST_F(FilesTest, RemoveTreeDoesNotFollowLinks) {
    ASSERT_TRUE(make_dirs(dir_ + "/keep"));
    ASSERT_TRUE(write_file(dir_ + "/keep/file", "x"));
    ASSERT_TRUE(make_dirs(dir_ + "/gone/deep"));
    ASSERT_EQ(::symlink((dir_ + "/keep").c_str(), (dir_ + "/gone/deep/link").c_str()), 0);
    ASSERT_TRUE(remove_tree(dir_ + "/gone"));
    EXPECT_FALSE(path_exists(dir_ + "/gone"));
    EXPECT_TRUE(path_exists(dir_ + "/keep/file"));
}

}  // namespace drover
