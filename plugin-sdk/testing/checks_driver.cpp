// SPDX-License-Identifier: Apache-2.0
// Checks of what a driver says about itself, and of the life of a task from start to destroy.
#include <thread>

#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"
#include "plugin-sdk/testing/streams.h"

namespace drover::sdk::testing {
namespace {

constexpr int64_t kHoldNs = 700 * kMillisecond;
constexpr int64_t kAtOnceNs = 5 * kSecond;

// Hosts take these for the death of the plugin: never a plugin's own answer.
bool looks_dead(const Error& error) {
    return error.code() == Code::Unavailable || error.code() == Code::Cancelled;
}

std::string_view name_of(TaskState state) {
    return state == TaskState::Running ? "running" : state == TaskState::Exited ? "exited" : "unknown";
}
std::string text_of(const ExitResult& exit) {
    return fmt::format("exit code {}, signal {}{}", exit.exit_code, exit.signal,
                       exit.error.empty() ? "" : ", error \"" + exit.error + "\"");
}

const SuiteTask& running(Bench& bench) {
    return *bench.config().running;
}
const SuiteTask& ending(Bench& bench) {
    return *bench.config().ending;
}

Verdict expect_running(Bench& bench, const std::string& id, std::string_view when) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    auto status = plugin->inspect_task(id);
    if (!status) return std::move(status).error().context(fmt::format("InspectTask {}", when));
    if (status->state != TaskState::Running)
        return failed("state {}: expected running, found {} ({})", when, name_of(status->state),
                      text_of(status->exit));
    return {};
}

Verdict capabilities(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(Capabilities found, plugin->capabilities().context("Capabilities"));
    if (found.fs_isolation < FsIsolation::None || found.fs_isolation > FsIsolation::Unveil)
        return failed("fs_isolation: expected 0 to 3, found {}", static_cast<int>(found.fs_isolation));
    for (NetworkMode mode : found.network_modes)
        if (mode < NetworkMode::Host || mode > NetworkMode::None)
            return failed("network_isolation_modes: expected 0 to 3, found {}", static_cast<int>(mode));
    std::vector<std::string> has;
    if (found.send_signals) has.push_back("signals");
    if (found.exec) has.push_back("exec");
    if (found.must_create_network) has.push_back("networks");
    return passed("{}", has.empty() ? "neither signals nor exec" : join(has, ", "));
}

Verdict fingerprint(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const int64_t begun = mono_now();
    DROVER_TRY(Fingerprint found, plugin->fingerprint().context("the first message of Fingerprint"));
    const int64_t took = mono_now() - begun;
    if (took > kAtOnceNs)
        return failed("expected the first message at once, found it after {}", format_duration(took));
    if (!found.error.empty()) return failed("expected no error, found \"{}\"", found.error);
    for (const auto& [name, attribute] : found.attributes)
        if (std::holds_alternative<std::monostate>(attribute.value))
            return failed("attribute {}: expected a value, found none", name);
    if (found.health != Health::Healthy)
        return failed("expected healthy, found {}: \"{}\"",
                      found.health == Health::Undetected ? "undetected" : "unhealthy", found.description);
    return {};
}

Verdict held(Bench& bench, HostStream stream, std::string_view name) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const HeldStream seen = hold_stream(plugin->channel(), stream, kHoldNs);
    if (seen.ended) return failed("{}: expected it to stay open, found: {}", name, seen.ended->message());
    return {};
}
Verdict fingerprint_held(Bench& bench) {
    return held(bench, HostStream::Fingerprint, "Fingerprint");
}
Verdict events_held(Bench& bench) {
    return held(bench, HostStream::TaskEvents, "TaskEvents");
}

Verdict task_schema(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(HclSpec schema, plugin->task_config_schema().context("TaskConfigSchema"));
    if (schema.kind == HclSpec::Kind::None) return failed("expected a schema, found none");
    for (const auto& [name, task] :
         {std::pair("running", &bench.config().running), std::pair("ending", &bench.config().ending)})
        if (*task) DROVER_CHECK((*task)->config(schema).context(fmt::format("the {} task's config", name)));
    return {};
}

