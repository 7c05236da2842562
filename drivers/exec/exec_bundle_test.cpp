// SPDX-License-Identifier: Apache-2.0
#include "drivers/exec/exec_bundle.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace drover::drivers {
namespace {

sdk::TaskConfig task() {
    sdk::TaskConfig t;
    t.id = "a/web/1";
    t.name = "web";
    t.alloc_dir = "/data/alloc/a";
    t.env = {{"A", "1"}};
    return t;
}

Result<oci::Bundle> make(const sdk::TaskConfig& t, ExecTaskConfig config = {.command = "/usr/bin/env"},
                         const ExecPluginConfig& plugin = {}) {
    return exec_bundle(t, config, plugin, oci::host_view(oci::default_host_paths()), "/state");
}

const oci::BindMount* find(const oci::Bundle& bundle, const std::string& destination) {
    for (const auto& mount : bundle.mounts)
        if (mount.destination == destination) return &mount;
    return nullptr;
}

TEST(ExecBundle, ShowsTheMachineReadOnlyAndTheTasksOwnDirectories) {
    auto bundle = make(task());
    ASSERT_TRUE(bundle) << bundle.error().message();
    EXPECT_EQ(bundle->root, "/state/root");
    ASSERT_TRUE(find(*bundle, "/usr"));
    EXPECT_EQ(find(*bundle, "/usr")->options[0], "ro");
    EXPECT_EQ(find(*bundle, "/alloc")->source, "/data/alloc/a/alloc");
    for (const char* name : {"local", "secrets", "tmp"}) {
        const auto* mount = find(*bundle, std::string("/") + name);
        ASSERT_TRUE(mount) << name;
        EXPECT_EQ(mount->source, std::string("/data/alloc/a/web/") + name);
        EXPECT_EQ(std::count(mount->options.begin(), mount->options.end(), "ro"), 0);
    }
    EXPECT_EQ(bundle->uid, 65534u);  // nobody
    EXPECT_EQ(bundle->args, std::vector<std::string>{"/usr/bin/env"});
    EXPECT_EQ(bundle->env[0], "A=1");
    EXPECT_TRUE(bundle->env[1].starts_with("PATH="));
    EXPECT_FALSE(bundle->capabilities.empty());
}

TEST(ExecBundle, FollowsTheJob) {
    sdk::TaskConfig t = task();
    t.user = "root";
    t.mounts = {{"/vol", "/etc", true, "host-to-task", "", ""}};
    t.devices = {{"/dev/nothing", "/dev/null", "rw"}};
    t.network_isolation = sdk::NetworkIsolation{sdk::NetworkMode::Group, "/run/netns/x", {}, sdk::HostsConfig{"h", ""}};
    auto bundle = make(t, {.command = "env",
                           .args = {"x"},
                           .work_dir = "/local",
                           .pid_mode = "host",
                           .ipc_mode = "host",
                           .cap_add = {},
                           .cap_drop = {"all"}});
    ASSERT_TRUE(bundle) << bundle.error().message();
    EXPECT_EQ(bundle->uid, 0u);
    EXPECT_TRUE(bundle->args[0] == "/usr/bin/env" || bundle->args[0] == "/bin/env") << bundle->args[0];
    EXPECT_EQ(bundle->args[1], "x");
    EXPECT_FALSE(bundle->private_pid);
    EXPECT_FALSE(bundle->private_ipc);
    EXPECT_TRUE(bundle->capabilities.empty());
    EXPECT_EQ(*find(*bundle, "/vol"), (oci::BindMount{"/etc", "/vol", {"rslave", "ro"}}));
    ASSERT_EQ(bundle->devices.size(), 1u);
    EXPECT_EQ(bundle->devices[0].major, 1);
    EXPECT_EQ(bundle->devices[0].minor, 3);
    EXPECT_EQ(bundle->network_namespace, "/run/netns/x");
    EXPECT_EQ(bundle->hostname, "h");
}

TEST(ExecBundle, ErrorsNameTheField) {
    sdk::TaskConfig t = task();
    EXPECT_EQ(make(t, {.command = "env", .args = {}, .work_dir = {}, .pid_mode = "shared"}).error().message(),
              "pid_mode: expected \"private\" or \"host\", found \"shared\"");
    t.mounts = {{"/vol", "/no/such", false, "", "", ""}};
    EXPECT_EQ(make(t).error().message(), "mount /vol: \"/no/such\" does not exist");
    t.mounts = {{"vol", "/etc", false, "", "", ""}};
    EXPECT_EQ(make(t).error().message(), "mount: \"vol\" is no absolute path");
    t.mounts = {{"/vol", "/etc", false, "sideways", "", ""}};
    EXPECT_NE(make(t).error().message().find("found \"sideways\""), std::string::npos);
    t.mounts = {};
    t.devices = {{"/dev/x", "/etc/passwd", ""}};
    EXPECT_EQ(make(t).error().message(), "device /etc/passwd: is no device node");
    // What lies outside of the task's view is not found, though the machine has it.
    t.devices = {};
    EXPECT_FALSE(make(t, {.command = "/proc/self/exe"}));
}

TEST(ExecLimits, FollowTheResources) {
    sdk::Resources r;
    r.cpu_mhz = 500;
    r.memory_mb = 256;
    cgroup::Limits limits = exec_limits(r);
    EXPECT_EQ(limits.cpu_shares, 500u);
    EXPECT_EQ(limits.memory_limit_bytes, 256 << 20);
    EXPECT_EQ(limits.memory_swap_bytes, 0);
    EXPECT_FALSE(limits.memory_soft_bytes);
    r.memory_max_mb = 512;
    r.cpu_mhz = 1;
    r.linux_resources.cpuset_cpus = "0-1";
    limits = exec_limits(r);
    EXPECT_EQ(limits.cpu_shares, 2u);  // the kernel's least
    EXPECT_EQ(limits.memory_limit_bytes, 512 << 20);
    EXPECT_EQ(limits.memory_soft_bytes, 256 << 20);
    EXPECT_EQ(limits.cpuset_cpus, "0-1");
    EXPECT_EQ(exec_limits({}), cgroup::Limits{});
}

}  // namespace
}  // namespace drover::drivers
