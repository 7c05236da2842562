// SPDX-License-Identifier: Apache-2.0
#include "drivers/oci/bundle.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "drivers/oci/capabilities.h"
#include "drivers/oci/seccomp.h"

namespace drover::drivers::oci {
namespace {

using nlohmann::json;

Bundle bundle() {
    Bundle b;
    b.root = "/b/root";
    b.args = {"/bin/sh", "-c", "exit"};
    b.env = {"A=1"};
    b.work_dir = "/local";
    b.uid = 7;
    b.gid = 8;
    b.groups = {9};
    b.capabilities = {"CAP_CHOWN"};
    b.mounts = {{"/usr", "/usr", {"ro", "nosuid"}}};
    b.devices = {{"/dev/x", 'b', 1, 2, 0640, 3, 4, "rw"}};
    b.cgroup = "drover/t/container";
    return b;
}

const json* find(const json& list, const char* key, const std::string& value) {
    for (const json& item : list)
        if (item.at(key) == value) return &item;
    return nullptr;
}

TEST(OciBundle, DescribesTheContainer) {
    json config = json::parse(config_json(bundle()));
    EXPECT_EQ(config["process"]["args"], json({"/bin/sh", "-c", "exit"}));
    EXPECT_EQ(config["process"]["env"], json::array({"A=1"}));
    EXPECT_EQ(config["process"]["cwd"], "/local");
    EXPECT_EQ(config["process"]["user"], json({{"uid", 7}, {"gid", 8}, {"additionalGids", {9}}}));
    for (const char* set : {"bounding", "effective", "inheritable", "permitted", "ambient"})
        EXPECT_EQ(config["process"]["capabilities"][set], json::array({"CAP_CHOWN"})) << set;
    EXPECT_EQ(config["root"], json({{"path", "/b/root"}, {"readonly", true}}));
    EXPECT_EQ(config["linux"]["cgroupsPath"], "/drover/t/container");
    const json* usr = find(config["mounts"], "destination", "/usr");
    ASSERT_TRUE(usr);
    EXPECT_EQ(usr->at("options"), json({"rbind", "ro", "nosuid"}));
    EXPECT_EQ(config["linux"]["devices"][0]["type"], "b");
    // All devices are denied, then those given allowed.
    EXPECT_EQ(config["linux"]["resources"]["devices"][0], json({{"allow", false}, {"access", "rwm"}}));
    EXPECT_EQ(config["linux"]["resources"]["devices"][1]["access"], "rw");
    EXPECT_FALSE(config.contains("hostname"));
}

TEST(OciBundle, NamespacesFollowTheModes) {
    auto types = [](const Bundle& b) {
        std::vector<std::string> out;
        const json config = json::parse(config_json(b));
        for (const json& item : config["linux"]["namespaces"]) out.push_back(item["type"]);
        return out;
    };
    Bundle b = bundle();
    EXPECT_EQ(types(b), (std::vector<std::string>{"mount", "pid", "ipc"}));
    b.private_pid = false;
    b.private_ipc = false;
    EXPECT_EQ(types(b), (std::vector<std::string>{"mount"}));
    const json config = json::parse(config_json(b));
    EXPECT_EQ(find(config["mounts"], "destination", "/dev/shm")->at("source"), "/dev/shm");
    b.hostname = "h";
    b.network_namespace = "/var/run/netns/x";
    EXPECT_EQ(types(b), (std::vector<std::string>{"mount", "uts", "network"}));
    EXPECT_EQ(json::parse(config_json(b))["hostname"], "h");
}

TEST(OciBundle, UserNamespacesMapIdsAndMountTheRoot) {
    Bundle b = bundle();
    b.id_map = IdMap{100'000, 65'536};
    b.no_new_privileges = true;
    b.rlimits = {{"RLIMIT_NOFILE", 10, 20}};
    const json config = json::parse(config_json(b));
    EXPECT_EQ(config["mounts"][0]["destination"], "/");
    EXPECT_EQ(config["mounts"][0]["source"], "/b/root");
    EXPECT_NE(config["root"]["path"], "/b/root");
    EXPECT_EQ(config["linux"]["uidMappings"],
              json::array({{{"containerID", 0}, {"hostID", 100'000}, {"size", 65'536}}}));
    EXPECT_EQ(config["linux"]["gidMappings"], config["linux"]["uidMappings"]);
    EXPECT_EQ(config["process"]["noNewPrivileges"], true);
    EXPECT_EQ(config["process"]["rlimits"],
              json::array({{{"type", "RLIMIT_NOFILE"}, {"soft", 10}, {"hard", 20}}}));
}

TEST(Seccomp, CapabilitiesOpenWhatTheyAreFor) {
    auto denied = [](const std::vector<std::string>& capabilities, const std::string& call) {
        const json profile = json::parse(default_seccomp_profile(capabilities));
        for (const json& rule : profile["syscalls"])
            for (const json& name : rule["names"])
                if (name == call && !rule.contains("args")) return true;
        return false;
    };
    for (const char* call : {"mount", "bpf", "keyctl", "clone3", "reboot", "io_uring_setup"})
        EXPECT_TRUE(denied({}, call)) << call;
    for (const char* call : {"read", "execve", "ptrace", "clone"}) EXPECT_FALSE(denied({}, call)) << call;
    EXPECT_FALSE(denied({"CAP_SYS_ADMIN"}, "mount"));
    EXPECT_FALSE(denied({"CAP_SYS_ADMIN"}, "clone3"));
    EXPECT_TRUE(denied({"CAP_SYS_ADMIN"}, "keyctl"));
    EXPECT_EQ(load_seccomp_profile("/no/such/file").error().code(), Code::NotFound);
    EXPECT_NE(load_seccomp_profile("/proc/self/comm").error().message().find("/proc/self/comm"), std::string::npos);
}

// Any bytes may be in a job's environment; the file must stay JSON.
TEST(OciBundle, SurvivesBytesThatAreNoText) {
    Bundle b = bundle();
    b.env = {"A=\xff\xfe\"\n"};
    EXPECT_TRUE(json::accept(config_json(b)));
}

TEST(OciBundle, TheRootHasAPlaceForEachMount) {
    char name[] = "/tmp/drover-oci-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    const std::string dir = name;
    ASSERT_TRUE(make_dirs(dir + "/host/usr/bin"));
    ASSERT_EQ(::symlink("usr/bin", (dir + "/host/bin").c_str()), 0);
    ASSERT_TRUE(write_file(dir + "/host/file", "x"));
    ASSERT_TRUE(make_dirs(dir + "/host/proc"));
    auto image = image_view(dir + "/host");
    ASSERT_TRUE(image);
    EXPECT_EQ(image->entries, (std::vector<HostView::Entry>{{dir + "/host/file", "/file", false},
                                                            {dir + "/host/usr", "/usr", true}}));
    EXPECT_FALSE(image_view(dir + "/nowhere"));
    HostView view = host_view({{dir + "/host/usr", "/usr"},
                               {dir + "/host/bin", "/bin"},
                               {dir + "/host/file", "/etc/file"},
                               {dir + "/host/missing", "/missing"}});
    ASSERT_EQ(view.entries.size(), 2u);
    ASSERT_EQ(view.symlinks.size(), 1u);
    EXPECT_EQ(view.symlinks[0].second, "usr/bin");
    for (int again = 0; again < 2; ++again) {
        ASSERT_TRUE(make_root(dir + "/root", view, {"/proc", "/run/x"}));
        EXPECT_TRUE(path_exists(dir + "/root/usr"));
        EXPECT_EQ(read_file(dir + "/root/etc/file").value(), "");
        char target[16] = {};
        EXPECT_EQ(::readlink((dir + "/root/bin").c_str(), target, sizeof target), 7);
        EXPECT_TRUE(path_exists(dir + "/root/run/x"));
    }
    ASSERT_TRUE(remove_tree(dir));
}

TEST(Capabilities, DefaultsAddsAndDrops) {
    auto none = task_capabilities({}, {}, {});
    ASSERT_TRUE(none);
    EXPECT_EQ(none->size(), default_capabilities().size());
    EXPECT_EQ(*task_capabilities({}, {"net_bind_service"}, {"ALL"}), std::vector<std::string>{"CAP_NET_BIND_SERVICE"});
    auto dropped = task_capabilities({}, {}, {"CAP_CHOWN"});
    EXPECT_EQ(std::count(dropped->begin(), dropped->end(), "CAP_CHOWN"), 0);
    EXPECT_EQ(*task_capabilities({"chown"}, {}, {}), std::vector<std::string>{"CAP_CHOWN"});

    auto refused = task_capabilities({}, {"sys_admin", "chown"}, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::PermissionDenied);
    EXPECT_EQ(refused.error().message(), "cap_add: the agent's plugin config (allow_caps) does not allow sys_admin");
    EXPECT_TRUE(task_capabilities({"all"}, {"sys_admin"}, {}));
    auto unknown = task_capabilities({}, {}, {"flying"});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().message(), "cap_drop: \"flying\" is no capability");
}

}  // namespace
}  // namespace drover::drivers::oci
