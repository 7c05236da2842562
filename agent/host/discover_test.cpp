// SPDX-License-Identifier: Apache-2.0
// Which files count as plugins, with a directory of each kind of thing that may lie there.
#include "agent/host/discover.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace drover::agent {
namespace {

class Discover : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-discover-XXXXXX";
        dir_ = ::mkdtemp(name);
        for (const char* sub : {"bundled", "extra"}) ASSERT_TRUE(make_dirs(dir_ + "/" + sub));
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }
    void put(const std::string& path, mode_t mode) { ASSERT_TRUE(write_file(dir_ + "/" + path, "x", mode)); }
    Discovery scan(const std::vector<PluginBlock>& blocks) {
        return discover_plugins(dir_ + "/bundled", dir_ + "/extra", blocks);
    }
    static std::vector<std::string> keys(const Discovery& found) {
        std::vector<std::string> out;
        for (const auto& plugin : found.plugins) out.push_back(plugin.key);
        return out;
    }
    std::string dir_;
};

TEST_F(Discover, BundledAlwaysOthersOnlyWithABlock) {
    put("bundled/drover-driver-exec", 0755);
    put("extra/nomad-driver-podman", 0700);
    put("extra/unknown", 0755);
    put("extra/windows.exe", 0001);
    const std::vector<PluginBlock> blocks{
        {"exec", {}, nullptr}, {"podman", {"-v"}, nullptr}, {"windows", {}, nullptr}};
    const auto found = scan(blocks);
    EXPECT_EQ(keys(found),
              (std::vector<std::string>{"drover-driver-exec", "nomad-driver-podman", "windows"}));
    EXPECT_EQ(found.plugins[0].block, &blocks[0]);
    EXPECT_TRUE(found.plugins[0].bundled);
    EXPECT_EQ(found.plugins[1].block, &blocks[1]);
    ASSERT_EQ(found.warnings.size(), 1u);
    EXPECT_NE(found.warnings[0].find("plugin \"unknown\" { ... }"), std::string::npos) << found.warnings[0];
}

TEST_F(Discover, SkipsWhatIsNoPluginWithOneWarningEach) {
    put("bundled/notes.txt", 0644);
    ASSERT_TRUE(make_dirs(dir_ + "/bundled/sub"));
    ASSERT_EQ(::symlink("/nonexistent/x", (dir_ + "/bundled/dangling").c_str()), 0);
    ASSERT_EQ(::mkfifo((dir_ + "/bundled/fifo").c_str(), 0777), 0);
    const auto found = scan({{"gone", {}, nullptr}});
    EXPECT_TRUE(found.plugins.empty());
    EXPECT_EQ(found.warnings.size(), 5u);
}

TEST_F(Discover, FollowsLinksAndLetsPluginDirReplaceABundledOne) {
    put("bundled/drover-driver-exec", 0755);
    put("real", 0755);
    ASSERT_EQ(::symlink("../real", (dir_ + "/extra/drover-driver-exec").c_str()), 0);
    const auto found = scan({{"exec", {}, nullptr}});
    ASSERT_EQ(found.plugins.size(), 1u);
    EXPECT_FALSE(found.plugins[0].bundled);
}

TEST_F(Discover, AMissingDirectoryIsAWarning) {
    const auto found = discover_plugins(dir_ + "/nope", "", {});
    EXPECT_TRUE(found.plugins.empty());
    ASSERT_EQ(found.warnings.size(), 1u);
    EXPECT_NE(found.warnings[0].find("nope"), std::string::npos);
}

}  // namespace
}  // namespace drover::agent
