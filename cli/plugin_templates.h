// SPDX-License-Identifier: Apache-2.0
// The files of a project that `drover plugin new` writes; @NAME@ and @KIND@ are replaced, the first newline goes.
// tests/e2e/plugin_new_test.py builds them against an installed SDK and runs `drover plugin check` on the result.
#pragma once

namespace drover::cli {

inline constexpr char kPluginCmake[] = R"tpl(
# Build:  cmake -S . -B build -DCMAKE_PREFIX_PATH=<where drover is installed> && cmake --build build
# Check:  ctest --test-dir build --output-on-failure   (as root: tasks are started)
cmake_minimum_required(VERSION 3.25)
project(drover-@KIND@-@NAME@ LANGUAGES CXX)
find_package(DroverPluginSDK 0.1 REQUIRED)

add_executable(drover-@KIND@-@NAME@ main.cpp)
target_link_libraries(drover-@KIND@-@NAME@ PRIVATE Drover::PluginSDK)

enable_testing()
find_program(DROVER drover REQUIRED)
add_test(NAME plugin_check COMMAND ${DROVER} plugin check -config ${CMAKE_SOURCE_DIR}/check.hcl
         $<TARGET_FILE:drover-@KIND@-@NAME@>)
)tpl";

inline constexpr char kDriverMain[] = R"tpl(
// @NAME@: a driver whose tasks are programs of this machine. They outlive this plugin and the agent, and have logs,
// limits, figures, signals and exec: sdk::ProcessDriver does that. What a task's config means is yours: prepare().
#include "drover/config.h"
#include "drover/process_driver.h"
#include "drover/serve.h"

namespace sdk = drover::sdk;
using drover::Result, drover::Status;

// The agent's block: plugin "drover-driver-@NAME@" { config { } }
struct PluginConfig {
    std::string state_dir;  // where tasks keep their state under a host that does not say
};
const auto plugin_schema = sdk::Schema<PluginConfig>().optional("state_dir", &PluginConfig::state_dir);

// A task's block: config { }
struct TaskConfig {
    std::string command;
    std::vector<std::string> args;
};
const auto task_schema =
    sdk::Schema<TaskConfig>().required("command", &TaskConfig::command).optional("args", &TaskConfig::args);

class Plugin final : public sdk::ProcessDriver {
 public:
    std::string name() const override { return "@NAME@"; }
    std::string version() const override { return "0.1.0"; }
    sdk::Capabilities capabilities() const override {
        sdk::Capabilities able;
        able.send_signals = true;
        able.exec = true;
        able.accepts_mounts = false;
        return able;
    }
    std::optional<sdk::HclSpec> config_schema() const override { return plugin_schema.spec(); }
    sdk::HclSpec task_config_schema() const override { return task_schema.spec(); }

    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override {
        DROVER_TRY(PluginConfig config, plugin_schema.decode(msgpack));
        configure(config.state_dir, agent);
        return {};
    }

    // Whether tasks can run here. Undetected: this machine has not what it takes.
    sdk::Fingerprint fingerprint() override {
        sdk::Fingerprint now;
        now.health = sdk::Health::Healthy;
        now.description = "Healthy";
        now.attributes["driver.@NAME@"] = {true, ""};
        return now;
    }

 protected:
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& task) override {
        DROVER_TRY(TaskConfig config, task_schema.decode(task.msgpack_driver_config));
        sdk::ProcessSpec spec = process_spec(task);
        spec.command = config.command;
        spec.args = config.args;
        const int64_t memory_bytes = task.resources.linux_resources.memory_limit_bytes;
        if (!spec.cgroup.empty() && memory_bytes > 0) spec.limits.memory_limit_bytes = memory_bytes;
        return spec;
    }
    Result<sdk::ExecProgram> exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request) override {
        return task.exec_program(request.command);
    }
};

int main(int argc, char** argv) {
    return sdk::serve<Plugin>(argc, argv);
}
)tpl";

inline constexpr char kDriverCheck[] = R"tpl(
# What `drover plugin check` tries the driver with.
plugin {}

task "running" {
  config {
    command = "/bin/sleep"
    args    = ["3600"]
  }
}

task "ending" {
  config {
    command = "/bin/sh"
    args    = ["-c", "echo hello; sleep 0.3; exit 3"]
  }
  exit_code = 3
  stdout    = "hello"
}
)tpl";

