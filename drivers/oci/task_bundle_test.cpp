// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/task_bundle.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace drover::drivers::oci {
namespace {

sdk::TaskConfig task() {
    sdk::TaskConfig t;
    t.id = "a/web/1";
    t.name = "web";
    t.alloc_dir = "/data/alloc/a";
    t.env = {{"A", "1"}};
    return t;
}

Result<Bundle> make(const sdk::TaskConfig& t, const IsolationTaskConfig& config = {},
                    const IsolationPluginConfig& plugin = {}) {
    return task_bundle(t, config, plugin, host_view(default_host_paths()), "/state");
}

const BindMount* find(const Bundle& bundle, const std::string& destination) {
    for (const auto& mount : bundle.mounts)
        if (mount.destination == destination) return &mount;
    return nullptr;
}

TEST(TaskBundle, ShowsTheMachineReadOnlyAndTheTasksOwnDirectories) {
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
    EXPECT_EQ(bundle->env[0], "A=1");
    EXPECT_TRUE(bundle->env[1].starts_with("PATH="));
    EXPECT_FALSE(bundle->capabilities.empty());
}

TEST(TaskBundle, FollowsTheJob) {
    sdk::TaskConfig t = task();
    t.user = "root";
    t.mounts = {{"/vol", "/etc", true, "host-to-task", "", ""}};
    t.devices = {{"/dev/nothing", "/dev/null", "rw"}};
    t.network_isolation = sdk::NetworkIsolation{sdk::NetworkMode::Group, "/run/netns/x", {}, sdk::HostsConfig{"h", ""}};
    auto bundle = make(t, {.work_dir = "/local",
                           .pid_mode = "host",
                           .ipc_mode = "host",
                           .cap_add = {},
                           .cap_drop = {"all"}});
    ASSERT_TRUE(bundle) << bundle.error().message();
    EXPECT_EQ(bundle->uid, 0u);
    EXPECT_EQ(bundle->work_dir, "/local");
    EXPECT_FALSE(bundle->private_pid);
    EXPECT_FALSE(bundle->private_ipc);
    EXPECT_TRUE(bundle->capabilities.empty());
    EXPECT_EQ(*find(*bundle, "/vol"), (BindMount{"/etc", "/vol", {"rslave", "ro"}}));
    ASSERT_EQ(bundle->devices.size(), 1u);
    EXPECT_EQ(bundle->devices[0].major, 1);
    EXPECT_EQ(bundle->devices[0].minor, 3);
    EXPECT_EQ(bundle->network_namespace, "/run/netns/x");
    EXPECT_EQ(bundle->hostname, "h");
}

TEST(TaskBundle, ErrorsNameTheField) {
    sdk::TaskConfig t = task();
    EXPECT_EQ(make(t, {.work_dir = {}, .pid_mode = "shared"}).error().message(),
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
}

TEST(TaskBundle, CommandsAreLookedForInTheTasksView) {
    const HostView host = host_view(default_host_paths());
    auto bundle = make(task());
    ASSERT_TRUE(bundle);
    auto find = [&](const std::string& command) {
        return find_command(command, "/local", "/", kDefaultPath, view_of(*bundle, host));
    };
    auto found = find("env");
    ASSERT_TRUE(found);
    EXPECT_TRUE(*found == "/usr/bin/env" || *found == "/bin/env") << *found;
    // What lies outside of it is not found, though the machine has it.
    EXPECT_FALSE(find("/proc/self/exe"));
}

TEST(TaskLimits, FollowTheResources) {
    sdk::Resources r;
    r.cpu_mhz = 500;
    r.memory_mb = 256;
    cgroup::Limits limits = task_limits(r);
    EXPECT_EQ(limits.cpu_shares, 500u);
    EXPECT_EQ(limits.memory_limit_bytes, 256 << 20);
    EXPECT_EQ(limits.memory_swap_bytes, 0);
    EXPECT_FALSE(limits.memory_soft_bytes);
    r.memory_max_mb = 512;
    r.cpu_mhz = 1;
    r.linux_resources.cpuset_cpus = "0-1";
    limits = task_limits(r);
    EXPECT_EQ(limits.cpu_shares, 2u);  // the kernel's least
    EXPECT_EQ(limits.memory_limit_bytes, 512 << 20);
    EXPECT_EQ(limits.memory_soft_bytes, 256 << 20);
    EXPECT_EQ(limits.cpuset_cpus, "0-1");
    EXPECT_EQ(task_limits({}), cgroup::Limits{});
}

}  // namespace
}  // namespace drover::drivers::oci
