// SPDX-License-Identifier: Apache-2.0
// Checks of what must outlive the plugin, and of what must not grow with the number of tasks.
#include <signal.h>

#include "base/files.h"
#include "base/strings.h"
#include "plugin-sdk/testing/bench.h"
#include "plugin-sdk/testing/usage.h"

namespace drover::sdk::testing {
namespace {

constexpr int64_t kThreadsPer100Tasks = 10, kFdsPer100Tasks = 5, kBytesPerTask = 32 << 10;
constexpr int64_t kThreadsSpare = 4, kFdsSpare = 4, kBytesSpare = 4 << 20;

// What an agent that was restarted gives back: the config block is not stored.
TaskHandle stored(const StartedTask& started) {
    TaskHandle handle = started.handle;
    handle.config.msgpack_driver_config.clear();
    return handle;
}

Verdict same_task(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(TaskStatus before, plugin->inspect_task(id).context("InspectTask"));
    const pid_t pid = bench.task_pid(id);
    DROVER_TRY(plugin, bench.relaunch_after_kill());
    if (pid > 0 && !bench.processes().count(pid))
        return failed("expected process {} to outlive the plugin, found it gone", pid);
    DROVER_CHECK(plugin->recover_task(stored(started)).context("RecoverTask after kill -9 of the plugin"));
    DROVER_TRY(TaskStatus after, plugin->inspect_task(id).context("InspectTask after RecoverTask"));
    if (after.state != TaskState::Running)
        return failed("state after RecoverTask: expected running, found {}", static_cast<int>(after.state));
    if (bench.task_pid(id) != pid) return failed("pid: expected {}, found {}", pid, bench.task_pid(id));
    if (after.started_unix_ns / kSecond != before.started_unix_ns / kSecond)
        return failed("started_at: expected {}, found {}", format_rfc3339(before.started_unix_ns),
                      format_rfc3339(after.started_unix_ns));
    DROVER_CHECK(plugin->recover_task(stored(started)).context("RecoverTask of a task that is known"));
    DROVER_CHECK(plugin->stop_task(id, 2 * kSecond, "").context("StopTask of a recovered task"));
    DROVER_CHECK(plugin->wait_task(id, 2 * kSecond).context("WaitTask of a recovered task that was stopped"));
    return pid > 0 ? passed("process {}", pid) : Verdict();
}

Verdict exit_while_dead(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().ending));
    const std::string& id = started.handle.config.id;
    const pid_t pid = bench.task_pid(id);
    bench.drop();
    if (pid > 0) bench.eventually([&] { return !bench.processes().count(pid); });
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_CHECK(plugin->recover_task(stored(started)).context("RecoverTask"));
    DROVER_TRY(ExitResult exit,
               plugin->wait_task(id, bench.options().call_timeout_ns).context("WaitTask after RecoverTask"));
    const int32_t expected = bench.config().ending->exit_code;
    if (exit.exit_code != expected || exit.signal != 0 || !exit.error.empty())
        return failed("expected exit code {}, found exit code {}, signal {}, error \"{}\"", expected,
                      exit.exit_code, exit.signal, exit.error);
    return {};
}

Verdict unknown_handle(Bench& bench) {
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    TaskHandle handle;
    handle.version = 1;
    handle.state = TaskState::Running;
    handle.config.id = "no-such-alloc/check/00000000";
    Status recovered = plugin->recover_task(handle);
    if (recovered) return failed("expected an error (NotFound) for a task that is not there, found OK");
    const Code code = recovered.error().code();
    if (code == Code::Unavailable || code == Code::Cancelled || code == Code::DeadlineExceeded)
        return failed("expected an error (NotFound), found: {}", recovered.error().message());
    DROVER_CHECK(plugin->info().context("after a refused RecoverTask"));
    return passed("{}", code_name(code));
}

// The live instance keeps its tasks while others come and go: a lock or a clean-up at start would show here.
Verdict beside_tasks(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    for (int launch = 1; launch <= 2; ++launch) {
        DROVER_TRY(auto other, bench.another());
        DROVER_CHECK(bench.configure(*other, false).context("SetConfig of a second instance"));
        DROVER_CHECK(other->shutdown(2 * kSecond).context("end of a second instance"));
    }
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    DROVER_TRY(TaskStatus status, plugin->inspect_task(id).context("InspectTask after second instances"));
    if (status.state != TaskState::Running)
        return failed("the task: expected running, found state {}", static_cast<int>(status.state));
    return {};
}

// One life of a task as hosts drive it: WaitTask is open when the task is destroyed.
Verdict one_life(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    const std::string& id = started.handle.config.id;
    DROVER_TRY(PluginProcess * plugin, bench.plugin());
    Status destroyed;
    auto waited =
        plugin->wait_many({id}, bench.options().call_timeout_ns, [&] { destroyed = bench.forget(id); });
    DROVER_CHECK(std::move(destroyed));
    if (!waited && waited.error().code() == Code::DeadlineExceeded)
        return failed("WaitTask: expected an answer when the task is destroyed, found none");
    return {};
}

