// SPDX-License-Identifier: Apache-2.0
#include "drover/process_task.h"

#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/sys/proc.h"
#include "plugin-sdk/process/process_impl.h"
#include "plugin-sdk/process/shim_client.h"
#include "plugin-sdk/process/spec_writer.h"

namespace drover::sdk {
namespace {

constexpr uint32_t kRequestId = 7;

Error ended_error(const std::string& id) {
    return make_error(Code::FailedPrecondition, "task {} is not running", id);
}

}  // namespace

ProcessStatus to_status(const shim::Record& record) {
    ProcessStatus status;
    switch (record.phase) {
        case shim::Phase::None:
        case shim::Phase::Launching:
            status.phase = ProcessPhase::Starting;
            break;
        case shim::Phase::Running:
            status.phase = ProcessPhase::Running;
            break;
        case shim::Phase::Exited:
            status.phase = ProcessPhase::Exited;
            break;
        case shim::Phase::StartFailed:
            status.phase = ProcessPhase::StartFailed;
            break;
        case shim::Phase::Lost:
            status.phase = ProcessPhase::Lost;
            break;
    }
    status.pid = record.pid;
    status.started_ns = record.started_ns;
    status.finished_ns = record.finished_ns;
    status.exit_code = record.exit_code;
    status.signal = record.signal;
    status.oom_killed = record.oom_killed != 0;
    status.adopted = record.adopted;
    status.message = record.message;
    return status;
}

void ProcessTask::Impl::finish(const shim::Record& record) {
    std::vector<std::function<void(const ProcessStatus&)>> waiting;
    ProcessStatus told;
    {
        std::lock_guard lock(mutex);
        if (status.ended()) return;
        status = to_status(record);
        told = status;
        waiting.swap(callbacks);
    }
    changed.notify_all();
    for (auto& callback : waiting) callback(told);
}

bool ProcessTask::Impl::ended() const {
    std::lock_guard lock(mutex);
    return status.ended();
}

ExitResult exit_result(const ProcessStatus& status) {
    ExitResult out{.exit_code = status.signal != 0 ? 128 + status.signal : status.exit_code,
                   .signal = status.signal,
                   .oom_killed = status.oom_killed,
                   .error = ""};
    if (status.phase == ProcessPhase::Lost) {
        out.exit_code = -1;  // nobody knows it; 0 would read as success
        out.error = "the task's end was not seen: " + status.message;
    }
    if (status.phase == ProcessPhase::StartFailed) out.error = status.message;
    return out;
}

ProcessTask::ProcessTask(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ProcessTask::~ProcessTask() = default;

const std::string& ProcessTask::id() const {
    return impl_->id;
}
const std::string& ProcessTask::dir() const {
    return impl_->dir;
}
pid_t ProcessTask::pid() const {
    return status().pid;
}
int64_t ProcessTask::started_ns() const {
    return status().started_ns;
}

ProcessStatus ProcessTask::status() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->status;
}

void ProcessTask::on_exit(std::function<void(const ProcessStatus&)> callback) {
    ProcessStatus now;
    {
        std::lock_guard lock(impl_->mutex);
        if (!impl_->status.ended()) {
            impl_->callbacks.push_back(std::move(callback));
            return;
        }
        now = impl_->status;
    }
    callback(now);
}

std::optional<ProcessStatus> ProcessTask::wait(int64_t timeout_ns) const {
    std::unique_lock lock(impl_->mutex);
    auto ended = [&] { return impl_->status.ended(); };
    if (timeout_ns < 0)
        impl_->changed.wait(lock, ended);
    else if (!impl_->changed.wait_for(lock, std::chrono::nanoseconds(timeout_ns), ended))
        return std::nullopt;
    return impl_->status;
}

Status ProcessTask::signal(int number) {
    for (int64_t deadline = mono_now() + kShimAnswerNs;;) {
        if (impl_->ended()) return ended_error(impl_->id);
        shim::SignalRequest request{number, 0};
        auto fd = connect_shim(impl_->dir_fd.get());
        if (fd && send_request(fd->get(), shim::FrameType::Signal, &request, sizeof request, kRequestId)) {
            auto reply = await_reply(fd->get(), kRequestId, kShimAnswerNs);
            if (reply) return {};
            if (reply.error().code() != Code::Unavailable) return std::move(reply).error();
            // The shim died on us: the signal may have been sent or not. Not sending it twice is the lesser
            // evil only for signals that count; all that tasks are sent in practice may come twice.
        }
        if (mono_now() > deadline)
            return make_error(Code::Unavailable, "task {}: its shim does not answer", impl_->id);
        static_cast<void>(wait(5 * kMillisecond));  // the watch thread is getting another shim
    }
}

Status ProcessTask::stop(int number, int64_t timeout_ns) {
    if (number < 0 || number > 64)
        return make_error(Code::InvalidArgument, "signal {}: expected 0 to 64", number);
    const int64_t kill_at = mono_now() + std::max<int64_t>(0, timeout_ns);
    int signal_to_send = number;
    for (;;) {
        if (impl_->ended()) return {};
        int64_t left = std::max<int64_t>(0, kill_at - mono_now());
        shim::StopRequest request{signal_to_send,
                                  static_cast<uint32_t>(std::min<int64_t>(left / kMillisecond, UINT32_MAX))};
        auto fd = connect_shim(impl_->dir_fd.get());
        if (fd && send_request(fd->get(), shim::FrameType::Stop, &request, sizeof request, kRequestId)) {
            auto reply = await_reply(fd->get(), kRequestId, left + kShimAnswerNs);
            if (reply) {
                impl_->finish(*reply);
                return {};
            }
            if (reply.error().code() != Code::Unavailable) return std::move(reply).error();
        }
        if (mono_now() > kill_at + kShimAnswerNs)
            return make_error(Code::DeadlineExceeded,
                              "task {} did not end, even after SIGKILL to its whole tree", impl_->id);
        static_cast<void>(wait(5 * kMillisecond));
    }
}

Status ProcessTask::destroy(bool force) {
    if (!impl_->ended()) {
        if (!force) return make_error(Code::FailedPrecondition, "task {} is still running", impl_->id);
        DROVER_CHECK(stop(0, 0));
    }
    const int dir_fd = impl_->dir_fd.get();
    // The shim may still be holding FIFOs for their reader; it is not needed any more.
    Result<UniqueFd> locked = lock_task_dir(dir_fd, 0);
    for (int64_t deadline = mono_now() + 10 * kSecond; !locked; locked = lock_task_dir(dir_fd, 0)) {
        if (locked.error().code() == Code::NotFound) return {};  // destroyed already, directory and all
        if (auto fd = connect_shim(dir_fd); fd)
            if (send_request(fd->get(), shim::FrameType::Forget, nullptr, 0, kRequestId))
                static_cast<void>(await_reply(fd->get(), kRequestId, kSecond));
        if (mono_now() > deadline)
            return make_error(Code::DeadlineExceeded, "task {}: its shim does not end", impl_->id);
        sys::nap_ms(2);
    }
    if (impl_->group) {
        DROVER_CHECK(impl_->group->kill_tree(10 * kSecond));
        DROVER_CHECK(impl_->group->remove(10 * kSecond));
    }
    return clear_task_dir(impl_->dir);
}

Result<cgroup::Stats> ProcessTask::stats() const {
    if (!impl_->group) return make_error(Code::Unimplemented, "task {} has no cgroup", impl_->id);
    std::lock_guard lock(impl_->stats_mutex);
    if (!impl_->stats) impl_->stats.emplace(*impl_->group);
    return impl_->stats->read();
}

const std::optional<cgroup::Cgroup>& ProcessTask::group() const { return impl_->group; }

Result<std::vector<pid_t>> ProcessTask::procs() const {
    if (!impl_->group) return make_error(Code::Unimplemented, "task {} has no cgroup", impl_->id);
    return impl_->group->procs();
}

Result<ExecProgram> ProcessTask::exec_program(const std::vector<std::string>& command) const {
    const ProcessStatus now = status();
    if (now.phase != ProcessPhase::Running) return ended_error(impl_->id);
    if (command.empty()) return make_error(Code::InvalidArgument, "command: must not be empty");
    DROVER_TRY(ExecProgram program, read_spec_program(join_path(impl_->dir, shim::kSpecFile)));
    program.command = command.front();
    program.args.assign(command.begin() + 1, command.end());
    program.network_namespace = fmt::format("/proc/{}/ns/net", now.pid);
    return program;
}

}  // namespace drover::sdk
