// SPDX-License-Identifier: Apache-2.0
// One ExecTaskStreaming call: the two streams of messages seen by a driver as an ExecStream. Flow control both ways: no
// more is read from the host than the program takes, and a writer waits until what was written before is on its way.
// Used by driver_service.cpp alone.
#pragma once
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "drover/driver.h"
#include "plugin-sdk/server/worker_pool.h"
#include "proto/plugin/driver.pb.h"

namespace drover::sdk {

namespace driverpb = hashicorp::nomad::plugins::drivers::proto;

//   awaiting setup --setup--> running (the driver's call, on the pool) --its end--> closing messages, Finish
//          \---anything else--> Finish with an error
// The pool's job is the only one that finishes a running call; a cancel only tells the driver.
class ExecCall final
    : public grpc::ServerBidiReactor<driverpb::ExecTaskStreamingRequest, driverpb::ExecTaskStreamingResponse>,
      private ExecStream {
 public:
    ExecCall(Driver& driver, WorkerPool& pool);  // deletes itself when gRPC is done with it

    void OnReadDone(bool ok) override;
    void OnWriteDone(bool ok) override;
    void OnCancel() override;
    void OnDone() override { delete this; }

 private:
    ExecInput read() override;
    void interrupt() override;
    Status write_stdout(std::string_view bytes) override;
    Status write_stderr(std::string_view bytes) override;

    void run();
    bool take(driverpb::ExecTaskStreamingRequest& request);
    void read_more();  // with the lock held
    Status write(std::string_view bytes, bool to_stderr);
    bool send(driverpb::ExecTaskStreamingResponse message);
    grpc::Status say_end(const ExitResult& exit);

    Driver& driver_;
    WorkerPool& pool_;
    driverpb::ExecTaskStreamingRequest incoming_;
    driverpb::ExecTaskStreamingResponse outgoing_;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::string task_id_;
    ExecRequest request_;
    std::deque<ExecInput> inputs_;
    size_t input_bytes_ = 0;
    bool started_ = false;       // setup has come
    bool reading_ = false;       // a StartRead is out
    bool writing_ = false;       // a StartWrite is out
    bool end_of_input_ = false;  // the host half-closed
    bool gone_ = false;          // the host cancelled, or writes fail
    bool interrupted_ = false;
    bool finished_ = false;
    std::optional<Error> broken_;  // the host broke the protocol: what the call ends with
};

}  // namespace drover::sdk
