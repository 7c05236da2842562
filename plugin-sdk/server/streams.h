// SPDX-License-Identifier: Apache-2.0
// The three kinds of long calls, none of which costs a thread: periodic samples (fingerprint, stats), events, and
// waiting for the end of a task. gRPC's callbacks only convert and hand on; they never block.
#pragma once
#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "drover/driver.h"
#include "plugin-sdk/server/worker_pool.h"
#include "proto/plugin/driver.pb.h"

namespace drover::sdk {

namespace driverpb = hashicorp::nomad::plugins::drivers::proto;

// Sample, write, pause, sample, ... until the host cancels or a sample says that the stream is over. There is always
// exactly one step in progress (a sample on the pool, a write, or a pause), and the end of a step is the only place
// that finishes the call; a cancel only hastens it.
//
//   sampling --message--> writing --ok--> pausing --time--> sampling
//       \---nothing-----------------------^
template <class Message>
class PeriodicStream final : public grpc::ServerWriteReactor<Message> {
 public:
    struct Skip {};  // nothing new
    using Sample = std::variant<Message, Skip, grpc::Status>;

    PeriodicStream(WorkerPool& pool, std::chrono::nanoseconds period, std::function<Sample()> sample)
        : pool_(pool), period_(period), sample_(std::move(sample)) {
        pool_.post([this] { run_sample(); });
    }

    void OnWriteDone(bool ok) override { ok ? pause() : this->Finish(grpc::Status::OK); }
    void OnCancel() override {
        std::lock_guard lock(mutex_);
        cancelled_ = true;
        if (pausing_) alarm_.Cancel();
    }
    void OnDone() override { delete this; }

 private:
    void run_sample() {
        if (cancelled()) return this->Finish(grpc::Status::OK);
        Sample sample = sample_();
        if (auto* status = std::get_if<grpc::Status>(&sample)) return this->Finish(*status);
        if (std::holds_alternative<Skip>(sample)) return pause();
        message_ = std::move(std::get<Message>(sample));
        this->StartWrite(&message_);
    }
    void pause() {
        {
            std::lock_guard lock(mutex_);
            if (!cancelled_) {
                pausing_ = true;
                alarm_.Set(std::chrono::system_clock::now() +
                               std::chrono::duration_cast<std::chrono::system_clock::duration>(period_),
                           [this](bool) { resume(); });
                return;
            }
        }
        this->Finish(grpc::Status::OK);
    }
    void resume() {
        {
            std::lock_guard lock(mutex_);
            pausing_ = false;
        }
        pool_.post([this] { run_sample(); });
    }
    bool cancelled() {
        std::lock_guard lock(mutex_);
        return cancelled_;
    }

    WorkerPool& pool_;
    const std::chrono::nanoseconds period_;
    const std::function<Sample()> sample_;
    Message message_;
    std::mutex mutex_;
    bool cancelled_ = false;
    bool pausing_ = false;
    grpc::Alarm alarm_;
};

// A unary call on the pool: finishes with what `call` returns. The messages live until then.
grpc::ServerUnaryReactor* run_call(WorkerPool& pool, grpc::CallbackServerContext* context,
                                   std::function<Status()> call);

// How often a host wants samples; what it does not say, or says wrongly, is a second, and never beyond an hour.
std::chrono::nanoseconds stats_period(int64_t asked_ns);

// Task events on their way to whoever listens; the newest kLimit wait while nobody does.
class EventHub {
 public:
    static constexpr size_t kLimit = 256;

    void emit(TaskEvent event);  // any thread
    grpc::ServerWriteReactor<driverpb::DriverTaskEvent>* subscribe();

 private:
    class Stream;
    std::mutex mutex_;
    std::deque<TaskEvent> backlog_;
    Stream* stream_ = nullptr;  // the newest subscriber; a host has one
};

// WaitTask: any number of calls for one task, one callback at the driver.
class WaitRegistry {
 public:
    WaitRegistry(Driver& driver, WorkerPool& pool) : driver_(driver), pool_(pool) {}
    grpc::ServerUnaryReactor* wait(const std::string& task_id, driverpb::WaitTaskResponse* response);

 private:
    class Call;
    void forget(const std::string& task_id, Call* call);
    void finish(const std::string& task_id, const Result<ExitResult>& result);

    Driver& driver_;
    WorkerPool& pool_;
    std::mutex mutex_;
    std::map<std::string, std::vector<Call*>> calls_;  // a key: the driver has been asked and has not answered yet
};

}  // namespace drover::sdk