Verdict start(Bench& bench) {
    DROVER_TRY(TaskConfig task, bench.make_task(running(bench)));
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(StartedTask started, plugin->start_task(task).context("StartTask"));
    if (started.handle.config.id != task.id)
        return failed("handle.config.id: expected \"{}\", found \"{}\"", task.id, started.handle.config.id);
    if (started.handle.version == 0) return failed("handle.version: expected one above 0, found 0");
    if (started.handle.state != TaskState::Running)
        return failed("handle.state: expected running, found {}", name_of(started.handle.state));
    return expect_running(bench, task.id, "after the start");
}

Verdict start_bad_config(Bench& bench) {
    DROVER_TRY(TaskConfig task, bench.make_task(running(bench)));
    task.msgpack_driver_config = "\xc1";
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    auto started = plugin->start_task(task);
    if (started) return failed("expected an error for a config that is no msgpack, found a started task");
    if (looks_dead(started.error())) return failed("expected an error, found: {}", started.error().message());
    if (plugin->inspect_task(task.id))
        return failed("expected nothing of the task to be left, found it by InspectTask");
    return {};
}

Verdict start_twice(Bench& bench) {
    DROVER_TRY(TaskConfig task, bench.make_task(running(bench)));
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_CHECK(plugin->start_task(task).context("StartTask"));
    auto again = plugin->start_task(task);
    if (again) return failed("expected an error for an id that is running, found a second start");
    if (looks_dead(again.error())) return failed("expected an error, found: {}", again.error().message());
    return expect_running(bench, task.id, "after a refused second start");
}

Verdict wait_blocks(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(running(bench)));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    auto waited = plugin->wait_task(id, 500 * kMillisecond);
    if (waited) return failed("expected no answer while the task runs, found {}", text_of(*waited));
    if (waited.error().code() != Code::DeadlineExceeded)
        return failed("expected no answer while the task runs, found: {}", waited.error().message());
    // A host that goes away is no reason to stop the task.
    return expect_running(bench, id, "after a cancelled WaitTask");
}

Verdict exit_code(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(ending(bench)));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(auto exits,
               plugin->wait_many({id, id}, bench.options().call_timeout_ns, [] {}).context("WaitTask"));
    DROVER_TRY(
        ExitResult late,
        plugin->wait_task(id, bench.options().call_timeout_ns).context("WaitTask once more, after the end"));
    exits.push_back(late);
    const ExitResult expected{
        .exit_code = ending(bench).exit_code, .signal = 0, .oom_killed = false, .error = ""};
    for (const ExitResult& exit : exits)
        if (exit != expected) return failed("expected {}, found {}", text_of(expected), text_of(exit));
    DROVER_TRY(TaskStatus status, plugin->inspect_task(id).context("InspectTask after the end"));
    if (status.state != TaskState::Exited)
        return failed("state after the end: expected exited, found {}", name_of(status.state));
    const std::string& text = ending(bench).stdout_text;
    if (!text.empty() && !bench.eventually([&] { return bench.printed(id).find(text) != std::string::npos; }))
        return failed("expected \"{}\" in the FIFO stdout_path, found \"{}\"", text,
                      bench.printed(id).substr(0, 120));
    return {};
}

Verdict stop(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(running(bench)));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const pid_t pid = bench.task_pid(id);
    DROVER_CHECK(plugin->stop_task(id, 2 * kSecond, "").context("StopTask"));
    auto waited = plugin->wait_task(id, 2 * kSecond);
    if (!waited)
        return failed("expected the task to have ended when StopTask answers, found: {}",
                      waited.error().message());
    if (pid > 0 && bench.processes().count(pid))
        return failed("expected process {} to be gone, found it alive", pid);
    DROVER_CHECK(plugin->stop_task(id, 2 * kSecond, "").context("StopTask of a task that has ended"));
    return passed("{}", text_of(*waited));
}

