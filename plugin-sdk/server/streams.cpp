// SPDX-License-Identifier: Apache-2.0
#include "plugin-sdk/server/streams.h"

#include <grpcpp/server_context.h>

#include <algorithm>

#include "plugin-sdk/wire/driver_wire.h"

namespace drover::sdk {

grpc::ServerUnaryReactor* run_call(WorkerPool& pool, grpc::CallbackServerContext* context,
                                   std::function<Status()> call) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    pool.post([reactor, call = std::move(call)] {
        Status status = call();
        reactor->Finish(status ? grpc::Status::OK : wire::to_status(status.error()));
    });
    return reactor;
}

std::chrono::nanoseconds stats_period(int64_t asked_ns) {
    constexpr std::chrono::nanoseconds kDefault = std::chrono::seconds(1), kMax = std::chrono::hours(1);
    return asked_ns > 0 ? std::min(std::chrono::nanoseconds(asked_ns), kMax) : kDefault;
}

// --- events

// Guarded by the hub's mutex, which outlives every stream. Writes one at a time.
class EventHub::Stream final : public grpc::ServerWriteReactor<driverpb::DriverTaskEvent> {
 public:
    explicit Stream(EventHub& hub) : hub_(hub) {}

    // With the lock held.
    void write_next() {
        if (writing_ || over_ || hub_.stream_ != this || hub_.backlog_.empty()) return;
        message_.Clear();
        wire::to_proto(hub_.backlog_.front(), &message_);
        writing_ = true;
        StartWrite(&message_);
    }
    void OnWriteDone(bool ok) override {
        bool finish = false;
        {
            std::lock_guard lock(hub_.mutex_);
            writing_ = false;
            if (ok && hub_.stream_ == this && !hub_.backlog_.empty()) hub_.backlog_.pop_front();
            if (!ok) over_ = true;
            finish = over_;
            write_next();
        }
        if (finish) Finish(grpc::Status::OK);
    }
    void OnCancel() override {
        bool finish = false;
        {
            std::lock_guard lock(hub_.mutex_);
            if (hub_.stream_ == this) hub_.stream_ = nullptr;
            finish = !writing_ && !over_;
            over_ = true;
        }
        if (finish) Finish(grpc::Status::OK);  // else the write that is in flight does
    }
    void OnDone() override { delete this; }

 private:
    EventHub& hub_;
    driverpb::DriverTaskEvent message_;
    bool writing_ = false;
    bool over_ = false;
};

void EventHub::emit(TaskEvent event) {
    std::lock_guard lock(mutex_);
    // The front may be in flight: it stays, and is popped when it has been written.
    if (backlog_.size() >= kLimit) backlog_.erase(backlog_.begin() + 1);
    backlog_.push_back(std::move(event));
    if (stream_) stream_->write_next();
}

grpc::ServerWriteReactor<driverpb::DriverTaskEvent>* EventHub::subscribe() {
    std::lock_guard lock(mutex_);
    stream_ = new Stream(*this);
    stream_->write_next();
    return stream_;
}

// --- waiting

class WaitRegistry::Call final : public grpc::ServerUnaryReactor {
 public:
    Call(WaitRegistry& registry, std::string task_id, driverpb::WaitTaskResponse* response)
        : registry_(registry), task_id_(std::move(task_id)), response_(response) {}
    // Whoever takes the call out of the registry finishes it.
    void answer(const Result<ExitResult>& result) {
        if (!result) return Finish(wire::to_status(result.error()));
        wire::to_proto(*result, response_);
        Finish(grpc::Status::OK);
    }
    void OnCancel() override { registry_.forget(task_id_, this); }
    void OnDone() override { delete this; }

 private:
    WaitRegistry& registry_;
    const std::string task_id_;
    driverpb::WaitTaskResponse* response_;
};

grpc::ServerUnaryReactor* WaitRegistry::wait(const std::string& task_id, driverpb::WaitTaskResponse* response) {
    auto* call = new Call(*this, task_id, response);
    bool first = false;
    {
        std::lock_guard lock(mutex_);
        auto [it, inserted] = calls_.try_emplace(task_id);
        it->second.push_back(call);
        first = inserted;
    }
    if (first) {
        pool_.post([this, task_id] {
            Status asked =
                driver_.wait_task(task_id, [this, task_id](const ExitResult& exit) { finish(task_id, exit); });
            if (!asked) finish(task_id, asked.error());
        });
    }
    return call;
}

void WaitRegistry::finish(const std::string& task_id, const Result<ExitResult>& result) {
    std::vector<Call*> calls;
    {
        std::lock_guard lock(mutex_);
        auto it = calls_.find(task_id);
        if (it == calls_.end()) return;
        calls = std::move(it->second);
        calls_.erase(it);
    }
    for (Call* call : calls) call->answer(result);
}

// A cancelled call goes; the driver's callback stays registered for the next one.
void WaitRegistry::forget(const std::string& task_id, Call* call) {
    {
        std::lock_guard lock(mutex_);
        auto it = calls_.find(task_id);
        if (it == calls_.end()) return;  // answered already
        auto at = std::find(it->second.begin(), it->second.end(), call);
        if (at == it->second.end()) return;
        it->second.erase(at);
    }
    call->Finish(grpc::Status::CANCELLED);
}

}  // namespace drover::sdk
