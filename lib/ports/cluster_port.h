// SPDX-License-Identifier: Apache-2.0
// ClusterPort: how the API and the agent ask the cluster. One call for every rpc of
// proto/cluster/cluster.proto, named by its descriptor, so a transport is one function: server-lite answers
// directly in the same process, agent/link over gRPC from another. Thread-safe. `done` is called exactly
// once, on any thread, also when the port is shutting down (Cancelled); it must not block. Blocking queries
// end when their index moves, their wait is over, or `cancel` fires.
#pragma once
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/result.h"

namespace drover::ports {

// Shared between the caller and the call: the caller sets it when nobody waits for the answer any more.
class CancelToken {
 public:
    void cancel();  // idempotent; runs the hook once
    bool cancelled() const;
    void on_cancel(std::function<void()> hook);  // runs at once when already cancelled

 private:
    mutable std::mutex mutex_;
    bool cancelled_ = false;
    std::function<void()> hook_;
};

class ClusterPort {
 public:
    using Message = google::protobuf::Message;
    using Done = std::function<void(Result<std::unique_ptr<Message>>)>;

    virtual ~ClusterPort() = default;

    // `method` is one of cluster.proto's; `request` is of its input type; the answer is of its output type.
    virtual void call(const google::protobuf::MethodDescriptor& method,
                      std::shared_ptr<const Message> request, Done done,
                      std::shared_ptr<CancelToken> cancel = nullptr) = 0;
};

// The descriptor of "Job.Register" and the like; asserts that it exists and has these types.
const google::protobuf::MethodDescriptor& cluster_method(std::string_view name);

// Typed forms. Usage: call<JobGetResponse>(port, "Job.Get", request, [](Result<JobGetResponse> r) {...});
template <class Response, class Request>
void call(ClusterPort& port, std::string_view method, Request request,
          std::function<void(Result<Response>)> done, std::shared_ptr<CancelToken> cancel = nullptr) {
    const auto& descriptor = cluster_method(method);
    DROVER_ASSERT(descriptor.input_type() == Request::descriptor());
    DROVER_ASSERT(descriptor.output_type() == Response::descriptor());
    port.call(
        descriptor, std::make_shared<const Request>(std::move(request)),
        [done = std::move(done)](Result<std::unique_ptr<google::protobuf::Message>> result) {
            if (!result) return done(std::move(result).error());
            done(std::move(static_cast<Response&>(**result)));
        },
        std::move(cancel));
}

// Waits for the answer. Never from a thread that the port needs (its strands, the pools of gRPC).
template <class Response, class Request>
Result<Response> call_sync(ClusterPort& port, std::string_view method, Request request) {
    std::promise<Result<Response>> promise;
    auto future = promise.get_future();
    call<Response>(port, method, std::move(request),
                   [&](Result<Response> result) { promise.set_value(std::move(result)); });
    return future.get();
}

}  // namespace drover::ports
