// SPDX-License-Identifier: Apache-2.0
// Streaming exec: a second program inside a running task, with its input, output and terminal connected to a person
// (`alloc exec`). A driver gets an ExecStream for the time of one call; programs of this machine are run by
// run_exec() (drover/exec_process.h), which does all of it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drover/types.h"

namespace drover::sdk {

struct ExecRequest {
    std::vector<std::string> command;  // argv; never empty
    bool tty = false;                  // a terminal: stdout and stderr are one stream
    friend bool operator==(const ExecRequest&, const ExecRequest&) = default;
};

struct TerminalSize {
    int32_t rows = 0;
    int32_t columns = 0;
    friend bool operator==(const TerminalSize&, const TerminalSize&) = default;
};

// What comes from the person: bytes for stdin, its end, a new size of the window, or the end of the whole call.
struct ExecStdin {
    std::string bytes;
};
struct ExecStdinClosed {};
struct ExecCancelled {};  // the person is gone: end the program; every further read() says so again
using ExecInput = std::variant<ExecStdin, ExecStdinClosed, TerminalSize, ExecCancelled>;

// The other end, implemented by the SDK. read() and the writers may be called from different threads at the same
// time; read() by one thread only. All of them block: that is the flow control.
class ExecStream {
 public:
    virtual ~ExecStream() = default;
    // The next thing that comes in. interrupt() makes a read() in progress, and every later one, answer ExecCancelled.
    virtual ExecInput read() = 0;
    virtual void interrupt() = 0;
    // Cancelled (an Error) when the person is gone; the bytes are dropped then.
    virtual Status write_stdout(std::string_view bytes) = 0;
    virtual Status write_stderr(std::string_view bytes) = 0;
};

}  // namespace drover::sdk
