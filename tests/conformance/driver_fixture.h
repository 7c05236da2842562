// SPDX-License-Identifier: Apache-2.0
// What the conformance tests share: a plugin process with a state directory, an allocation directory and a cgroup of
// its own, and after each test the look for what was left: files, cgroups, mounts, processes.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include <functional>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "cgroup/cgroup.h"
#include "drover/value.h"
#include "drover/process_task.h"
#include "plugin-sdk/testing/plugin_process.h"
#include "plugin-sdk/wire/msgpack.h"
#include "tests/conformance/dockerd.h"

namespace drover::conformance {
using sdk::Value;
using sdk::testing::PluginProcess;

struct DriverCase {
    std::string name;
    std::string binary;  // below the build folder
    Value::Map config;   // of the plugin
    bool isolated = false;
    Value::Map task = {};  // what every task's config has
    bool docker = false;   // needs a daemon
};

inline std::string binary_path(const DriverCase& driver) {
    const char* build = std::getenv("DROVER_BUILD_DIR");
    return std::string(build ? build : "build/dev") + "/lib/drover/" + driver.binary;
}

inline bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 20 * kSecond) {
    for (int64_t deadline = mono_now() + timeout_ns; mono_now() < deadline; ::usleep(2000))
        if (condition()) return true;
    return condition();
}

inline bool alive(pid_t pid) {
    auto stat = read_file(fmt::format("/proc/{}/stat", pid));
    if (!stat) return false;
    char state = (*stat)[stat->rfind(')') + 2];
    return state != 'Z' && state != 'X';
}

#define ASSERT_OK(expr)                                                           \
    do {                                                                          \
        auto assert_ok_ = (expr);                                                 \
        ASSERT_TRUE(assert_ok_) << #expr << ": " << assert_ok_.error().message(); \
    } while (false)

inline const DriverCase kMock{"mock_driver", "test-plugins/drover-driver-mock", {}, false};
inline const DriverCase kRawExec{"raw_exec", "plugins/drover-driver-raw_exec", {{"enabled", true}}, false};
inline const DriverCase kExec{"exec", "plugins/drover-driver-exec", {}, true};
inline const DriverCase kDocker{"docker", "plugins/drover-driver-docker", {}, true, {{"image", kTestImage}}, true};
inline const DriverCase kJava{"java", "plugins/drover-driver-java", {}, true};
inline const DriverCase kQemu{"qemu", "plugins/drover-driver-qemu", {}, true};

// The least memory that exec takes: docs/drivers/exec.md.
inline int64_t container_memory_mb_min() { return cgroup::mounted().version == cgroup::Version::V2 ? 24 : 16; }

