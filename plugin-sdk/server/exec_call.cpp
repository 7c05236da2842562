// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/exec_call.h"

#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk {
namespace {

constexpr size_t kInputBytesMax = 256 << 10;  // read ahead of the program
constexpr size_t kInputsMax = 256;            // sizes and ends count nothing in bytes
constexpr size_t kChunkBytes = 32 << 10;

}  // namespace

ExecCall::ExecCall(Driver& driver, WorkerPool& pool) : driver_(driver), pool_(pool) {
    std::lock_guard lock(mutex_);
    read_more();
}

// --- what comes in

void ExecCall::read_more() {
    if (reading_ || finished_ || gone_ || end_of_input_ || broken_) return;
    if (input_bytes_ >= kInputBytesMax || inputs_.size() >= kInputsMax) return;
    reading_ = true;
    StartRead(&incoming_);
}

// One message's content into the queue; with the lock held. False: it breaks the protocol.
bool ExecCall::take(driverpb::ExecTaskStreamingRequest& request) {
    if (request.has_setup() == started_) {
        broken_ = Error(Code::InvalidArgument, started_ ? "ExecTaskStreaming: setup came twice"
                                                        : "ExecTaskStreaming: first message should always be setup");
        return false;
    }
    if (request.has_setup()) {
        task_id_ = request.setup().task_id();
        request_.command.assign(request.setup().command().begin(), request.setup().command().end());
        request_.tty = request.setup().tty();
        if (request_.command.empty()) {
            broken_ = Error(Code::InvalidArgument, "ExecTaskStreaming: setup.command is empty");
            return false;
        }
    }
    // Plain fields, not alternatives: one message may have several. One without any is a heartbeat.
    if (request.has_tty_size())
        inputs_.push_back(TerminalSize{.rows = request.tty_size().height(), .columns = request.tty_size().width()});
    if (request.has_stdin()) {
        if (request.stdin().close()) {
            inputs_.push_back(ExecStdinClosed{});
        } else if (!request.stdin().data().empty()) {
            input_bytes_ += request.stdin().data().size();
            inputs_.push_back(ExecStdin{std::move(*request.mutable_stdin()->mutable_data())});
        }
    }
    return true;
}

void ExecCall::OnReadDone(bool ok) {
    bool begin = false;
    std::optional<grpc::Status> refuse;
    {
        std::lock_guard lock(mutex_);
        reading_ = false;
        if (finished_) return;
        if (!ok) {
            // No host half-closes; whoever does has nothing more to type.
            if (!started_ && !gone_) {
                broken_ = Error(Code::InvalidArgument, "ExecTaskStreaming: first message should always be setup");
            } else if (started_ && !end_of_input_) {
                end_of_input_ = true;
                inputs_.push_back(ExecStdinClosed{});
            }
        } else if (take(incoming_)) {
            begin = !started_;
            started_ = true;
        }
        if (!started_) {  // nobody else will finish it
            finished_ = true;
            refuse = broken_ ? wire::to_status(*broken_) : grpc::Status::CANCELLED;
        }
        read_more();
        changed_.notify_all();
    }
    if (refuse) return Finish(*refuse);
    if (begin) pool_.post([this] { run(); });
}

void ExecCall::OnCancel() {
    std::lock_guard lock(mutex_);
    gone_ = true;
    changed_.notify_all();
}

ExecInput ExecCall::read() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return gone_ || interrupted_ || broken_ || !inputs_.empty(); });
    if (gone_ || interrupted_ || broken_) return ExecCancelled{};
    ExecInput next = std::move(inputs_.front());
    inputs_.pop_front();
    if (auto* bytes = std::get_if<ExecStdin>(&next)) input_bytes_ -= bytes->bytes.size();
    read_more();
    return next;
}

void ExecCall::interrupt() {
    std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
}

// --- what goes out

void ExecCall::OnWriteDone(bool ok) {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) gone_ = true;
    changed_.notify_all();
}

// Waits for the message before, not for its own. False: the host is gone.
bool ExecCall::send(driverpb::ExecTaskStreamingResponse message) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !writing_ || gone_; });
    if (gone_) return false;
    outgoing_ = std::move(message);
    writing_ = true;
    StartWrite(&outgoing_);
    return true;
}

Status ExecCall::write(std::string_view bytes, bool to_stderr) {
    while (!bytes.empty()) {
        const std::string_view chunk = bytes.substr(0, kChunkBytes);
        bytes.remove_prefix(chunk.size());
        driverpb::ExecTaskStreamingResponse message;
        (to_stderr ? message.mutable_stderr() : message.mutable_stdout())->set_data(std::string(chunk));
        if (!send(std::move(message))) return make_error(Code::Cancelled, "the exec session was ended from outside");
    }
    return {};
}

Status ExecCall::write_stdout(std::string_view bytes) {
    return write(bytes, false);
}
Status ExecCall::write_stderr(std::string_view bytes) {
    return write(bytes, true);
}

// --- the call

grpc::Status ExecCall::say_end(const ExitResult& exit) {
    if (!exit.error.empty()) return wire::to_status(Error(Code::Unknown, exit.error));
    driverpb::ExecTaskStreamingResponse out, err, last;
    out.mutable_stdout()->set_close(true);
    err.mutable_stderr()->set_close(true);
    last.set_exited(true);
    wire::to_proto(exit, last.mutable_result());
    for (auto* message : {&out, &err, &last})
        if (!send(std::move(*message))) return grpc::Status::CANCELLED;
    return grpc::Status::OK;
}

void ExecCall::run() {
    Result<ExitResult> exit = driver_.exec_task_streaming(task_id_, request_, *this);
    grpc::Status end;
    std::optional<Error> broken;
    {
        std::lock_guard lock(mutex_);
        broken = broken_;
    }
    if (broken) {
        end = wire::to_status(*broken);
    } else if (exit) {
        end = say_end(*exit);
    } else {
        // "driver does not support exec" is what Nomad's users know, with the code that its own drivers give.
        Error error = std::move(exit).error();
        end = error.code() == Code::Unimplemented ? grpc::Status(grpc::StatusCode::UNKNOWN, error.message())
                                                  : wire::to_status(error);
    }
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !writing_; });
        finished_ = true;
    }
    Finish(end);  // this object may be gone now
}

}  // namespace drover::sdk
