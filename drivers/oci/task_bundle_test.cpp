// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/task_bundle.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

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

TEST(TaskBundle, ConfinesByDefaultAndAsTheOperatorSays) {
    auto bundle = make(task());
    ASSERT_TRUE(bundle);
    EXPECT_TRUE(bundle->no_new_privileges);
    EXPECT_NE(bundle->seccomp, "");
    EXPECT_FALSE(bundle->id_map);

    IsolationPluginConfig plugin;
    plugin.no_new_privileges = false;
    plugin.seccomp_profile = "unconfined";
    plugin.userns_host_ids = "100000-165535";
    plugin.denied_host_uids = "0-99";
    IsolationTaskConfig config;
    config.ulimit = {{"nofile", "100:200"}};
    bundle = make(task(), config, plugin);
    ASSERT_TRUE(bundle) << bundle.error().message();
    EXPECT_FALSE(bundle->no_new_privileges);
    EXPECT_EQ(bundle->seccomp, "");
    EXPECT_EQ(bundle->id_map, (IdMap{100'000, 65'536}));
    EXPECT_EQ(bundle->rlimits, (std::vector<Rlimit>{{"RLIMIT_NOFILE", 100, 200}}));
    config.pid_mode = "host";
    EXPECT_NE(make(task(), config, plugin).error().message().find("userns_mode"), std::string::npos);
    config.userns_mode = "host";
    EXPECT_FALSE(make(task(), config, plugin)->id_map);
    config.ulimit = {{"nofile", "200:100"}};
    EXPECT_EQ(make(task(), config).error().message(),
              "ulimit: nofile: expected SOFT:HARD or one number, found \"200:100\"");
    sdk::TaskConfig t = task();
    t.user = "root";
    EXPECT_EQ(make(t, {}, plugin).error().code(), Code::PermissionDenied);
}

TEST(TaskRoot, ImagesAreTakenFromAllowedPlacesOnly) {
    char name[] = "/tmp/drover-image-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    const std::string dir = name;
    ASSERT_TRUE(make_dirs(dir + "/images/one/usr"));
    ASSERT_TRUE(make_dirs(dir + "/alloc/web/local/two/opt"));
    ASSERT_EQ(::symlink("/etc", (dir + "/alloc/web/local/escape").c_str()), 0);
    sdk::TaskConfig t = task();
    t.alloc_dir = dir + "/alloc";
    IsolationPluginConfig plugin;
    plugin.image_paths = {dir + "/images"};
    auto root = [&](const std::string& image) {
        IsolationTaskConfig config;
        config.image_dir = image;
        return task_root(t, config, plugin);
    };
    ASSERT_TRUE(root(dir + "/images/one"));
    EXPECT_EQ(root(dir + "/images/one")->entries[0].destination, "/usr");
    ASSERT_TRUE(root("local/two"));
    EXPECT_EQ(root("local/two")->entries[0].source, dir + "/alloc/web/local/two/opt");
    for (const std::string& refused : {std::string("/etc"), std::string("local/escape"), dir + "/images/../alloc",
                                       std::string("../../images/one/../.."), dir + "/images-2"}) {
        EXPECT_FALSE(root(refused)) << refused;
    }
    EXPECT_EQ(root("local/escape").error().code(), Code::PermissionDenied);
    EXPECT_EQ(root("local/none").error().code(), Code::NotFound);
    ASSERT_TRUE(remove_tree(dir));
}

TEST(TaskLimits, FollowResourcesAndConfig) {
    sdk::TaskConfig t = task();
    IsolationPluginConfig plugin;
    plugin.pids_limit = 100;
    EXPECT_EQ(task_limits(t, {}, plugin)->pids_max, 100u);
    IsolationTaskConfig config;
    config.pids_limit = 7;
    EXPECT_EQ(task_limits(t, config, plugin)->pids_max, 7u);
    config.pids_limit = 101;
    EXPECT_EQ(task_limits(t, config, plugin).error().message(),
              "pids_limit: the agent's plugin config allows at most 100, found 101");
    config.pids_limit = 0;
    config.cpu_hard_limit = true;
    EXPECT_EQ(task_limits(t, config, plugin).error().code(), Code::FailedPrecondition);
    t.resources.linux_resources.compute_fraction = 0.5;
    auto limits = task_limits(t, config, plugin);
    ASSERT_TRUE(limits);
    EXPECT_EQ(limits->cpu_period_us, 100'000u);
    EXPECT_EQ(limits->cpu_quota_us, ::sysconf(_SC_NPROCESSORS_CONF) * 50'000);
    t.resources.memory_mb = 4;
    EXPECT_EQ(task_limits(t, {}, plugin).error().message(),
              "memory: 4 MB is less than the 16 MB that starting a container takes");
}

}  // namespace
}  // namespace drover::drivers::oci
