// SPDX-License-Identifier: Apache-2.0
#include "drivers/qemu/qemu_command.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/strings.h"

namespace drover::drivers {
namespace {

class QemuCommand : public ::testing::Test {
 protected:
    void SetUp() override {
        char name[] = "/tmp/drover-command-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        ASSERT_TRUE(make_dirs(dir_ + "/vm/local"));
        for (const char* file : {"disk,1.img", "vmlinuz", "initrd"})
            ASSERT_TRUE(write_file(dir_ + "/vm/local/" + file, "x"));
        task_.id = "alloc-1/vm/1";
        task_.name = "vm";
        task_.alloc_dir = dir_;
        task_.resources.memory_mb = 256;
        config_.image_path = "local/disk,1.img";
    }
    void TearDown() override { EXPECT_TRUE(remove_tree(dir_)); }

    std::string command() {
        auto args = qemu_arguments(task_, config_, plugin_, "/run/s");
        return args ? " " + join(*args, " ") + " " : args.error().message();
    }
    void expect_has(const std::string& text) {
        EXPECT_NE(command().find(text), std::string::npos) << command();
    }
    void expect_not(const std::string& text) {
        EXPECT_EQ(command().find(text), std::string::npos) << command();
    }

    std::string dir_;
    sdk::TaskConfig task_;
    QemuTaskConfig config_;
    QemuPluginConfig plugin_;
};

TEST_F(QemuCommand, TakesResourcesAndImageFromTheTask) {
    expect_has(" -m 256M ");
    expect_has(" -drive file=" + dir_ + "/vm/local/disk,,1.img,if=ide,driver=raw ");
    expect_has(" -accel tcg,tb-size=64 ");
    expect_has(" -serial stdio -qmp unix:/run/s/qmp,server=on,wait=off ");
    expect_has(" -sandbox on,");
    expect_not(" -smp ");
    expect_not("guest_agent");
    task_.resources.linux_resources.cpuset_cpus = "0-2,7";
    expect_has(" -smp 4 ");
    config_.drive_interface = "virtio";
    config_.guest_agent = true;
    config_.accelerator = "kvm";
    expect_has(",if=virtio,");
    expect_has("path=/run/s/agent,");
    expect_has(" -accel kvm -cpu host ");
    config_.args = {"-machine", "q35,accel=tcg"};  // the job chooses by itself
    expect_not(" -accel ");
    expect_has(" -machine q35,accel=tcg ");
}

TEST_F(QemuCommand, BootsAKernelOfItsOwn) {
    config_ = {};
    config_.kernel = "local/vmlinuz";
    config_.initrd = "local/initrd";
    config_.append = "console=ttyS0 quiet";
    expect_has(" -kernel " + dir_ + "/vm/local/vmlinuz -initrd " + dir_ +
               "/vm/local/initrd -append console=ttyS0 quiet ");
    expect_not(" -drive ");
    config_.initrd = "/etc/passwd";
    EXPECT_EQ(command(),
              "initrd: \"/etc/passwd\" is outside of what is allowed: the allocation's directory and the "
              "plugin's image_paths");
}

TEST_F(QemuCommand, ForwardsTheAllocationsPorts) {
    config_.port_map = {{"ssh", 22}, {"web", 80}};
    task_.resources.ports = {{"ssh", 20022, 22, "192.0.2.1"}, {"other", 20001, 0, ""}};
    task_.resources.networks = {{.device = "",
                                 .cidr = "",
                                 .ip = "192.0.2.2",
                                 .mbits = 0,
                                 .reserved_ports = {},
                                 .dynamic_ports = {{"web", 20080}}}};
    expect_has(
        " -netdev user,id=user.0,hostfwd=tcp:192.0.2.1:20022-:22,hostfwd=udp:192.0.2.1:20022-:22,"
        "hostfwd=tcp:192.0.2.2:20080-:80,hostfwd=udp:192.0.2.2:20080-:80 -device virtio-net,netdev=user.0 ");
    task_.network_isolation =
        sdk::NetworkIsolation{.mode = sdk::NetworkMode::Group, .path = "/x", .labels = {}, .hosts = {}};
    config_.port_map = {{"ssh", 2222}};
    expect_has("hostfwd=tcp::22-:2222,");  // where the allocation's network sends it
    config_.port_map = {{"dns", 53}};
    EXPECT_EQ(command(),
              "port_map: the allocation has no port with the label \"dns\" (it has: ssh, other, web)");
    config_.port_map = {{"ssh", 0}};
    EXPECT_EQ(command(), "port_map: ssh: expected 1 to 65535, found 0");
}

TEST_F(QemuCommand, RefusesNamingTheField) {
    task_.resources.memory_mb = 64;
    EXPECT_EQ(command(), "memory: a virtual machine needs at least 128 MB, found 64 MB");
    task_.resources.memory_mb = 128;
    config_.accelerator = "xen";
    EXPECT_EQ(command(), "accelerator: expected \"tcg\" or \"kvm\", found \"xen\"");
    config_.accelerator = "tcg";
    config_.drive_interface = "usb";
    EXPECT_EQ(
        command(),
        "drive_interface: expected one of ide, scsi, sd, mtd, floppy, pflash, virtio, none, found \"usb\"");
    config_ = {};
    EXPECT_EQ(command(), "image_path: is required when no kernel is given");
    config_.image_path = "local/disk,1.img";
    config_.append = "quiet";
    EXPECT_EQ(command(), "append: needs a kernel");
    config_.append = "";
    plugin_.args_allowlist = {"-smp", "-device"};
    config_.args = {"--smp", "2", "-device", "virtio-rng"};
    expect_has(" --smp 2 -device virtio-rng ");
    config_.args = {"-drive", "file=/etc/shadow"};
    EXPECT_EQ(command(), "args: \"-drive\" is not in the plugin's args_allowlist (allowed: -smp, -device)");
}

TEST_F(QemuCommand, FindsEmulatorsThatTheOperatorAllows) {
    const std::string bin = dir_ + "/bin";
    ASSERT_TRUE(make_dirs(bin));
    for (const char* name : {"/qemu-system-x86_64", "/other"}) {
        ASSERT_TRUE(write_file(bin + name, ""));
        ASSERT_EQ(::chmod((bin + name).c_str(), 0755), 0);
    }
    auto find = [&](const std::string& name) {
        auto found = find_emulator(name, plugin_, "/none:" + bin);
        return found ? *found : found.error().message();
    };
    EXPECT_EQ(find("qemu-system-x86_64"), bin + "/qemu-system-x86_64");
    EXPECT_EQ(find("qemu-system-arm"),
              "emulator: qemu-system-arm is not installed (looked in /none:" + bin + ")");
    EXPECT_EQ(find("sh"), "emulator: \"sh\" is not allowed (allowed: qemu-system-*)");
    EXPECT_EQ(find("qemu-system-/../../bin/sh"),
              "emulator: \"qemu-system-/../../bin/sh\" is not allowed (allowed: "
              "qemu-system-*)");
    plugin_.emulators_allowlist = {"qemu-system-arm", bin + "/other"};
    EXPECT_EQ(
        find("qemu-system-x86_64"),
        "emulator: \"qemu-system-x86_64\" is not allowed (allowed: qemu-system-arm, " + bin + "/other)");
    EXPECT_EQ(find(bin + "/other"), bin + "/other");
}

}  // namespace
}  // namespace drover::drivers
