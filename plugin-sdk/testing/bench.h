// SPDX-License-Identifier: Apache-2.0
// Bench: what a check works with: one plugin process, launched and configured when first asked for, tasks
// whose names and pipes it makes, and the cleaning up of all of that. Private to the suite.
#pragma once
#include <map>
#include <memory>
#include <set>

#include "base/fd.h"
#include "plugin-sdk/testing/plugin_process.h"
#include "plugin-sdk/testing/suite.h"

namespace drover::sdk::testing {

// What a check came to. An Error is a failure.
struct Verdict {
    Outcome outcome = Outcome::Pass;
    std::string detail;
    Verdict() = default;
    Verdict(Error error) : outcome(Outcome::Fail), detail(error.message()) {}  // NOLINT: implicit by design
    Verdict(Outcome o, std::string d) : outcome(o), detail(std::move(d)) {}
};
template <class... Args>
Verdict passed(fmt::format_string<Args...> format, Args&&... args) {
    return {Outcome::Pass, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Verdict failed(fmt::format_string<Args...> format, Args&&... args) {
    return {Outcome::Fail, fmt::format(format, std::forward<Args>(args)...)};
}
template <class... Args>
Verdict skipped(fmt::format_string<Args...> format, Args&&... args) {
    return {Outcome::Skip, fmt::format(format, std::forward<Args>(args)...)};
}

class Bench {
 public:
    static Result<std::unique_ptr<Bench>> create(const SuiteOptions& options);
    ~Bench();  // kills what is left

    // --- the plugin
    LaunchOptions launch_options() const;
    // The live, configured instance; launches it when there is none or the last one has died.
    Result<PluginProcess*> plugin();
    Result<PluginProcess*> relaunch_after_kill();      // SIGKILL to the one, a successor configured
    Result<std::unique_ptr<PluginProcess>> another();  // one more beside it, not configured
    Status configure(PluginProcess& plugin, bool with_agent);
    void drop();  // kills the live instance, if any
    std::unique_ptr<PluginProcess> take();

    const SuiteOptions& options() const { return options_; }
    const SuiteConfig& config() const { return config_; }
    ConfigSource empty_config() const;
    void set_config(SuiteConfig config) { config_ = std::move(config); }
    bool stopped() const { return options_.stop && options_.stop->load(); }

    // --- tasks
    Result<TaskConfig> make_task(const SuiteTask& task);
    Result<StartedTask> start(const SuiteTask& task);
    Status forget(const std::string& task_id);  // DestroyTask with force, and its pipes
    Status forget_all();
    std::string printed(const std::string& task_id);  // what the task has written to stdout so far
    // The task's process, when the driver tells its id in InspectTask's attributes.
    pid_t task_pid(const std::string& task_id);

    // --- the machine
    bool eventually(const std::function<bool()>& condition, int64_t timeout_ns = 5 * kSecond) const;
    std::set<pid_t> processes() const;             // all below this process, zombies of no interest reaped
    std::vector<std::string> left_behind() const;  // mounts and control groups
    std::string last_words() const;                // the end of the plugin's stderr, one line

 private:
    struct Pipe {
        UniqueFd fd;
        std::string path, text;
    };
    struct Pipes {
        Pipe out, err;
    };
    explicit Bench(const SuiteOptions& options) : options_(options) {}
    static Result<Pipe> make_pipe(const std::string& path);

    SuiteOptions options_;
    SuiteConfig config_;
    std::string dir_, cgroup_;
    int subreaper_before_ = 0;
    std::set<pid_t> before_;
    std::unique_ptr<PluginProcess> plugin_;
    std::map<std::string, Pipes> tasks_;
    int tasks_made_ = 0;
};

// A row of the table.
enum class CheckKind { Any, Driver, Device };
enum class Needs {
    Nothing,  // launches what it wants itself
    Plugin,   // a plugin that launches and takes its configuration
    Tasks     // a driver that can run the configured tasks here
};
struct Check {
    std::string_view name;
    std::string_view what;
    CheckKind kind;
    Needs needs;
    Verdict (*run)(Bench& bench);
};
// One for each file checks_*.cpp; suite.cpp puts them in order.
const std::vector<Check>& launch_checks();
const std::vector<Check>& driver_checks();
const std::vector<Check>& task_checks();
const std::vector<Check>& recovery_checks();
const std::vector<Check>& device_checks();

}  // namespace drover::sdk::testing