Verdict unknown_tasks(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const std::string id = "no-such-alloc/check/00000000";
    auto problem = [&](std::string_view rpc, const Status& status,
                       bool ok_allowed) -> std::optional<Verdict> {
        if (status && !ok_allowed) return failed("{} of an unknown task: expected an error, found OK", rpc);
        if (!status && (looks_dead(status.error()) || status.error().code() == Code::DeadlineExceeded))
            return failed("{} of an unknown task: expected an answer, found: {}", rpc,
                          status.error().message());
        return std::nullopt;
    };
    auto as_status = [](auto result) { return result ? Status() : Status(std::move(result).error()); };
    if (auto bad = problem("WaitTask", as_status(plugin->wait_task(id, 3 * kSecond)), false)) return *bad;
    if (auto bad = problem("InspectTask", as_status(plugin->inspect_task(id)), false)) return *bad;
    if (auto bad = problem("SignalTask", plugin->signal_task(id, "SIGTERM"), false)) return *bad;
    if (auto bad = problem("StopTask", plugin->stop_task(id, kSecond, ""), true)) return *bad;
    if (auto bad = problem("DestroyTask", plugin->destroy_task(id, true), true)) return *bad;
    DROVER_CHECK(plugin->info().context("after calls about an unknown task"));
    return {};
}

Verdict destroy_running(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(running(bench)));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    Status refused = plugin->destroy_task(id, false);
    if (refused) return failed("DestroyTask of a running task without force: expected an error, found OK");
    if (looks_dead(refused.error())) return failed("expected an error, found: {}", refused.error().message());
    return expect_running(bench, id, "after a refused DestroyTask");
}

Verdict destroy_forced(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(running(bench)));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    const pid_t pid = bench.task_pid(id);
    DROVER_CHECK(plugin->destroy_task(id, true).context("DestroyTask with force"));
    if (plugin->inspect_task(id))
        return failed("InspectTask of a destroyed task: expected an error, found OK");
    if (pid > 0 && !bench.eventually([&] { return !bench.processes().count(pid); }))
        return failed("expected process {} to be gone, found it alive", pid);
    return {};
}

}  // namespace

const std::vector<Check>& driver_checks() {
    using enum CheckKind;
    using enum Needs;
    static const std::vector<Check> table = {
        {"driver/capabilities", "Known isolation kinds and network modes", Driver, Plugin, capabilities},
        {"driver/fingerprint", "The first message comes at once and says that tasks can run here", Driver,
         Plugin, fingerprint},
        {"driver/fingerprint-held", "The fingerprint stream stays open", Driver, Plugin, fingerprint_held},
        {"driver/events-held", "The stream of task events stays open", Driver, Plugin, events_held},
        {"driver/task-schema", "The task schema is a valid one and takes the tasks' config", Driver, Plugin,
         task_schema},
        {"driver/unknown-tasks", "Calls about unknown tasks are answered, and are errors where they must be",
         Driver, Plugin, unknown_tasks},
        {"driver/start", "StartTask answers with a handle, and the task runs", Driver, Tasks, start},
        {"driver/start-bad-config", "A task config that is no msgpack is an error and leaves nothing", Driver,
         Tasks, start_bad_config},
        {"driver/start-twice", "An id that is running cannot be started again", Driver, Tasks, start_twice},
        {"driver/wait-blocks", "WaitTask answers no earlier than the end; its cancellation stops nothing",
         Driver, Tasks, wait_blocks},
        {"driver/exit-code",
         "WaitTask tells how the task ended, to everybody and again; output is in the FIFO", Driver, Tasks,
         exit_code},
        {"driver/stop", "StopTask answers once the task has ended, also for one that had", Driver, Tasks,
         stop},
        {"driver/destroy-running", "DestroyTask of a running task needs force", Driver, Tasks,
         destroy_running},
        {"driver/destroy-forced", "DestroyTask with force ends the task and forgets it", Driver, Tasks,
         destroy_forced},
    };
    return table;
}

}  // namespace drover::sdk::testing
