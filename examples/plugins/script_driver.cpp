// SPDX-License-Identifier: Apache-2.0
// script: a driver whose tasks are shell scripts written in the job file. Complete: its tasks outlive this plugin and
// the agent, and have logs, limits, stats, signals and exec.
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "drover/config.h"
#include "drover/log.h"
#include "drover/process_driver.h"
#include "drover/serve.h"

namespace sdk = drover::sdk;
using drover::Code, drover::Result, drover::Status, drover::make_error;

// [config]
struct PluginConfig {
    std::string state_dir;  // where tasks keep their state under a host that does not say
    std::vector<std::string> shells = {"/bin/sh", "/bin/bash"};  // what tasks may choose from
};
const auto plugin_schema = sdk::Schema<PluginConfig>()
                               .optional("state_dir", &PluginConfig::state_dir)
                               .optional("shells", &PluginConfig::shells);

struct TaskScript {
    std::string script;
    std::string shell = "/bin/sh";
    std::vector<std::string> args;  // $1, $2, ...
};
const auto task_schema = sdk::Schema<TaskScript>()
                             .required("script", &TaskScript::script)
                             .optional("shell", &TaskScript::shell)
                             .optional("args", &TaskScript::args);
// [/config]

class ScriptDriver final : public sdk::ProcessDriver {
 public:
    // [identity]
    std::string name() const override { return "script"; }
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
    // [/identity]

    // [set_config]
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override {
        DROVER_TRY(PluginConfig config, plugin_schema.decode(msgpack));
        configure(config.state_dir, agent);
        std::lock_guard lock(mutex_);
        shells_ = std::move(config.shells);
        return {};
    }
    sdk::Fingerprint fingerprint() override {
        sdk::Fingerprint now;
        const auto usable = usable_shells();
        now.health = usable.empty() ? sdk::Health::Undetected : sdk::Health::Healthy;
        now.description = usable.empty() ? "none of the configured shells is installed" : "Healthy";
        if (usable.empty()) return now;
        now.attributes["driver.script"] = {true, ""};
        now.attributes["driver.script.shells"] = {static_cast<int64_t>(usable.size()), ""};
        return now;
    }
    // [/set_config]

 protected:
    // [prepare]
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& task) override {
        DROVER_TRY(TaskScript config, task_schema.decode(task.msgpack_driver_config));
        if (std::ranges::count(usable_shells(), config.shell) == 0)
            return make_error(Code::InvalidArgument, "shell: \"{}\" is not among the shells of this node",
                              config.shell);
        sdk::ProcessSpec spec = process_spec(task);
        spec.command = config.shell;
        spec.args = {"-c", config.script, "script"};
        spec.args.insert(spec.args.end(), config.args.begin(), config.args.end());
        const int64_t memory_bytes = task.resources.linux_resources.memory_limit_bytes;
        if (!spec.cgroup.empty() && memory_bytes > 0) spec.limits.memory_limit_bytes = memory_bytes;
        drover::log::debug("script", "task prepared", {{"task", task.id}, {"bytes", config.script.size()}});
        return spec;
    }
    // [/prepare]

    // [exec]
    Result<sdk::ExecProgram> exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request) override {
        return task.exec_program(request.command);
    }
    // [/exec]

 private:
    std::vector<std::string> usable_shells() {
        std::lock_guard lock(mutex_);
        std::vector<std::string> usable;
        for (const std::string& shell : shells_)
            if (::access(shell.c_str(), X_OK) == 0) usable.push_back(shell);
        return usable;
    }

    std::mutex mutex_;
    std::vector<std::string> shells_;
};

// [main]
int main(int argc, char** argv) {
    return sdk::serve<ScriptDriver>(argc, argv);
}
// [/main]
