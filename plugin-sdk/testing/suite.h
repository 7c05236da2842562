// SPDX-License-Identifier: Apache-2.0
// The conformance suite: a table of named checks that any plugin of Nomad's protocol must pass, in any
// language, driver or device. `drover plugin check` prints its results, tests/conformance runs it over the
// bundled drivers. Checks trust nothing: each call has a deadline, and what a plugin started is destroyed or
// killed whatever it does.
//
// One run at a time in a process, on one thread: while it lasts the process is a child subreaper, so that
// tasks whose plugin was killed are found again.
#pragma once
#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "drover/hclspec.h"
#include "drover/types.h"
#include "drover/value.h"

namespace drover::sdk::testing {

// Makes msgpack of a config block by the plugin's own schema, as a host does.
using ConfigSource = std::function<Result<std::string>(const HclSpec& schema)>;
ConfigSource plain_config(Value::Map config);  // as it is, for plugins that do not need a decoded one

struct SuiteTask {
    ConfigSource config;
    int32_t exit_code = 0;    // of the ending task
    std::string stdout_text;  // what it prints; empty: not looked at
    std::string user;
};
struct SuiteExec {
    std::vector<std::string> command;
    int32_t exit_code = 0;
    std::string stdout_text;
};
struct SuiteConfig {
    ConfigSource plugin;
    std::optional<SuiteTask> running;  // runs until it is stopped
    std::optional<SuiteTask> ending;   // ends by itself within seconds
    std::optional<SuiteExec> exec;     // run in the running task; none: /bin/sh
};
// For plugins of drover's own whose tasks need nothing but this machine's programs; nullopt for others.
std::optional<SuiteConfig> bundled_config(const std::string& plugin);

enum class Outcome { Pass, Fail, Skip };
struct CheckResult {
    std::string name;
    Outcome outcome = Outcome::Pass;
    std::string detail;  // what was found and what was expected; why it was skipped; a figure
    int64_t duration_ns = 0;
    friend bool operator==(const CheckResult&, const CheckResult&) = default;
};

struct CheckInfo {
    std::string_view name;
    std::string_view what;  // the rule, one sentence
};
std::vector<CheckInfo> suite_checks();

struct SuiteOptions {
    std::string binary;
    SuiteConfig config;         // what is not set comes from bundled_config() of the plugin's name
    ConfigSource empty_config;  // an empty block, for a plugin without a configuration; null: an empty map
    std::string run;            // only checks whose name contains it
    int tasks = 200;            // how many the check for leaks starts
    int64_t call_timeout_ns = 10 * kSecond;
    const std::atomic<bool>* stop = nullptr;  // set: no further check is begun, what runs is cleaned up
    std::function<void(const CheckInfo&)> on_begin;
    std::function<void(const CheckInfo&, int done, int all)> on_progress;
    std::function<void(const CheckResult&)> on_end;
};

struct SuiteReport {
    std::optional<PluginInfo> plugin;  // none: it never told
    std::vector<CheckResult>
        results;          // in the table's order; checks of the other kind of plugin are not in it
    bool passed() const;  // nothing failed, and something passed
};
// An Error when nothing could be checked: no such file, not executable, no check of that name, no temporary
// directory.
Result<SuiteReport> run_suite(const SuiteOptions& options);

}  // namespace drover::sdk::testing