inline constexpr char kDriverJob[] = R"tpl(
# drover job run example.nomad.hcl
# The agent needs:  plugin_dir = "<where the binary is>"  and  plugin "drover-driver-@NAME@" { config {} }
job "example" {
  group "example" {
    task "example" {
      driver = "@NAME@"

      config {
        command = "/bin/sh"
        args    = ["-c", "while :; do date; sleep 5; done"]
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
)tpl";

inline constexpr char kDeviceMain[] = R"tpl(
// @NAME@: a device plugin. Its config lists device nodes; jobs ask for them as "@NAME@/node", and a task that gets one
// finds its path in NODE_PATHS. Which devices there are, and what a task needs to use them, is yours.
#include <sys/stat.h>

#include <mutex>

#include "drover/config.h"
#include "drover/device.h"
#include "drover/serve.h"

namespace sdk = drover::sdk;
using drover::Code, drover::Result, drover::Status, drover::make_error;

// The agent's block: plugin "drover-device-@NAME@" { config { } }
struct Config {
    std::vector<std::string> paths;  // "/dev/ttyUSB0"; a path is its device's id
};
const auto config_schema = sdk::Schema<Config>().optional("paths", &Config::paths);

class Plugin final : public sdk::DevicePlugin {
 public:
    std::string name() const override { return "@NAME@"; }
    std::string version() const override { return "0.1.0"; }
    std::optional<sdk::HclSpec> config_schema() const override { return ::config_schema.spec(); }

    Status set_config(std::string_view msgpack) override {
        DROVER_TRY(Config config, ::config_schema.decode(msgpack));
        std::lock_guard lock(mutex_);
        paths_ = std::move(config.paths);
        return {};
    }

    Result<std::vector<sdk::DeviceGroup>> fingerprint() override {
        sdk::DeviceGroup group{.vendor = "@NAME@", .type = "node", .name = "node"};
        for (const std::string& path : paths()) {
            const bool there = exists(path);
            group.devices.push_back(
                {.id = path, .healthy = there, .health_description = there ? "" : path + " is not there"});
        }
        if (group.devices.empty()) return std::vector<sdk::DeviceGroup>{};
        return std::vector{std::move(group)};
    }

    // Pure: it may be asked again after a crash of either side.
    Result<sdk::DeviceReservation> reserve(const std::vector<std::string>& ids) override {
        sdk::DeviceReservation out;
        std::string& list = out.env["NODE_PATHS"];
        for (const std::string& id : ids) {
            bool known = false;
            for (const std::string& path : paths()) known = known || path == id;
            if (!known) return make_error(Code::NotFound, "there is no device \"{}\"", id);
            out.devices.push_back({.task_path = id, .host_path = id, .cgroup_permissions = "rw"});
            list += (list.empty() ? "" : ":") + id;
        }
        return out;
    }

    Result<std::vector<sdk::DeviceGroupStats>> stats() override {
        sdk::DeviceGroupStats group{.vendor = "@NAME@", .type = "node", .name = "node"};
        for (const std::string& path : paths())
            group.instances[path].summary = {.value = exists(path), .description = "Usable"};
        return std::vector{std::move(group)};
    }

 private:
    static bool exists(const std::string& path) {
        struct stat info {};
        return ::stat(path.c_str(), &info) == 0 && (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode));
    }
    std::vector<std::string> paths() {
        std::lock_guard lock(mutex_);
        return paths_;
    }

    std::mutex mutex_;
    std::vector<std::string> paths_;
};

int main(int argc, char** argv) {
    return sdk::serve<Plugin>(argc, argv);
}
)tpl";

inline constexpr char kDeviceCheck[] = R"tpl(
# What `drover plugin check` tries the plugin with.
plugin {
  paths = ["/dev/zero", "/dev/full"]
}
)tpl";

inline constexpr char kDeviceJob[] = R"tpl(
# drover job run example.nomad.hcl
# The agent needs:  plugin_dir = "<where the binary is>"  and
#   plugin "drover-device-@NAME@" { config { paths = ["/dev/zero"] } }
job "example" {
  group "example" {
    task "example" {
      driver = "exec"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo I have $NODE_PATHS; sleep 3600"]
      }

      resources {
        cpu    = 100
        memory = 32

        device "@NAME@/node" {
          count = 1
        }
      }
    }
  }
}
)tpl";

}  // namespace drover::cli
