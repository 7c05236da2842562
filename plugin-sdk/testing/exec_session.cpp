// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/testing/exec_session.h"

#include <grpcpp/channel.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "plugin-sdk/wire/driver_wire.h"
#include "proto/plugin/driver.grpc.pb.h"

namespace drover::sdk::testing {

namespace driverpb = wire::driverpb;

struct ExecSession::Impl {
    grpc::ClientContext context;
    std::unique_ptr<driverpb::Driver::Stub> stub;
    std::unique_ptr<grpc::ClientReaderWriter<driverpb::ExecTaskStreamingRequest, driverpb::ExecTaskStreamingResponse>>
        stream;
    std::mutex mutex;
    std::condition_variable changed;
    std::string out, err, misuse;
    bool out_closed = false, err_closed = false, over = false;
    std::optional<ExitResult> exit;
    grpc::Status status;
    std::thread thread;

    void take(const driverpb::ExecTaskStreamingResponse& message) {
        if (exit) misuse = "a message after the exit result";
        out += message.stdout().data();
        err += message.stderr().data();
        if (message.stdout().close()) out_closed = true;
        if (message.stderr().close()) err_closed = true;
        if (!message.exited()) return;
        if (!out_closed || !err_closed) misuse = "the exit result came before both streams were closed";
        if (!message.has_result()) misuse = "exited without a result";
        exit = wire::from_proto(message.result());
    }
    void run() {
        driverpb::ExecTaskStreamingResponse message;
        while (stream->Read(&message)) {
            std::lock_guard lock(mutex);
            take(message);
            changed.notify_all();
        }
        grpc::Status end = stream->Finish();
        std::lock_guard lock(mutex);
        status = end;
        over = true;
        changed.notify_all();
    }
};

ExecSession::ExecSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExecSession::~ExecSession() {
    impl_->context.TryCancel();
    impl_->thread.join();
}

std::unique_ptr<ExecSession> ExecSession::open(const std::shared_ptr<grpc::Channel>& channel,
                                               const std::string& task_id, const ExecRequest& request) {
    auto impl = std::make_unique<Impl>();
    impl->stub = driverpb::Driver::NewStub(channel);
    impl->stream = impl->stub->ExecTaskStreaming(&impl->context);
    driverpb::ExecTaskStreamingRequest first;
    if (request.command.empty()) {
        first.mutable_stdin()->set_data("too early");
    } else {
        first.mutable_setup()->set_task_id(task_id);
        first.mutable_setup()->mutable_command()->Assign(request.command.begin(), request.command.end());
        first.mutable_setup()->set_tty(request.tty);
    }
    impl->stream->Write(first);
    impl->thread = std::thread([self = impl.get()] { self->run(); });
    return std::unique_ptr<ExecSession>(new ExecSession(std::move(impl)));
}

bool ExecSession::type(std::string_view bytes) {
    driverpb::ExecTaskStreamingRequest message;
    message.mutable_stdin()->set_data(std::string(bytes));
    return impl_->stream->Write(message);
}

bool ExecSession::close_stdin() {
    driverpb::ExecTaskStreamingRequest message;
    message.mutable_stdin()->set_close(true);
    return impl_->stream->Write(message);
}

bool ExecSession::resize(TerminalSize size) {
    driverpb::ExecTaskStreamingRequest message;
    message.mutable_tty_size()->set_height(size.rows);
    message.mutable_tty_size()->set_width(size.columns);
    return impl_->stream->Write(message);
}

bool ExecSession::heartbeat() {
    return impl_->stream->Write(driverpb::ExecTaskStreamingRequest());
}

void ExecSession::cancel() {
    impl_->context.TryCancel();
}

bool ExecSession::shows(std::string_view text, int64_t timeout_ns) {
    std::unique_lock lock(impl_->mutex);
    auto found = [&] {
        return impl_->out.find(text) != std::string::npos || impl_->err.find(text) != std::string::npos;
    };
    impl_->changed.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [&] { return impl_->over || found(); });
    return found();
}

std::string ExecSession::out() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->out;
}
std::string ExecSession::err() const {
    std::lock_guard lock(impl_->mutex);
    return impl_->err;
}

Result<ExitResult> ExecSession::finish(int64_t timeout_ns) {
    std::unique_lock lock(impl_->mutex);
    if (!impl_->changed.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [this] { return impl_->over; }))
        return make_error(Code::DeadlineExceeded, "the exec session goes on");
    if (!impl_->status.ok()) return wire::from_status(impl_->status);
    if (!impl_->misuse.empty()) return Error(Code::Internal, impl_->misuse);
    if (!impl_->exit) return make_error(Code::Internal, "the stream ended without an exit result");
    return *impl_->exit;
}

}  // namespace drover::sdk::testing
