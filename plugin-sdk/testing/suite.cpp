// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/suite.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"
#include "plugin-sdk/wire/msgpack.h"

namespace drover::sdk::testing {
namespace {

constexpr int kLaunchFailuresMax = 3;  // of one after the other: then the rest is not tried

std::vector<Check> all_checks() {
    std::vector<Check> out;
    for (const auto* table :
         {&launch_checks(), &driver_checks(), &task_checks(), &recovery_checks(), &device_checks()})
        out.insert(out.end(), table->begin(), table->end());
    return out;
}

Result<std::string> find_binary(const std::string& path) {
    struct stat info {};
    char* real = ::realpath(path.c_str(), nullptr);
    if (!real) return Error::from_errno(path);
    std::string out = real;
    std::free(real);
    if (::stat(out.c_str(), &info) != 0) return Error::from_errno(path);
    if (!S_ISREG(info.st_mode)) return make_error(Code::InvalidArgument, "{}: is no file", path);
    if (::access(out.c_str(), X_OK) != 0)
        return make_error(Code::PermissionDenied, "{}: is not executable (mode {:04o})", path,
                          info.st_mode & 07777);
    return out;
}

// What the rows' needs come to for this plugin, here.
class Runner {
 public:
    Runner(Bench& bench, SuiteReport& report) : bench_(bench), report_(report) {}

    void run(const Check& check) {
        const SuiteOptions& options = bench_.options();
        if (options.on_begin) options.on_begin({check.name, check.what});
        const int64_t begun = mono_now();
        Verdict verdict = unmet(check);
        if (verdict.outcome == Outcome::Pass) {
            verdict = check.run(bench_);
            // Also after a failure, but then it is the failure that counts.
            Status cleaned = bench_.forget_all();
            if (verdict.outcome == Outcome::Pass && !cleaned)
                verdict = failed("cleaning up: {}", cleaned.error().message());
            if (verdict.outcome == Outcome::Fail) after_failure(check, verdict);
        }
        report_.results.push_back(
            {std::string(check.name), verdict.outcome, verdict.detail, mono_now() - begun});
        if (options.on_end) options.on_end(report_.results.back());
    }

    // Launches it once to hear who it is; the checks then judge.
    void meet() {
        auto plugin = bench_.another();
        if (!plugin) return no_launch(plugin.error());
        auto info = (*plugin)->info();
        if (!info) return no_launch(info.error());
        report_.plugin = *info;
        SuiteConfig config = bench_.options().config;
        SuiteConfig bundled = bundled_config(info->name).value_or(SuiteConfig{});
        if (!config.plugin) config.plugin = bundled.plugin;
        if (!config.exec) config.exec = bundled.exec;
        if (!config.running && !config.ending) {
            config.running = bundled.running;
            config.ending = bundled.ending;
        }
        bench_.set_config(std::move(config));
        plugin->reset();
    }

 private:
    void no_launch(const Error& error) { no_plugin_ = "the plugin does not answer: " + error.message(); }

    Verdict unmet(const Check& check) {
        if (check.needs == Needs::Nothing) return {};
        if (!no_plugin_.empty()) return skipped("{}", no_plugin_);
        auto plugin = bench_.plugin();
        if (!plugin) {
            if (++launch_failures_ >= kLaunchFailuresMax) no_launch(plugin.error());
            return std::move(plugin).error();
        }
        launch_failures_ = 0;
        if (check.needs != Needs::Tasks) return {};
        if (!bench_.config().running || !bench_.config().ending)
            return skipped("no task is configured: see -config");
        if (!no_tasks_.empty()) return skipped("{}", no_tasks_);
        return {};
    }

    // An instance that failed once is not trusted with the next check.
    void after_failure(const Check& check, Verdict& verdict) {
        const std::string words = bench_.last_words();
        if (!words.empty()) verdict.detail += "; the plugin's last line on stderr: " + words;
        bench_.drop();
        if (check.name == "driver/fingerprint") no_tasks_ = "no task can run here: see driver/fingerprint";
        if (check.name == "driver/start") no_tasks_ = "no task starts: see driver/start";
    }

    Bench& bench_;
    SuiteReport& report_;
    std::string no_plugin_, no_tasks_;
    int launch_failures_ = 0;
};

}  // namespace

ConfigSource plain_config(Value::Map config) {
    return [bytes = msgpack_encode(Value(std::move(config)))](const HclSpec&) -> Result<std::string> {
        return bytes;
    };
}

std::optional<SuiteConfig> bundled_config(const std::string& plugin) {
    const std::string said = "drover-check\n";
    SuiteConfig out;
    if (plugin == "mock_device") {
        out.plugin = plain_config({{"group", Value::List{Value::Map{{"ids", Value::List{"a", "b"}}}}}});
        return out;
    }
    auto task = [](Value::Map config) {
        return SuiteTask{.config = plain_config(std::move(config)), .user = ""};
    };
    if (plugin == "mock_driver") {
        out.running = task(
            {{"run_for", "1h"}, {"exec_command", Value::Map{{"exit_code", 3}, {"stdout_string", said}}}});
        out.exec = SuiteExec{.command = {"scripted"}, .exit_code = 3, .stdout_text = said};
        out.ending = task({{"run_for", "300ms"}, {"exit_code", 3}, {"stdout_string", said}});
    } else if (plugin == "raw_exec" || plugin == "exec") {
        if (plugin == "raw_exec") out.plugin = plain_config({{"enabled", true}});
        out.running = task({{"command", "/bin/sleep"}, {"args", Value::List{"3600"}}});
        out.ending = task(
            {{"command", "/bin/sh"}, {"args", Value::List{"-c", "echo drover-check; sleep 0.3; exit 3"}}});
    } else {
        return std::nullopt;
    }
    out.ending->exit_code = 3;
    out.ending->stdout_text = said;
    return out;
}

std::vector<CheckInfo> suite_checks() {
    std::vector<CheckInfo> out;
    for (const Check& check : all_checks()) out.push_back({check.name, check.what});
    return out;
}

bool SuiteReport::passed() const {
    bool some = false;
    for (const CheckResult& result : results) {
        if (result.outcome == Outcome::Fail) return false;
        some |= result.outcome == Outcome::Pass;
    }
    return some;
}

Result<SuiteReport> run_suite(const SuiteOptions& given) {
    SuiteOptions options = given;
    DROVER_TRY(options.binary, find_binary(given.binary));
    std::vector<Check> chosen;
    for (const Check& check : all_checks())
        if (check.name.find(options.run) != std::string_view::npos) chosen.push_back(check);
    if (chosen.empty()) return make_error(Code::NotFound, "no check's name contains \"{}\"", options.run);
    DROVER_TRY(auto bench, Bench::create(options));
    bench->set_config(options.config);
    SuiteReport report;
    Runner runner(*bench, report);
    runner.meet();
    for (const Check& check : chosen) {
        if (bench->stopped()) break;
        const bool device = report.plugin && report.plugin->type == PluginType::Device;
        if (check.kind == (device ? CheckKind::Driver : CheckKind::Device)) continue;
        if (check.kind != CheckKind::Any && !report.plugin) continue;
        runner.run(check);
    }
    return report;
}

}  // namespace drover::sdk::testing
