// SPDX-License-Identifier: Apache-2.0
// PluginProcess: one process, launched by us or found again: hears of its exit by pidfd, drains its stdout
// and stderr into the agent's log, hands over the handshake line, kills. Lives on its supervisor's strand
// (all members, all callbacks). Letting go of it (detach) leaves the process running; it keeps itself alive
// until the exit or until detach().
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/strand.hpp>

#include "agent/host/plugin_log.h"
#include "base/fd.h"

namespace drover::agent {

using Strand = boost::asio::strand<boost::asio::io_context::executor_type>;

class PluginProcess : public std::enable_shared_from_this<PluginProcess> {
 public:
    struct Streams {
        UniqueFd stdout_read;  // may be invalid: not drained
        UniqueFd stderr_read;
    };
    PluginProcess(Strand strand, std::string log_name, pid_t pid, UniqueFd pidfd, Streams streams);

    // `first_line` gets stdout up to the first newline (or what kHandshakeBytesMax allows); null: the process
    // has said it long ago. `exited` is called once, with a reason for people: "killed by signal 9 (last
    // output: ...)".
    void watch(std::function<void(std::string)> first_line, std::function<void(std::string)> exited);
    // From now on the exit is told to this one instead.
    void watch_exit(std::function<void(std::string)> exited) { on_exited_ = std::move(exited); }
    // More output, from StreamStdio.
    void log_output(std::string_view bytes);

    pid_t pid() const { return pid_; }
    bool exited() const { return exited_; }
    void kill();
    // No more callbacks and no more reading.
    void detach();

 private:
    using Descriptor = boost::asio::posix::stream_descriptor;
    void read_stdout();
    void read_stderr();
    void take_stdout(std::string_view bytes);
    void take_stderr(std::string_view bytes);
    void on_exit();
    void tell_exit();  // once no read is under way any more
    void drain(Descriptor& descriptor, void (PluginProcess::*take)(std::string_view));

    const Strand strand_;
    const std::string log_name_;
    const pid_t pid_;
    Descriptor pidfd_;
    Descriptor stdout_;
    Descriptor stderr_;
    std::string stdout_buffer_ = std::string(4096, '\0');
    std::string stderr_buffer_ = std::string(16384, '\0');
    std::string line_;  // the handshake so far
    PluginLog stdout_log_, stderr_log_, stdio_log_;
    std::function<void(std::string)> first_line_;
    std::function<void(std::string)> on_exited_;
    int reads_ = 0;  // whose handlers are still to come
    bool exited_ = false;
    bool detached_ = false;
};

}  // namespace drover::agent
