// SPDX-License-Identifier: Apache-2.0
// plugin check: runs the conformance suite (plugin-sdk/testing) on a plugin's binary and prints what it
// found.
#include <signal.h>

#include <atomic>

#include "base/strings.h"
#include "cli/plugin_check_config.h"
#include "cli/support.h"
#include "cli/verbs.h"
#include "model/json/json.h"

namespace drover::cli {
namespace {

using sdk::testing::CheckInfo;
using sdk::testing::CheckResult;
using sdk::testing::Outcome;
using sdk::testing::SuiteOptions;
using sdk::testing::SuiteReport;

std::atomic<bool> g_stop{false};

// Ctrl-C ends the run in order: what the plugin has started is not left behind.
class StopOnSignal {
 public:
    StopOnSignal() {
        g_stop = false;
        struct sigaction action {};
        action.sa_handler = [](int) { g_stop = true; };
        ::sigaction(SIGINT, &action, &interrupt_);
        ::sigaction(SIGTERM, &action, &terminate_);
    }
    ~StopOnSignal() {
        ::sigaction(SIGINT, &interrupt_, nullptr);
        ::sigaction(SIGTERM, &terminate_, nullptr);
    }

 private:
    struct sigaction interrupt_ {
    }, terminate_{};
};

std::string_view word(Outcome outcome) {
    return outcome == Outcome::Pass ? "pass" : outcome == Outcome::Fail ? "FAIL" : "skip";
}
std::string_view json_word(Outcome outcome) {
    return outcome == Outcome::Pass ? "pass" : outcome == Outcome::Fail ? "fail" : "skip";
}

std::string coloured(const Streams& io, Outcome outcome) {
    if (!io.colour) return std::string(word(outcome));
    const int colour = outcome == Outcome::Pass ? 32 : outcome == Outcome::Fail ? 31 : 33;
    return fmt::format("\033[{}m{}\033[0m", colour, word(outcome));
}

// Lines as the checks end, so that a long run shows where it is.
class Printer {
 public:
    explicit Printer(Streams& io) : io_(io) {
        for (const CheckInfo& check : sdk::testing::suite_checks())
            width_ = std::max(width_, check.name.size());
    }
    void begin(const CheckInfo& check) { progress(fmt::format("      {}", check.name)); }
    void progress(const std::string& text) {
        if (!io_.out_is_terminal) return;
        clear();
        io_.out(text);
        shown_ = true;
    }
    void end(const CheckResult& result) {
        clear();
        const std::string text =
            fmt::format("{}  {:{}}  {:>7}  {}", coloured(io_, result.outcome), result.name, width_,
                        fmt::format("{} ms", result.duration_ns / kMillisecond), result.detail);
        io_.line(text.substr(0, text.find_last_not_of(' ') + 1));
    }
    void clear() {
        if (shown_) io_.out("\r\033[K");
        shown_ = false;
    }

 private:
    Streams& io_;
    size_t width_ = 0;
    bool shown_ = false;
};

std::string to_json(const SuiteReport& report) {
    auto field = [](std::string& out, std::string_view name, std::string_view value) {
        out += fmt::format("\"{}\":", name);
        model::json::append_quoted(out, value);
    };
    std::string out = "{";
    if (report.plugin) {
        out += "\"Plugin\":{";
        field(out, "Name", report.plugin->name);
        field(out += ",", "Version", report.plugin->version);
        field(out += ",", "Type", report.plugin->type == sdk::PluginType::Device ? "device" : "driver");
        out += "},";
    } else {
        out += "\"Plugin\":null,";
    }
    out += fmt::format("\"Passed\":{},\"Checks\":[", report.passed() && !g_stop);
    for (size_t i = 0; i < report.results.size(); ++i) {
        const CheckResult& result = report.results[i];
        out += i ? ",{" : "{";
        field(out, "Name", result.name);
        field(out += ",", "Result", json_word(result.outcome));
        field(out += ",", "Detail", result.detail);
        out += fmt::format(",\"DurationNs\":{}}}", result.duration_ns);
    }
    return out + "]}";
}

std::string summary(const SuiteReport& report) {
    size_t count[3] = {};
    for (const CheckResult& result : report.results) ++count[static_cast<size_t>(result.outcome)];
    return fmt::format("{} passed, {} failed, {} skipped", count[0], count[1], count[2]);
}

}  // namespace

int plugin_check(Invocation& in) {
    SuiteOptions options;
    options.binary = in.args[0];
    options.run = in.text("run");
    options.empty_config = empty_check_config();
    options.stop = &g_stop;
    if (in.given("config")) {
        auto config = read_check_config(in.text("config"));
        if (!config) return fail(in, "Error reading the configuration: {}", config.error().message());
        options.config = std::move(*config);
    }
    Printer printer(in.io);
    if (!in.on("json")) {
        options.on_begin = [&](const CheckInfo& check) { printer.begin(check); };
        options.on_progress = [&](const CheckInfo& check, int done, int all) {
            printer.progress(fmt::format("      {} {}/{}", check.name, done, all));
        };
        options.on_end = [&](const CheckResult& result) { printer.end(result); };
    }
    Result<SuiteReport> report = SuiteReport{};
    {
        StopOnSignal signals;
        report = sdk::testing::run_suite(options);
    }
    printer.clear();
    if (!report) return fail(in, "Error checking the plugin: {}", report.error().message());
    if (in.on("json")) {
        in.io.line(to_json(*report));
    } else {
        in.io.line("");
        in.io.line(summary(*report));
    }
    if (g_stop) return fail(in, "Interrupted: the remaining checks were not made");
    return report->passed() ? kExitOk : kExitError;
}

}  // namespace drover::cli