Verdict growth(Bench& bench, const Usage& before, const Usage& after, size_t processes_before,
               size_t processes) {
    const int64_t tasks = bench.options().tasks;
    const std::tuple<const char*, int64_t, int64_t> figures[] = {
        {"threads", after.threads - before.threads, kThreadsSpare + tasks * kThreadsPer100Tasks / 100},
        {"sockets", after.sockets - before.sockets, kFdsSpare + tasks * kFdsPer100Tasks / 100},
        {"file descriptors", after.fds - before.fds, kFdsSpare + tasks * kFdsPer100Tasks / 100},
        {"bytes of memory", after.private_bytes - before.private_bytes, kBytesSpare + tasks * kBytesPerTask}};
    std::vector<std::string> grown;
    for (const auto& [name, found, allowed] : figures)
        if (found > allowed) grown.push_back(fmt::format("{} {} more (at most {})", found, name, allowed));
    if (processes > processes_before)
        grown.push_back(fmt::format("{} processes more", processes - processes_before));
    if (!grown.empty()) return failed("after {} tasks found {}", tasks, join(grown, ", "));
    return passed("{} tasks: {:+} threads, {:+} descriptors, {:+} KiB", tasks, after.threads - before.threads,
                  after.fds - before.fds, (after.private_bytes - before.private_bytes) / 1024);
}

Verdict leaks(Bench& bench) {
    const int tasks = bench.options().tasks;
    const int warm_up = std::max(1, tasks / 10);
    Usage before;
    size_t processes_before = 0;
    pid_t pid = 0;
    for (int done = 0; done < warm_up + tasks; ++done) {
        if (bench.stopped()) return skipped("interrupted");
        if (Verdict one = one_life(bench); one.outcome != Outcome::Pass)
            return {one.outcome, fmt::format("task {}: {}", done + 1, one.detail)};
        DROVER_TRY(PluginProcess * plugin, bench.plugin());
        if (pid != 0 && pid != plugin->pid()) return failed("task {}: the plugin died", done + 1);
        pid = plugin->pid();
        if (done + 1 == warm_up) {
            DROVER_TRY(before, usage_of(pid));
            processes_before = bench.processes().size();
        }
        if (bench.options().on_progress)
            bench.options().on_progress({"leaks/tasks", ""}, done + 1, warm_up + tasks);
    }
    // What ends a moment after the answer may do so.
    Usage after;
    size_t processes = 0;
    Verdict verdict;
    bench.eventually([&] {
        auto now = usage_of(pid);
        if (now) after = *now;
        processes = bench.processes().size();
        verdict = growth(bench, before, after, processes_before, processes);
        return now && verdict.outcome == Outcome::Pass;
    });
    return verdict;
}

Verdict left_behind(Bench& bench) {
    DROVER_TRY(StartedTask started, bench.start(*bench.config().running));
    DROVER_CHECK(bench.forget(started.handle.config.id));
    auto plugin = bench.take();
    DROVER_CHECK(plugin->shutdown(2 * kSecond).context("GRPCController/Shutdown"));
    plugin.reset();
    std::set<pid_t> left;
    bench.eventually([&] {
        left = bench.processes();
        return left.empty();
    });
    std::vector<std::string> found = bench.left_behind();
    for (pid_t pid : left) {
        std::string command = read_file(fmt::format("/proc/{}/comm", pid)).value_or("?");
        found.push_back(fmt::format("process {} ({})", pid, trim(command)));
    }
    if (!found.empty()) return failed("expected nothing, found {}", join(found, ", "));
    return {};
}

}  // namespace

const std::vector<Check>& recovery_checks() {
    using enum CheckKind;
    using enum Needs;
    static const std::vector<Check> table = {
        {"recover/same-task", "The task outlives kill -9 of the plugin, and RecoverTask finds the same one",
         Driver, Tasks, same_task},
        {"recover/exit-code", "The exit code of a task that ended while the plugin was dead is not lost",
         Driver, Tasks, exit_while_dead},
        {"recover/unknown", "A handle of no task is an error", Driver, Plugin, unknown_handle},
        {"recover/second-instances", "Short second instances leave the tasks of a live one alone", Driver,
         Tasks, beside_tasks},
        {"leaks/tasks",
         "Many tasks leave no threads, descriptors, sockets, memory or processes in the plugin", Driver,
         Tasks, leaks},
        {"leaks/left-behind", "After the last task and the plugin's end no process, mount or state is left",
         Driver, Tasks, left_behind},
    };
    return table;
}

}  // namespace drover::sdk::testing