class DriverTest : public ::testing::TestWithParam<DriverCase> {
 protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        if (GetParam().docker && !Dockerd::get().missing().empty()) {
            if (std::getenv("CI")) FAIL() << Dockerd::get().missing();
            GTEST_SKIP() << Dockerd::get().missing();
        }
        char name[] = "/tmp/drover-conf-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        dir_ = name;
        ASSERT_EQ(::chmod(name, 0755), 0);
        cgroup_ = "drover-test-" + short_id(new_uuid());
        alloc_ = dir_ + "/alloc-1";
        for (const char* sub : {"/alloc/data", "/alloc/logs", "/alloc/tmp", "/web/local", "/web/secrets", "/web/tmp"}) {
            ASSERT_OK(make_dirs(alloc_ + sub, 0755));
            ASSERT_EQ(::chmod((alloc_ + sub).c_str(), 0777), 0);
        }
        launch();
    }

    // Whatever a test did: no process, cgroup, mount or file of a task is left.
    void TearDown() override {
        if (dir_.empty()) return;
        if (plugin_) {
            for (const std::string& id : ids_) EXPECT_TRUE(plugin_->destroy_task(id, true)) << id;
            plugin_.reset();
        }
        auto entries = list_dir(state_dir());
        if (entries)
            for (const std::string& entry : *entries)
                EXPECT_TRUE(entry[0] == '.') << "left in the state directory: " << entry;
        const std::string own = state_dir() + "/." + GetParam().name + (GetParam().docker ? "/tasks" : "");
        EXPECT_EQ(list_dir(own).value_or(std::vector<std::string>()), std::vector<std::string>());
        if (GetParam().docker) EXPECT_EQ(Dockerd::get().containers(), 0u) << "containers are left";
        EXPECT_EQ(read_file("/proc/self/mountinfo").value().find(dir_), std::string::npos);
        auto group = cgroup::Cgroup::open(cgroup_);
        if (group && group->exists()) {
            EXPECT_TRUE(eventually([&] { return group->procs()->empty(); })) << "processes are left in " << cgroup_;
            for (const std::string& path : group_dirs())
                for (const std::string& entry : list_dir(path).value_or(std::vector<std::string>()))
                    if (std::string sub = path + "/" + entry; entry != "shims" && is_dir(sub))
                        ADD_FAILURE() << "left: " << sub;
            EXPECT_TRUE(group->remove(5 * kSecond));
        }
        // Hierarchies that only a container runtime uses.
        for (const std::string& path : group_dirs()) {
            ADD_FAILURE() << "left: " << path;
            ::rmdir(path.c_str());
        }
        if (HasFailure()) fmt::print(stderr, "plugin's log:\n{}", read_file(dir_ + "/stderr").value_or(""));
        EXPECT_TRUE(remove_tree(dir_));
    }

    static bool is_dir(const std::string& path) {
        struct stat info {};
        return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    }
    std::vector<std::string> group_dirs() const {
        std::vector<std::string> out;
        for (const std::string& hierarchy : list_dir("/sys/fs/cgroup").value_or(std::vector<std::string>()))
            if (std::string path = "/sys/fs/cgroup/" + hierarchy + "/" + cgroup_; is_dir(path)) out.push_back(path);
        if (std::string path = "/sys/fs/cgroup/" + cgroup_; is_dir(path)) out.push_back(path);
        return out;
    }

    std::string state_dir() const { return dir_ + "/tasks"; }

    void launch() { launch(GetParam().config); }
    void launch(Value::Map config) {
        if (GetParam().docker) config["endpoint"] = "unix://" + Dockerd::get().socket();
        plugin_.reset();
        sdk::StringMap env = {{"DROVER_TASK_STATE_DIR", state_dir()},
                              {"DROVER_CGROUP_PARENT", cgroup_},
                              {"PLUGIN_UNIX_SOCKET_DIR", dir_}};
        if (!search_path_.empty()) env["PATH"] = search_path_;
        auto plugin = PluginProcess::launch({.binary = binary_path(GetParam()),
                                             .env = std::move(env),
                                             .stderr_path = dir_ + "/stderr",
                                             .cookie = true});
        ASSERT_TRUE(plugin) << plugin.error().message();
        plugin_ = std::move(*plugin);
        ASSERT_OK(plugin_->set_config(sdk::msgpack_encode(config), sdk::AgentConfig{}));
    }
    void relaunch_after_kill() {
        plugin_->kill();
        launch();
    }

    sdk::TaskConfig task(Value::Map config) {
        sdk::TaskConfig task;
        task.id = "alloc-1/web/" + short_id(new_uuid());
        task.name = "web";
        task.alloc_id = "alloc-1";
        task.alloc_dir = alloc_;
        task.env = {{"GREETING", "hello"}, {"PATH", "/usr/bin:/bin"}};
        task.resources.cpu_mhz = 100;
        task.resources.memory_mb = 64;
        task.stdout_path = out_path();
        task.stderr_path = err_path();
        for (const auto& [key, value] : GetParam().task) config.emplace(key, value);
        task.msgpack_driver_config = sdk::msgpack_encode(std::move(config));
        EXPECT_TRUE(write_file(out_path(), "", 0666));
        EXPECT_TRUE(write_file(err_path(), "", 0666));
        ids_.push_back(task.id);
        return task;
    }
    sdk::TaskConfig shell(const std::string& script) {
        return task({{"command", "/bin/sh"}, {"args", Value::List{"-c", script}}});
    }
    std::string out_path() const { return dir_ + "/out"; }
    std::string err_path() const { return dir_ + "/err"; }
    std::string out() const { return read_file(out_path()).value_or(""); }
    bool says(const std::string& text) const {
        return eventually([&] { return out().find(text) != std::string::npos; });
    }

    pid_t task_pid(const std::string& id) {
        auto status = plugin_->inspect_task(id);
        EXPECT_TRUE(status) << status.error().message();
        return status ? static_cast<pid_t>(parse_int(status->attributes["pid"]).value_or(0)) : 0;
    }

    std::string dir_, alloc_, cgroup_;
    std::string search_path_;  // the plugin's PATH, when not the usual one
    std::unique_ptr<PluginProcess> plugin_;
    std::vector<std::string> ids_;
};

}  // namespace drover::conformance
