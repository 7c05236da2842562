// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_image.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace drover::drivers {
namespace {

std::string number(uint64_t value, int bytes) {
    std::string out;
    while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes) & 0xff);
    return out;
}

// As far as a reader of the header looks.
std::string qcow2(const std::string& backing, uint64_t incompatible = 0, uint64_t version = 3) {
    std::string head = "QFI\xfb" + number(version, 4) + number(backing.empty() ? 0 : 104, 8) +
                       number(backing.size(), 4) + std::string(52, '\0') + number(incompatible, 8);
    head.resize(104, '\0');
    return head + backing + std::string(1024, '\0');
}

class QemuImage : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-image-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        for (const char* sub : {"/alloc/vm/local", "/images", "/images-of-others"})
            ASSERT_TRUE(make_dirs(dir_ + sub));
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }

    std::string put(const std::string& name, const std::string& bytes) {
        EXPECT_TRUE(write_file(dir_ + "/" + name, bytes));
        return dir_ + "/" + name;
    }
    Result<GuestFile> find(const std::string& path) {
        return find_image("image_path", path, dir_ + "/alloc/vm", {dir_ + "/images", dir_ + "/alloc"});
    }
    void expect_refused(const std::string& path, Code code, const std::string& text) {
        auto found = find(path);
        ASSERT_FALSE(found) << path;
        EXPECT_EQ(found.error().code(), code) << found.error().message();
        EXPECT_NE(found.error().message().find(text), std::string::npos) << found.error().message();
    }

    std::string dir_;
};

TEST_F(QemuImage, FindsImagesInAllowedPlacesWithTheirFormat) {
    put("alloc/vm/local/disk.img", "anything");
    auto raw = find("local/disk.img");
    ASSERT_TRUE(raw) << raw.error().message();
    EXPECT_EQ(raw->path, dir_ + "/alloc/vm/local/disk.img");
    EXPECT_EQ(raw->formats, std::vector<std::string>{"raw"});

    put("images/base.qcow2", qcow2(""));
    EXPECT_EQ(find(dir_ + "/images/base.qcow2")->formats, std::vector<std::string>{"qcow2"});
    put("alloc/vm/local/top.qcow2", qcow2(dir_ + "/images/base.qcow2"));
    EXPECT_EQ(find("local/top.qcow2")->formats, (std::vector<std::string>{"qcow2", "qcow2"}));
    put("alloc/vm/local/side.qcow2", qcow2("disk.img"));  // relative to the image that names it
    EXPECT_EQ(find("local/side.qcow2")->formats, (std::vector<std::string>{"qcow2", "raw"}));
    // A link that stays inside is a path like any other.
    ASSERT_EQ(::symlink("disk.img", (dir_ + "/alloc/vm/local/link").c_str()), 0);
    EXPECT_EQ(find("local/link")->path, raw->path);
}

TEST_F(QemuImage, RefusesWhatLiesOutside) {
    put("images-of-others/disk.img", "x");
    expect_refused("local/none.img", Code::NotFound, dir_ + "/alloc/vm/local/none.img\" does not exist");
    expect_refused(dir_ + "/images-of-others/disk.img", Code::PermissionDenied,
                   "is outside of what is allowed");
    expect_refused("../../images-of-others/disk.img", Code::PermissionDenied,
                   "(which is \"" + dir_ + "/images-of-others/disk.img\")");
    ASSERT_EQ(
        ::symlink((dir_ + "/images-of-others/disk.img").c_str(), (dir_ + "/alloc/vm/local/file").c_str()), 0);
    expect_refused("local/file", Code::PermissionDenied,
                   "(which is \"" + dir_ + "/images-of-others/disk.img\")");
    ASSERT_EQ(::symlink((dir_ + "/images-of-others").c_str(), (dir_ + "/alloc/vm/local/dir").c_str()), 0);
    expect_refused("local/dir/disk.img", Code::PermissionDenied, "is outside of what is allowed");
    expect_refused("local", Code::InvalidArgument, "is not a regular file");
    ASSERT_EQ(::mkfifo((dir_ + "/alloc/vm/local/fifo").c_str(), 0600), 0);
    expect_refused("local/fifo", Code::InvalidArgument, "is not a regular file");
}

TEST_F(QemuImage, RefusesImagesThatReachFurther) {
    put("images-of-others/secret", "x");
    put("images/a", qcow2(dir_ + "/images-of-others/secret"));
    expect_refused(dir_ + "/images/a", Code::PermissionDenied, dir_ + "/images-of-others/secret");
    put("images/b", qcow2(dir_ + "/images/a"));  // not the first one, either
    expect_refused(dir_ + "/images/b", Code::PermissionDenied, dir_ + "/images-of-others/secret");
    put("images/c", qcow2("nbd:localhost:10809"));
    expect_refused(dir_ + "/images/c", Code::PermissionDenied, "\"nbd:localhost:10809\" is no plain path");
    put("images/d", qcow2("json:{\"driver\":\"host_device\"}"));
    expect_refused(dir_ + "/images/d", Code::PermissionDenied, "is no plain path");
    put("images/e", qcow2("", 4));
    expect_refused(dir_ + "/images/e", Code::PermissionDenied, "keeps its data in another file");
    put("images/f", qcow2("f"));  // behind itself
    expect_refused(dir_ + "/images/f", Code::InvalidArgument, "more than 16 images behind one another");
    put("images/g", qcow2("", 0, 1));
    expect_refused(dir_ + "/images/g", Code::InvalidArgument, "a qcow image of version 1");
    put("images/h", "# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\" 0\n");
    expect_refused(dir_ + "/images/h", Code::InvalidArgument, "is a vmdk image");
    put("images/i", qcow2(dir_ + "/images/h"));
    expect_refused(dir_ + "/images/i", Code::InvalidArgument, "is a vmdk image");
}

}  // namespace
}  // namespace drover::drivers
