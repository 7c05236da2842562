// SPDX-License-Identifier: Apache-2.0
// ExecSession: a second program inside a running task, as the API and the agent's plugin host pass its input
// and output on: asked for one piece at a time, which is the flow control. Implemented by agent/host over the
// driver's gRPC stream.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::ports {

struct ExecRequest {
    std::string alloc_id;
    std::string task;
    std::vector<std::string> command;  // argv
    bool tty = false;                  // a terminal: everything comes as stdout
};

struct WindowSize {
    int rows = 0;
    int columns = 0;
    friend bool operator==(const WindowSize&, const WindowSize&) = default;
};

// What goes to the program. All empty: a sign of life, which nobody needs to pass on.
struct ExecInput {
    std::string stdin_bytes;
    bool stdin_closed = false;
    std::optional<WindowSize> size;
    friend bool operator==(const ExecInput&, const ExecInput&) = default;
};

// What comes from it; the exit code comes last.
struct ExecOutput {
    std::string stdout_bytes;
    bool stdout_closed = false;
    std::string stderr_bytes;
    bool stderr_closed = false;
    std::optional<int> exit_code;
    friend bool operator==(const ExecOutput&, const ExecOutput&) = default;
};

// Thread-safe; nothing blocks. One read and one write may be under way at a time. Each `done` is called
// exactly once, on any thread and never from inside the call: with OutOfRange when the session is over, with
// Cancelled after cancel(), else with what the driver said.
class ExecSession {
 public:
    virtual ~ExecSession() = default;  // cancels
    virtual void read(std::function<void(Result<ExecOutput>)> done) = 0;
    virtual void write(ExecInput input, std::function<void(Status)> done) = 0;
    // Ends the program too, if it still runs.
    virtual void cancel() = 0;
};

}  // namespace drover::ports
