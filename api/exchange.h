// SPDX-License-Identifier: Apache-2.0
// Exchange: one request on its way through a route. The session makes it, the router gives it to a handler,
// the handler answers once: with a Response, an Error, or a stream. Any thread may answer. When the client
// goes away or the server stops, `cancel` fires; the answer is then dropped. Routes include this, context.h
// and never Beast.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/request.h"
#include "base/result.h"
#include "ports/cluster_port.h"

namespace drover::api {

struct Services;

// The body of an answer that is sent piece by piece. write() blocks until the piece is with the kernel and
// fails when the client is gone or too slow; only for threads of the stream workers.
class BodyStream {
 public:
    virtual ~BodyStream() = default;
    virtual Status write(std::string bytes) = 0;
    virtual void finish() = 0;
};

// The session, as an Exchange sees it. All three are thread-safe.
class ExchangeSink {
 public:
    virtual ~ExchangeSink() = default;
    virtual void send(Response response) = 0;
    virtual std::shared_ptr<BodyStream> begin_stream(Response head) = 0;
    virtual void post(std::function<void()> job) = 0;  // onto the session's strand
};

class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
    Exchange(Request request_in, Services& services_in, std::shared_ptr<ExchangeSink> sink);
    ~Exchange();  // answers 500 when the handler forgot to

    const Request request;
    std::vector<std::string> args;  // what the route's wildcards matched, decoded
    Services& services;
    const std::shared_ptr<ports::CancelToken> cancel = std::make_shared<ports::CancelToken>();

    void reply(Response response);
    void reply_json(std::string json, std::vector<std::pair<std::string, std::string>> headers = {});
    void reply_empty();                            // 200, no body, no content type
    void fail(int status, std::string_view text);  // plain text
    void fail(const Error& error);                 // status_of(error)
    std::shared_ptr<BodyStream> stream(std::string content_type);
    void post(std::function<void()> job) { sink_->post(std::move(job)); }

    // Runs the job on a worker thread of the blocking pool, or of the stream pool; answers 503 when that is
    // full.
    void run_blocking(std::function<void()> job);
    void run_stream(std::function<void()> job);

 private:
    bool take_answer();
    std::atomic<bool> answered_{false};
    std::shared_ptr<ExchangeSink> sink_;
};

using ExchangePtr = std::shared_ptr<Exchange>;

// The HTTP status of an Error that came from the cluster or the node.
int status_of(const Error& error);

}  // namespace drover::api
