// SPDX-License-Identifier: Apache-2.0
// PluginRpc::exec_streaming: ports::ExecSession over the protocol's ExecTaskStreaming. Nothing is read ahead
// and one message at a time is under way outwards, so a slow end holds up the other one and nothing grows
// here.
#include "agent/host/plugin_rpc_impl.h"

namespace drover::agent {
namespace {

using Request = driverpb::ExecTaskStreamingRequest;
using Response = driverpb::ExecTaskStreamingResponse;
using ReadDone = std::function<void(Result<ports::ExecOutput>)>;
using WriteDone = std::function<void(Status)>;

ports::ExecOutput from_response(const Response& in) {
    ports::ExecOutput out;
    out.stdout_bytes = in.stdout().data();
    out.stdout_closed = in.stdout().close();
    out.stderr_bytes = in.stderr().data();
    out.stderr_closed = in.stderr().close();
    if (in.exited()) out.exit_code = in.result().exit_code();
    return out;
}

Request to_request(ports::ExecInput in) {
    Request request;
    if (in.size) {
        request.mutable_tty_size()->set_height(in.size->rows);
        request.mutable_tty_size()->set_width(in.size->columns);
    }
    if (in.stdin_closed) {
        request.mutable_stdin()->set_close(true);
    } else if (!in.stdin_bytes.empty()) {
        request.mutable_stdin()->set_data(std::move(in.stdin_bytes));
    }
    return request;
}

// The stream, alive until gRPC is done with it. gRPC's hold is kept from the start until no read will be
// begun any more, which is what allows reads and writes from outside of its callbacks.
class ExecReactor final : public grpc::ClientBidiReactor<Request, Response>,
                          public std::enable_shared_from_this<ExecReactor> {
 public:
    explicit ExecReactor(std::shared_ptr<PluginRpc::Impl> impl) : impl_(std::move(impl)) {}

    Status start(const std::string& task_id, const sdk::ExecRequest& exec) {
        id_ = impl_->admit([weak = weak_from_this()] {
            if (auto self = weak.lock()) self->cancel(Cause::Connection);
        });
        if (id_ == 0) return impl_->closed_error();
        request_.mutable_setup()->set_task_id(task_id);
        for (const auto& part : exec.command) request_.mutable_setup()->add_command(part);
        request_.mutable_setup()->set_tty(exec.tty);
        self_ = shared_from_this();
        std::lock_guard lock(mutex_);
        writing_ = true;
        impl_->driver->async()->ExecTaskStreaming(&context_, this);
        AddHold();
        StartWrite(&request_);
        StartCall();
        return {};
    }

    void read(ReadDone done) {
        std::lock_guard lock(mutex_);
        DROVER_ASSERT(!read_done_);
        if (ended_) return later([done = std::move(done), error = *ended_] { done(error); });
        read_done_ = std::move(done);
        if (over_) return;  // OnDone answers
        response_.Clear();
        StartRead(&response_);
    }

    void write(ports::ExecInput input, WriteDone done) {
        std::lock_guard lock(mutex_);
        DROVER_ASSERT(!write_done_);
        if (over_) return later([done = std::move(done)] { done(gone()); });
        write_done_ = std::move(done);
        if (writing_) {  // the setup is still on its way
            next_ = to_request(std::move(input));
            return;
        }
        request_ = to_request(std::move(input));
        writing_ = true;
        StartWrite(&request_);
    }

    enum class Cause { User, Connection };
    void cancel(Cause cause) {
        {
            std::lock_guard lock(mutex_);
            if (ended_) return;
            over_ = true;
            if (cause == Cause::User) cancelled_ = true;
            context_.TryCancel();
        }
        release();
    }

    void OnReadDone(bool ok) override {
        ReadDone done;
        {
            std::lock_guard lock(mutex_);
            if (ok)
                done = std::exchange(read_done_, nullptr);
            else
                over_ = true;
        }
        if (!ok) return release();
        if (done) done(from_response(response_));
    }

    void OnWriteDone(bool ok) override {
        WriteDone done;
        {
            std::lock_guard lock(mutex_);
            writing_ = false;
            if (ok && next_ && !over_) {
                request_ = std::move(*next_);
                next_.reset();
                writing_ = true;
                StartWrite(&request_);
                return;
            }
            done = std::exchange(write_done_, nullptr);
            if (next_) ok = false;
        }
        if (done) done(ok ? Status() : Status(gone()));
    }

    void OnDone(const grpc::Status& status) override {
        ReadDone reading;
        WriteDone writing;
        Error error = outcome(status);
        {
            std::lock_guard lock(mutex_);
            over_ = true;
            ended_ = error;
            reading = std::exchange(read_done_, nullptr);
            writing = std::exchange(write_done_, nullptr);
        }
        if (writing) writing(gone());
        if (reading) reading(std::move(error));
        auto keep = std::move(self_);  // until the last line
        impl_->leave(id_);
    }

 private:
    static Error gone() { return Error(Code::OutOfRange, "the exec session is over"); }

    Error outcome(const grpc::Status& status) {
        {
            std::lock_guard lock(mutex_);
            if (cancelled_) return Error(Code::Cancelled, "the exec session was cancelled");
        }
        return status.ok() ? gone() : impl_->failed(status, "ExecTaskStreaming");
    }
    void release() {
        if (!released_.exchange(true)) RemoveHold();
    }
    template <class F>
    void later(F call) {
        boost::asio::post(impl_->io, std::move(call));
    }

    const std::shared_ptr<PluginRpc::Impl> impl_;
    grpc::ClientContext context_;
    uint64_t id_ = 0;
    std::shared_ptr<ExecReactor> self_;  // gRPC's share
    std::atomic<bool> released_ = false;

    // Callers and gRPC's threads meet here; held for a few assignments, never while a callback is made.
    std::mutex mutex_;
    Request request_;
    Response response_;
    std::optional<Request> next_;
    ReadDone read_done_;
    WriteDone write_done_;
    bool writing_ = false;
    bool over_ = false;  // nothing is begun any more
    bool cancelled_ = false;
    std::optional<Error> ended_;
};

class PluginExec final : public ports::ExecSession {
 public:
    explicit PluginExec(std::shared_ptr<ExecReactor> reactor) : reactor_(std::move(reactor)) {}
    ~PluginExec() override { PluginExec::cancel(); }
    void read(ReadDone done) override { reactor_->read(std::move(done)); }
    void write(ports::ExecInput input, WriteDone done) override {
        reactor_->write(std::move(input), std::move(done));
    }
    void cancel() override { reactor_->cancel(ExecReactor::Cause::User); }

 private:
    const std::shared_ptr<ExecReactor> reactor_;
};

}  // namespace

Result<std::unique_ptr<ports::ExecSession>> PluginRpc::exec_streaming(const std::string& task_id,
                                                                      const sdk::ExecRequest& request) {
    auto reactor = std::make_shared<ExecReactor>(impl_);
    DROVER_CHECK(reactor->start(task_id, request));
    return std::unique_ptr<ports::ExecSession>(std::make_unique<PluginExec>(std::move(reactor)));
}

}  // namespace drover::agent
