// SPDX-License-Identifier: Apache-2.0
// ExecSession: the person's end of one ExecTaskStreaming call, for tests. A thread of its own collects what comes.
#pragma once
#include <memory>
#include <string>

#include "drover/exec.h"

namespace grpc {
class Channel;
}

namespace drover::sdk::testing {

class ExecSession {
 public:
    // Sends the setup; without a command, something else instead (what a broken host does).
    static std::unique_ptr<ExecSession> open(const std::shared_ptr<grpc::Channel>& channel, const std::string& task_id,
                                             const ExecRequest& request);
    ~ExecSession();  // cancels

    bool type(std::string_view bytes);  // false: the stream is over
    bool close_stdin();
    bool resize(TerminalSize size);
    bool heartbeat();
    void cancel();

    // Until the output, stderr included, contains the text; false: not in time, or the stream has ended without it.
    bool shows(std::string_view text, int64_t timeout_ns = 20'000'000'000);
    std::string out() const;
    std::string err() const;
    // Waits for the end of the stream: the exit result, which must have been the last message after both streams were
    // closed, or the error. DeadlineExceeded.
    Result<ExitResult> finish(int64_t timeout_ns = 20'000'000'000);

 private:
    struct Impl;
    explicit ExecSession(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::sdk::testing
