// SPDX-License-Identifier: Apache-2.0
// The suite of `drover plugin check` over the bundled drivers, and over plugins that break one rule each:
// every check passes on a good plugin and fails on a bad one. Needs root; skipped without.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "drover/value.h"
#include "plugin-sdk/testing/suite.h"
#include "plugin-sdk/testing/usage.h"

namespace drover::conformance {
namespace {

using sdk::Value;
using sdk::testing::Outcome;
using sdk::testing::SuiteConfig;
using sdk::testing::SuiteOptions;
using sdk::testing::SuiteReport;

std::string built(const std::string& name) {
    const char* build = std::getenv("DROVER_BUILD_DIR");
    return std::string(build ? build : "build/dev") + "/lib/drover/" + name;
}
const std::string kDeviceBinary = "test-plugins/drover-device-mock";
const std::string kMockBinary = "test-plugins/drover-driver-mock";

std::string lines_of(const SuiteReport& report) {
    std::string out;
    for (const auto& result : report.results)
        out += fmt::format("{} {} {}\n", result.name, static_cast<int>(result.outcome), result.detail);
    return out;
}

const sdk::testing::CheckResult* find(const SuiteReport& report, const std::string& name) {
    for (const auto& result : report.results)
        if (result.name == name) return &result;
    return nullptr;
}

// --- good plugins

class GoodPlugin : public ::testing::TestWithParam<std::string> {};

TEST_P(GoodPlugin, PassesEveryCheck) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    SuiteOptions options;
    options.binary = built(GetParam());
    options.tasks = 40;
    options.call_timeout_ns = 30 * kSecond;
    auto report = sdk::testing::run_suite(options);
    ASSERT_TRUE(report) << report.error().message();
    for (const auto& result : report->results)
        EXPECT_EQ(result.outcome, Outcome::Pass) << result.name << ": " << result.detail;
    EXPECT_TRUE(report->passed());
    EXPECT_TRUE(sdk::testing::descendants(::getpid()).empty());
}

INSTANTIATE_TEST_SUITE_P(Bundled, GoodPlugin,
                         ::testing::Values(kMockBinary, "plugins/drover-driver-raw_exec",
                                           "plugins/drover-driver-exec", kDeviceBinary),
                         [](const auto& info) {
                             return replace_all(info.param.substr(info.param.rfind("drover-") + 7), "-", "_");
                         });

// --- bad ones

struct Bad {
    std::string check;    // that must fail
    std::string says;     // in its detail
    Value::Map plugin;    // the mock driver's config: which rule is broken
    std::string wrapper;  // a shell script around the mock driver; "$MOCK" is its path
    Value::Map running = {};
    friend void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.check; }
};
Value::Map faults(const char* name) {
    return {{"faults", Value::List{name}}};
}
Value::Map at(const char* kind, const char* rpc) {
    return {{kind, rpc}};
}

Value::Map with_devices(Value::Map more, const char* first = "a", const char* second = "b") {
    more["group"] = Value::List{Value::Map{{"ids", Value::List{first, second}}}};
    return more;
}
Value::Map two_devices(const char* first, const char* second) {
    return with_devices({}, first, second);
}

