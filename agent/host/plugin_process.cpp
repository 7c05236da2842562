// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/plugin_process.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/host/limits.h"

namespace drover::agent {
namespace {

// How a child ended, as text; empty for a process that was not our child (its parent was told, not we).
std::string exit_text(int pidfd) {
    constexpr auto kPidfd = static_cast<idtype_t>(3);  // P_PIDFD, missing in older headers
    siginfo_t info{};
    if (::waitid(kPidfd, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
        return "exited";
    if (info.si_code == CLD_EXITED) return fmt::format("exited with code {}", info.si_status);
    return fmt::format("killed by signal {}", info.si_status);
}

}  // namespace

PluginProcess::PluginProcess(Strand strand, std::string log_name, pid_t pid, UniqueFd pidfd, Streams streams)
    : strand_(std::move(strand)),
      log_name_(std::move(log_name)),
      pid_(pid),
      pidfd_(strand_),
      stdout_(strand_),
      stderr_(strand_) {
    pidfd_.assign(pidfd.release());
    if (streams.stdout_read) stdout_.assign(streams.stdout_read.release());
    if (streams.stderr_read) stderr_.assign(streams.stderr_read.release());
}

void PluginProcess::watch(std::function<void(std::string)> first_line,
                          std::function<void(std::string)> exited) {
    first_line_ = std::move(first_line);
    on_exited_ = std::move(exited);
    pidfd_.async_wait(Descriptor::wait_read,
                      [self = shared_from_this()](const boost::system::error_code& error) {
                          if (!error && !self->detached_) self->on_exit();
                      });
    if (stdout_.is_open()) read_stdout();
    if (stderr_.is_open()) read_stderr();
}

void PluginProcess::read_stdout() {
    ++reads_;
    stdout_.async_read_some(boost::asio::buffer(stdout_buffer_),
                            [self = shared_from_this()](const boost::system::error_code& error, size_t got) {
                                --self->reads_;
                                if (self->detached_) return;
                                if (!error) self->take_stdout(std::string_view(self->stdout_buffer_).substr(0, got));
                                if (self->exited_) return self->tell_exit();
                                if (!error && self->stdout_.is_open()) self->read_stdout();
                            });
}

void PluginProcess::read_stderr() {
    ++reads_;
    stderr_.async_read_some(boost::asio::buffer(stderr_buffer_),
                            [self = shared_from_this()](const boost::system::error_code& error, size_t got) {
                                --self->reads_;
                                if (self->detached_) return;
                                if (!error) self->take_stderr(std::string_view(self->stderr_buffer_).substr(0, got));
                                if (self->exited_) return self->tell_exit();
                                if (!error && self->stderr_.is_open()) self->read_stderr();
                            });
}

void PluginProcess::take_stdout(std::string_view bytes) {
    if (first_line_) {
        const auto newline = bytes.find('\n');
        line_ += bytes.substr(0, newline);
        if (newline == std::string_view::npos && line_.size() <= kHandshakeBytesMax) return;
        std::exchange(first_line_, nullptr)(std::move(line_));
        if (newline == std::string_view::npos) return;
        bytes.remove_prefix(newline + 1);
    }
    for (auto& line : stdout_log_.feed(bytes)) write_plugin_log(log_name_, line);
}

void PluginProcess::take_stderr(std::string_view bytes) {
    for (auto& line : stderr_log_.feed(bytes)) write_plugin_log(log_name_, line);
}

void PluginProcess::log_output(std::string_view bytes) {
    for (auto& line : stdio_log_.feed(bytes)) write_plugin_log(log_name_, line);
}

// What lies in the pipe when the process has ended; non-blocking, bounded by the pipe's size.
void PluginProcess::drain(Descriptor& descriptor, void (PluginProcess::*take)(std::string_view)) {
    if (!descriptor.is_open()) return;
    char buffer[4096];
    for (int left = kPluginPipeBytes; left > 0;) {
        const ssize_t got = ::read(descriptor.native_handle(), buffer, sizeof buffer);
        if (got <= 0) break;
        (this->*take)({buffer, static_cast<size_t>(got)});
        left -= static_cast<int>(got);
    }
    boost::system::error_code ignored;
    descriptor.close(ignored);
}

void PluginProcess::on_exit() {
    if (exited_) return;
    exited_ = true;
    first_line_ = nullptr;  // too late for a handshake, but its bytes may tell why
    // A read may have taken the last bytes already, and its handler be still to come: those tell why as well.
    boost::system::error_code ignored;
    if (stdout_.is_open()) stdout_.cancel(ignored);
    if (stderr_.is_open()) stderr_.cancel(ignored);
    tell_exit();
}

void PluginProcess::tell_exit() {
    if (reads_ > 0) return;
    const auto keep = shared_from_this();
    std::string reason = exit_text(pidfd_.native_handle());
    drain(stdout_, &PluginProcess::take_stdout);
    drain(stderr_, &PluginProcess::take_stderr);
    for (auto& line : stderr_log_.finish()) write_plugin_log(log_name_, line);
    const std::string tail = !stderr_log_.tail().empty() ? stderr_log_.tail()
                             : !line_.empty()            ? line_
                                                         : stdout_log_.tail();
    if (!tail.empty()) reason += fmt::format(" (last output: {})", tail);
    boost::system::error_code ignored;
    pidfd_.close(ignored);
    if (auto exited = std::exchange(on_exited_, nullptr)) exited(std::move(reason));
}

void PluginProcess::kill() {
    if (exited_ || !pidfd_.is_open()) return;
    ::syscall(SYS_pidfd_send_signal, pidfd_.native_handle(), SIGKILL, nullptr, 0);
}

void PluginProcess::detach() {
    detached_ = true;
    first_line_ = nullptr;
    on_exited_ = nullptr;
    boost::system::error_code ignored;
    pidfd_.close(ignored);
    stdout_.close(ignored);
    stderr_.close(ignored);
}

}  // namespace drover::agent
