// SPDX-License-Identifier: Apache-2.0
// A second program inside a task's container: by the daemon, which keeps its terminal. It has no call to end
// one, so that is done by its process id.
#include <signal.h>

#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/sys/proc.h"
#include "drivers/docker/docker_driver.h"
#include "drivers/docker/log_parser.h"

namespace drover::drivers {
namespace {

constexpr size_t kOutputMax = 64 << 10;
constexpr int64_t kSettleNs = 5 * kSecond;
// What the daemon writes in the program's place when there is none, with exit code 126 or 127.
constexpr std::string_view kNotStarted = "OCI runtime exec failed: ";

bool not_started(const sdk::ExitResult& exit, std::string_view output) {
    return (exit.exit_code == 126 || exit.exit_code == 127) &&
           output.substr(0, kNotStarted.size()) == kNotStarted;
}

Error start_error(const std::vector<std::string>& command, std::string_view output) {
    return make_error(Code::NotFound, "command \"{}\": {}", command.front(),
                      trim(output.substr(std::min(output.size(), kNotStarted.size()))));
}

void end_exec(Engine& engine, const std::string& exec_id) {
    auto info = engine.inspect_exec(exec_id);
    if (!info || !info->running || info->pid <= 0) return;
    UniqueFd process(sys::pidfd_open(static_cast<pid_t>(info->pid)));
    // Asked again with the descriptor in hand: the number cannot have gone to another process in between.
    auto still = engine.inspect_exec(exec_id);
    if (process && still && still->running) sys::pidfd_signal(process.get(), SIGKILL);
}

// The stream may end a moment before the daemon knows the exit code.
Result<sdk::ExitResult> exec_result(Engine& engine, const std::string& exec_id) {
    for (const int64_t deadline = mono_now() + kSettleNs;; ::usleep(10'000)) {
        DROVER_TRY(ExecInfo info, engine.inspect_exec(exec_id));
        if (!info.running)
            return sdk::ExitResult{
                .exit_code = info.exit_code, .signal = 0, .oom_killed = false, .error = ""};
        if (mono_now() > deadline) {
            // Something it started holds the program; its output is over.
            end_exec(engine, exec_id);
            if (mono_now() > deadline + kSettleNs)
                return make_error(Code::DeadlineExceeded, "exec: the program does not end");
        }
    }
}

// Passes what the person types on, until interrupted. On a thread of its own beside the one that reads.
void pass_input(Engine& engine, const std::string& exec_id, HttpExchange& program, sdk::ExecStream& person) {
    for (bool open = true;;) {
        sdk::ExecInput input = person.read();
        if (auto* bytes = std::get_if<sdk::ExecStdin>(&input)) {
            if (open) open = program.write(bytes->bytes, HttpExchange::kForever).has_value();
        } else if (std::holds_alternative<sdk::ExecStdinClosed>(input)) {
            if (open) program.finish_writing();
            open = false;
        } else if (auto* size = std::get_if<sdk::TerminalSize>(&input)) {
            if (Status done = engine.resize_exec(exec_id, size->rows, size->columns); !done)
                log::debug("docker", "terminal not resized", {{"error", done.error().message()}});
        } else {
            return;
        }
    }
}

// Passes the program's output on until its end. What may be the daemon's word on a program that does not
// start is `held`.
Status pass_output(HttpExchange& program, sdk::ExecStream& person, bool tty, std::string& held) {
    FrameParser frames;
    bool first = true;
    auto pass = [&](LogSource source, std::string_view payload) -> Status {
        if (first && source == LogSource::Stdout && payload.substr(0, kNotStarted.size()) == kNotStarted) {
            held += payload;
            return {};
        }
        first = false;
        return source == LogSource::Stdout ? person.write_stdout(payload) : person.write_stderr(payload);
    };
    for (;;) {
        DROVER_TRY(std::string bytes, program.read(HttpExchange::kForever));
        if (bytes.empty()) return {};
        DROVER_CHECK(tty ? pass(LogSource::Stdout, bytes) : frames.feed(bytes, pass));
    }
}

}  // namespace

Result<sdk::ExecOutput> DockerDriver::exec_task(const std::string& task_id,
                                                const std::vector<std::string>& command, int64_t timeout_ns) {
    DROVER_TRY(TaskPtr task, find(task_id));
    if (task->container_ended())
        return make_error(Code::FailedPrecondition, "task {} is not running", task_id);
    auto engine = this->engine();
    DROVER_TRY(std::string id, engine->create_exec(task->container().id, command, false, false));
    DROVER_TRY(auto program, engine->start_exec(id, false));
    const int64_t deadline = timeout_ns > 0 ? mono_now() + timeout_ns : HttpExchange::kForever;
    sdk::ExecOutput out;
    FrameParser frames;
    for (;;) {
        auto bytes = program->read(deadline);
        if (!bytes) {
            end_exec(*engine, id);
            if (bytes.error().code() == Code::DeadlineExceeded)
                return make_error(Code::DeadlineExceeded, "exec: no end after {}",
                                  format_duration(timeout_ns));
            return std::move(bytes).error();
        }
        if (bytes->empty()) break;
        DROVER_CHECK(frames.feed(*bytes, [&](LogSource source, std::string_view payload) -> Status {
            std::string& to = source == LogSource::Stdout ? out.stdout_bytes : out.stderr_bytes;
            to.append(payload.substr(0, kOutputMax - std::min(kOutputMax, to.size())));
            return {};
        }));
    }
    DROVER_TRY(out.exit, exec_result(*engine, id));
    if (not_started(out.exit, out.stdout_bytes)) return start_error(command, out.stdout_bytes);
    return out;
}

Result<sdk::ExitResult> DockerDriver::exec_task_streaming(const std::string& task_id,
                                                          const sdk::ExecRequest& request,
                                                          sdk::ExecStream& person) {
    DROVER_TRY(TaskPtr task, find(task_id));
    if (task->container_ended())
        return make_error(Code::FailedPrecondition, "task {} is not running", task_id);
    auto engine = this->engine();
    DROVER_TRY(std::string id, engine->create_exec(task->container().id, request.command, request.tty, true));
    DROVER_TRY(auto program, engine->start_exec(id, request.tty));
    std::thread input([&] {
        pass_input(*engine, id, *program, person);
        // The person is gone (or the program, then this finds nothing to end): a program that nobody can see
        // is ended.
        end_exec(*engine, id);
    });
    std::string held;
    Status passed = pass_output(*program, person, request.tty, held);
    auto result = passed ? exec_result(*engine, id) : Result<sdk::ExitResult>(passed.error());
    if (result && not_started(*result, held))
        result = start_error(request.command, held);
    else if (result && !held.empty() && !person.write_stdout(held))
        log::debug("docker", "exec: the person is gone", {{"task", task_id}});
    person.interrupt();
    program->interrupt();
    input.join();
    return result;
}

}  // namespace drover::drivers
