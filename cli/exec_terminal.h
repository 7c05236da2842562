// SPDX-License-Identifier: Apache-2.0
// The terminal's side of `alloc exec`: stdin read without losing what follows, raw mode that is undone in
// every way of ending but SIGKILL, the size of the window, the escape character.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ports/exec_session.h"

namespace drover::cli {

// Finds "<escape>." at the beginning of a line. A doubled escape stands for itself. Pure.
class EscapeFilter {
 public:
    explicit EscapeFilter(std::optional<char> escape) : escape_(escape) {}

    struct Found {
        std::string pass;     // what goes to the program
        bool detach = false;  // the person wants out; what follows is dropped
    };
    Found feed(std::string_view typed);

 private:
    const std::optional<char> escape_;
    bool line_start_ = true;
    bool held_ = false;  // an escape at the beginning of a line was typed, and nothing after it
};

// While one is alive, the terminal on `fd` is raw. Signals that end the process put it back first. One at a
// time.
class RawTerminal {
 public:
    explicit RawTerminal(int fd);
    ~RawTerminal();
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
};

std::optional<ports::WindowSize> window_size(int fd);

// Reads `fd` on a thread of its own (files and terminals cannot all be waited for otherwise), one piece at a
// time: `piece` gets bytes, "" at the end; the next is read after resume(). The descriptor's flags are left
// alone, since it is shared with the shell.
class InputReader {
 public:
    InputReader(int fd, std::function<void(std::string)> piece);
    ~InputReader();  // ends the thread, also while it waits
    void resume();

 private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::cli
