// SPDX-License-Identifier: Apache-2.0
// Checks of what can be done with a running task: signals, exec, figures. What a driver does not declare is
// skipped.
#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"

namespace drover::sdk::testing {
namespace {

bool looks_dead(const Error& error) {
    return error.code() == Code::Unavailable || error.code() == Code::Cancelled;
}

SuiteExec command_of(Bench& bench) {
    if (bench.config().exec) return *bench.config().exec;
    return {.command = {"/bin/sh", "-c", "echo drover-check; exit 3"},
            .exit_code = 3,
            .stdout_text = "drover-check\n"};
}

// As expected, or what is wrong.
Verdict judge(const SuiteExec& expected, const ExitResult& exit, const std::string& out) {
    if (exit.exit_code != expected.exit_code || exit.signal != 0)
        return failed("expected exit code {}, found exit code {}, signal {}", expected.exit_code,
                      exit.exit_code, exit.signal);
    if (out.find(expected.stdout_text) == std::string::npos)
        return failed("stdout: expected \"{}\", found \"{}\"", expected.stdout_text, out.substr(0, 120));
    return {};
}

Verdict exec(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(Capabilities capabilities, plugin->capabilities());
    if (!capabilities.exec) return skipped("exec is not declared");
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const SuiteExec wanted = command_of(bench);
    DROVER_TRY(ExecOutput output,
               plugin->exec_task(started.handle.config.id, wanted.command, 5 * kSecond).context("ExecTask"));
    if (Verdict bad = judge(wanted, output.exit, output.stdout_bytes); bad.outcome != Outcome::Pass)
        return bad;
    if (plugin->exec_task("no-such-alloc/check/00000000", wanted.command, kSecond))
        return failed("in an unknown task: expected an error, found OK");
    return {};
}

Verdict exec_streaming(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(Capabilities capabilities, plugin->capabilities());
    if (!capabilities.exec) return skipped("exec is not declared");
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    const int64_t patience = bench.options().call_timeout_ns;
    const SuiteExec wanted = command_of(bench);
    auto session = plugin->exec_task_streaming(id, {.command = wanted.command, .tty = false});
    session->heartbeat();  // empty messages mean nothing
    DROVER_TRY(ExitResult exit, session->finish(patience).context("ExecTaskStreaming"));
    if (Verdict bad = judge(wanted, exit, session->out()); bad.outcome != Outcome::Pass) return bad;
    if (plugin->exec_task_streaming("no-such-alloc/check/00000000", {.command = wanted.command, .tty = false})
            ->finish(patience))
        return failed("in an unknown task: expected an error, found OK");
    if (bench.config().exec) return {};
    session = plugin->exec_task_streaming(id, {.command = {"/bin/cat"}, .tty = false});
    session->type("typed by a person\n");
    if (!session->shows("typed by a person\n", patience))
        return failed("/bin/cat: expected what was typed, found \"{}\"", session->out().substr(0, 120));
    session->close_stdin();
    DROVER_TRY(exit, session->finish(patience).context("/bin/cat after the end of its stdin"));
    if (exit.exit_code != 0) return failed("/bin/cat: expected exit code 0, found {}", exit.exit_code);
    // Whoever goes away takes nothing along.
    session = plugin->exec_task_streaming(id, {.command = {"/bin/cat"}, .tty = true});
    session->resize({.rows = 40, .columns = 120});
    session->cancel();
    DROVER_TRY(TaskStatus status, plugin->inspect_task(id).context("InspectTask after a cancelled exec"));
    if (status.state != TaskState::Running) return failed("the task after a cancelled exec: found it ended");
    return {};
}

Verdict signal(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(Capabilities capabilities, plugin->capabilities());
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    if (!capabilities.send_signals) {
        Status refused = plugin->signal_task(id, "SIGTERM");
        if (refused) return failed("send_signals is not declared: expected an error, found OK");
        if (looks_dead(refused.error()))
            return failed("expected an error, found: {}", refused.error().message());
        return skipped("send_signals is not declared (SignalTask is refused, as it must be)");
    }
    Status unknown = plugin->signal_task(id, "SIGNOSUCH");
    if (unknown) return failed("signal SIGNOSUCH: expected an error, found OK");
    if (looks_dead(unknown.error())) return failed("signal SIGNOSUCH: found: {}", unknown.error().message());
    // One that every program takes without being changed by it.
    DROVER_CHECK(plugin->signal_task(id, "SIGCONT").context("SignalTask SIGCONT"));
    DROVER_TRY(TaskStatus status, plugin->inspect_task(id).context("InspectTask after SIGCONT"));
    if (status.state != TaskState::Running)
        return failed("state after SIGCONT: expected running, found {}", static_cast<int>(status.state));
    return {};
}

Verdict stats(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    auto samples = plugin->task_stats(id, 200 * kMillisecond, 2);
    if (!samples &&
        (samples.error().code() == Code::Unimplemented || samples.error().code() == Code::DeadlineExceeded))
        return skipped("no figures: {}", samples.error().message());
    if (!samples) return std::move(samples).error().context("TaskStats");
    bool measured = false;
    for (const TaskStats& sample : *samples) {
        if (sample.timestamp_unix_ns <= 0) return failed("timestamp: expected one, found none");
        measured |= sample.total != ResourceUsage{};
    }
    if (samples->back().timestamp_unix_ns <= samples->front().timestamp_unix_ns)
        return failed("timestamps: expected them to rise, found {} after {}",
                      samples->back().timestamp_unix_ns, samples->front().timestamp_unix_ns);
    if (!measured) return failed("measured_fields: expected at least one, found none in two samples");
    auto unknown = plugin->task_stats("no-such-alloc/check/00000000", 200 * kMillisecond, 1);
    if (unknown) return failed("of an unknown task: expected an error, found a sample");
    return {};
}

Verdict inspect(Bench& bench) {
    const int64_t before = unix_now();
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(TaskStatus status, plugin->inspect_task(id).context("InspectTask"));
    if (status.id != id) return failed("id: expected \"{}\", found \"{}\"", id, status.id);
    if (status.started_unix_ns < before - kMinute || status.started_unix_ns > unix_now() + kMinute)
        return failed("started_at: expected about now, found {}", format_rfc3339(status.started_unix_ns));
    if (status.completed_unix_ns != 0)
        return failed("completed_at of a running task: expected none, found {}",
                      format_rfc3339(status.completed_unix_ns));
    return {};
}

}  // namespace

const std::vector<Check>& task_checks() {
    using enum CheckKind;
    using enum Needs;
    static const std::vector<Check> table = {
        {"task/inspect", "InspectTask tells id, state and the time of the start", Driver, Tasks, inspect},
        {"task/stats", "TaskStats gives samples with times and measured fields", Driver, Tasks, stats},
        {"task/signal", "Signals are delivered, unknown ones refused", Driver, Tasks, signal},
        {"task/exec", "A command runs in the task: output and exit code", Driver, Tasks, exec},
        {"task/exec-streaming", "The same with streams: input, its end, heartbeats, a person who goes away",
         Driver, Tasks, exec_streaming},
    };
    return table;
}

}  // namespace drover::sdk::testing