const Bad kBad[] = {
    {"handshake/line", "found \"hello\"", {}, "echo hello; exec \"$MOCK\""},
    {"handshake/line", "found \"1|1|unix|/x|netrpc|\"", {}, "echo '1|1|unix|/x|netrpc|'; exec sleep 60"},
    {"handshake/line", "no line from the plugin", {}, "exec sleep 60"},
    {"handshake/line", "without a line's end", {}, "exec tr '\\0' x < /dev/zero"},
    {"handshake/line", "found \"\"", {}, "exit 3"},
    {"handshake/line", "expected a socket at", {}, "echo '1|2|unix|/no/such|grpc|'; exec sleep 60"},
    {"handshake/cookie-absent",
     "expected no handshake",
     {},
     "export NOMAD_PLUGIN_MAGIC_COOKIE=e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255\n"
     "echo '1|2|unix|/x|grpc|'; exit 1"},
    {"handshake/cookie-absent",
     "exit status 1, found 0",
     {},
     "[ -n \"$NOMAD_PLUGIN_MAGIC_COOKIE\" ] || exit 0; exec \"$MOCK\""},
    {"handshake/cookie-absent",
     "no output",
     {},
     "[ -n \"$NOMAD_PLUGIN_MAGIC_COOKIE\" ] || exit 1; exec \"$MOCK\""},
    {"handshake/cookie-wrong",
     "still runs",
     {},
     "export NOMAD_PLUGIN_MAGIC_COOKIE=e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255\n"
     "exec \"$MOCK\""},
    {"handshake/stray-output", "found \"noise\"", {}, "\"$MOCK\" | sed -u 's/$/\\nnoise/'"},
    {"base/plugin-info", "", at("crash_at", "PluginInfo"), ""},
    {"base/config-schema", "", at("crash_at", "ConfigSchema"), ""},
    {"base/set-config-twice", "configured already", faults("refuses_second_config"), ""},
    {"base/set-config-refused", "found OK", faults("accepts_bad_config"), ""},
    {"base/health", "Health/Check", {{"exit_after", "200ms"}}, ""},
    {"base/streams-held", "expected it to stay open", {{"exit_after", "200ms"}}, ""},
    {"base/second-instances", "lock", faults("holds_a_lock"), ""},
    {"base/interrupt", "after SIGINT", {}, "\"$MOCK\" & trap 'kill -9 $!; exit 1' INT; wait"},
    {"base/shutdown", "still runs", {}, "\"$MOCK\"; exec sleep 60"},
    {"driver/capabilities", "", at("hang_at", "Capabilities"), ""},
    {"driver/fingerprint", "unhealthy", {{"healthy", false}}, ""},
    {"driver/fingerprint", "the first message of Fingerprint", at("hang_at", "Fingerprint"), ""},
    {"driver/fingerprint-held", "expected it to stay open", {{"exit_after", "300ms"}}, ""},
    {"driver/events-held", "expected it to stay open", {{"exit_after", "300ms"}}, ""},
    {"driver/task-schema", "", at("hang_at", "TaskConfigSchema"), ""},
    {"driver/unknown-tasks", "WaitTask of an unknown task", faults("accepts_unknown"), ""},
    {"driver/start", "handle.version", faults("bad_handle"), ""},
    {"driver/start", "not today", {}, "", {{"start_error", "not today"}}},
    {"driver/start", "", {}, "", {{"run_for", "1h"}, {"crash_at", "StartTask"}}},
    {"driver/start-bad-config", "found a started task", faults("accepts_bad_config"), ""},
    {"driver/start-twice", "found a second start", faults("starts_twice"), ""},
    {"driver/wait-blocks", "expected no answer while the task runs", faults("ends_waits_early"), ""},
    {"driver/exit-code", "found exit code 0", faults("forgets_exits"), ""},
    {"driver/stop", "expected the task to have ended", faults("stops_nothing"), ""},
    {"driver/destroy-running", "expected an error, found OK", faults("destroys_running"), ""},
    {"driver/destroy-forced", "InspectTask of a destroyed task", faults("remembers_destroyed"), ""},
    {"task/inspect", "started_at", faults("tells_no_start"), ""},
    {"task/stats", "measured_fields", faults("measures_nothing"), ""},
    {"task/signal", "SIGNOSUCH", faults("accepts_any_signal"), ""},
    {"task/signal", "no signals here", {}, "", {{"run_for", "1h"}, {"signal_error", "no signals here"}}},
    {"task/exec", "no exec_command", {}, "", {{"run_for", "1h"}}},
    {"task/exec",
     "expected exit code 3, found exit code 4",
     {},
     "",
     {{"run_for", "1h"}, {"exec_command", Value::Map{{"exit_code", 4}}}}},
    {"task/exec-streaming", "no exec_command", {}, "", {{"run_for", "1h"}}},
    {"task/exec-streaming",
     "stdout: expected",
     {},
     "",
     {{"run_for", "1h"}, {"exec_command", Value::Map{{"exit_code", 3}, {"stdout_string", "other"}}}}},
    {"recover/same-task", "is not known", faults("recovers_nothing"), ""},
    {"recover/same-task", "started_at", faults("recovers_anew"), ""},
    {"recover/exit-code", "expected exit code 3, found exit code 0", faults("loses_exit_codes"), ""},
    {"recover/unknown", "found OK", faults("recovers_anything"), ""},
    {"recover/second-instances", "lock", faults("holds_a_lock"), ""},
    {"leaks/tasks", "threads more", faults("leaks_threads"), ""},
    {"leaks/tasks", "file descriptors more", faults("leaks_descriptors"), ""},
    {"leaks/tasks", "bytes of memory more", faults("leaks_memory"), ""},
    {"leaks/tasks", "processes more", faults("leaks_processes"), ""},
    {"leaks/left-behind", "(sleep)", faults("leaves_a_process"), ""},
    {"device/fingerprint", "no luck", {{"fingerprint_error", "no luck"}}, ""},
    {"device/fingerprint", "there are two devices", two_devices("a", "a"), ""},
    {"device/fingerprint-held", "expected the stream to stay open",
     with_devices({{"crash_at", "Fingerprint"}}), ""},
    {"device/reserve", "taken", with_devices({{"reserve_error", "taken"}}), ""},
    {"device/reserve-unknown", "after Reserve", with_devices({{"crash_at", "Reserve"}}), ""},
    {"device/stats", "no figures", with_devices({{"stats_error", "no figures"}}), ""},
};

