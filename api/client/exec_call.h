// SPDX-License-Identifier: Apache-2.0
// ExecCall: the person's end of /v1/client/allocation/:id/exec. Everything happens on the io_context, which
// one thread runs.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "api/client/client.h"
#include "ports/exec_session.h"

namespace drover::api {

class ExecCall {
 public:
    struct Handlers {
        std::function<void(const ports::ExecOutput&)> output;  // the next one is read when it returns
        // The exit code, or what went wrong; once, unless close()d before.
        std::function<void(Result<int>)> ended;
    };

    // Connects and asks for the upgrade; runs `io` for that, with deadlines. Errors as Client's.
    static Result<std::unique_ptr<ExecCall>> open(Client& client, const ports::ExecRequest& request,
                                                  boost::asio::io_context& io);
    ~ExecCall();

    void start(Handlers handlers);
    // `sent` when it is with the kernel; not called when the call has ended. Any number may wait.
    void send(ports::ExecInput input, std::function<void()> sent);
    void close();  // drops the connection; the program is ended by that

 private:
    struct State;
    explicit ExecCall(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
};

}  // namespace drover::api