class BadPlugin : public ::testing::TestWithParam<Bad> {};

TEST_P(BadPlugin, FailsTheCheckOfThatRule) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const Bad& bad = GetParam();
    char dir[] = "/tmp/drover-bad-XXXXXX";
    ASSERT_NE(::mkdtemp(dir), nullptr);
    SuiteOptions options;
    const bool device = starts_with(bad.check, "device/");
    options.binary = built(device ? kDeviceBinary : kMockBinary);
    if (!bad.wrapper.empty()) {
        const std::string mock = std::string(::realpath(options.binary.c_str(), nullptr));
        options.binary = std::string(dir) + "/plugin";
        ASSERT_TRUE(write_file(options.binary, "#!/bin/sh\nMOCK=" + mock + "\n" + bad.wrapper + "\n", 0700));
    }
    options.run = bad.check;
    options.tasks = 20;
    options.call_timeout_ns = 3 * kSecond;
    SuiteConfig config = *sdk::testing::bundled_config(device ? "mock_device" : "mock_driver");
    config.plugin = sdk::testing::plain_config(bad.plugin);
    if (!bad.running.empty()) config.running->config = sdk::testing::plain_config(bad.running);
    options.config = std::move(config);
    const int64_t begun = mono_now();
    auto report = sdk::testing::run_suite(options);
    EXPECT_TRUE(remove_tree(dir));
    ASSERT_TRUE(report) << report.error().message();
    const auto* result = find(*report, bad.check);
    ASSERT_NE(result, nullptr) << lines_of(*report);
    EXPECT_EQ(result->outcome, Outcome::Fail) << lines_of(*report);
    EXPECT_NE(result->detail.find(bad.says), std::string::npos) << result->detail;
    EXPECT_FALSE(report->passed());
    EXPECT_LT(mono_now() - begun, 60 * kSecond) << "a plugin that hangs must not hang the suite";
    // Whatever it started, and whatever the plugin left.
    EXPECT_TRUE(sdk::testing::descendants(::getpid()).empty());
}

INSTANTIATE_TEST_SUITE_P(Mock, BadPlugin, ::testing::ValuesIn(kBad), [](const auto& info) {
    std::string name = replace_all(replace_all(info.param.check, "/", "_"), "-", "_");
    return fmt::format("{}_{}", name, info.index);
});

// A check that no bad plugin fails is a check that may be empty.
TEST(Suite, EveryCheckHasAPluginThatFailsIt) {
    for (const auto& check : sdk::testing::suite_checks()) {
        bool covered = false;
        for (const Bad& bad : kBad) covered |= bad.check == check.name;
        EXPECT_TRUE(covered) << check.name;
    }
}

TEST(Suite, TellsWhatItCannotRun) {
    SuiteOptions options;
    options.binary = "/no/such/plugin";
    EXPECT_EQ(sdk::testing::run_suite(options).error().code(), Code::NotFound);
    options.binary = "/tmp";
    EXPECT_NE(sdk::testing::run_suite(options).error().message().find("is no file"), std::string::npos);
    char file[] = "/tmp/drover-bad-XXXXXX";
    ASSERT_GE(::mkstemp(file), 0);
    options.binary = file;
    EXPECT_NE(sdk::testing::run_suite(options).error().message().find("is not executable"),
              std::string::npos);
    ::unlink(file);
    options.binary = built(kMockBinary);
    options.run = "no/such/check";
    EXPECT_EQ(sdk::testing::run_suite(options).error().code(), Code::NotFound);
}

// What the plugin cannot do is said once; the rest is skipped with a reason, not failed again and again.
TEST(Suite, SkipsWhatCannotBeChecked) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    SuiteOptions options;
    options.binary = built("plugins/drover-driver-raw_exec");
    options.config.plugin = sdk::testing::plain_config({});  // not enabled
    options.run = "driver/";
    auto report = sdk::testing::run_suite(options);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(find(*report, "driver/fingerprint")->outcome, Outcome::Fail);
    EXPECT_EQ(find(*report, "driver/start")->outcome, Outcome::Skip);
    EXPECT_NE(find(*report, "driver/start")->detail.find("see driver/fingerprint"), std::string::npos);

    options.binary = "/bin/false";
    options.run = "";
    report = sdk::testing::run_suite(options);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(find(*report, "handshake/line")->outcome, Outcome::Fail);
    EXPECT_EQ(find(*report, "base/plugin-info")->outcome, Outcome::Skip);
    EXPECT_FALSE(report->passed());
}

}  // namespace
}  // namespace drover::conformance
