// SPDX-License-Identifier: Apache-2.0
// Two threads a session: the caller's moves output and watches the process, the other one moves input. They share the
// descriptors and nothing else: the input thread says "cancelled" through an eventfd, and is told to end by one.
#include "drover/exec_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/files.h"
#include "plugin-sdk/process/exec_spawn.h"

namespace drover::sdk {
namespace {

constexpr int64_t kHangupNs = kSecond;                // between SIGHUP and SIGKILL
constexpr int64_t kFirstSizeNs = 100 * kMillisecond;  // a terminal's size comes right after the call
constexpr char kEndOfInput = 4;                       // Ctrl-D, what ends the input of a terminal

Result<UniqueFd> make_event() {
    UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd) return Error::from_errno("eventfd");
    return fd;
}
void raise(const UniqueFd& event) {
    uint64_t one = 1;
    static_cast<void>(!::write(event.get(), &one, sizeof one));
}

// The thread that feeds the program: reads from the stream until that is interrupted or cancelled.
class InputPump {
 public:
    InputPump(ExecStream& stream, UniqueFd fd, bool tty, UniqueFd cancelled, UniqueFd end)
        : stream_(stream), fd_(std::move(fd)), tty_(tty), cancelled_(std::move(cancelled)), end_(std::move(end)) {
        thread_ = std::thread([this] { run(); });
    }
    ~InputPump() {
        raise(end_);
        stream_.interrupt();
        thread_.join();
    }
    int cancelled_fd() const { return cancelled_.get(); }
    // So that a program that asks at its start sees the size; without a word of it, the program starts all the same.
    void await_first_size() {
        std::unique_lock lock(mutex_);
        sized_.wait_for(lock, std::chrono::nanoseconds(kFirstSizeNs), [this] { return has_size_ || over_; });
    }

 private:
    void run() {
        // The program may be gone: an error, not a signal. It dies with this thread.
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
        for (bool more = true; more;) more = handle(stream_.read());
        std::lock_guard lock(mutex_);
        over_ = true;
        sized_.notify_all();
    }
    bool handle(ExecInput input) {
        if (auto* bytes = std::get_if<ExecStdin>(&input)) {
            feed(bytes->bytes);
        } else if (std::holds_alternative<ExecStdinClosed>(input)) {
            if (tty_)
                feed(std::string_view(&kEndOfInput, 1));
            else
                fd_.reset();
        } else if (auto* size = std::get_if<TerminalSize>(&input)) {
            resize(*size);
        } else {
            raise(cancelled_);
            return false;
        }
        return true;
    }
    void resize(const TerminalSize& size) {
        winsize window{};
        window.ws_row = static_cast<unsigned short>(std::clamp(size.rows, 0, 0xffff));
        window.ws_col = static_cast<unsigned short>(std::clamp(size.columns, 0, 0xffff));
        if (tty_ && fd_) ::ioctl(fd_.get(), TIOCSWINSZ, &window);
        std::lock_guard lock(mutex_);
        has_size_ = true;
        sized_.notify_all();
    }
    // Waits for room; gives up when the program does not read any more or the session ends.
    void feed(std::string_view bytes) {
        while (fd_ && !bytes.empty()) {
            pollfd items[2] = {{fd_.get(), POLLOUT, 0}, {end_.get(), POLLIN, 0}};
            if (::poll(items, 2, -1) < 0 && errno != EINTR) return;
            if (items[1].revents) return;
            if (!items[0].revents) continue;
            ssize_t n = ::write(fd_.get(), bytes.data(), bytes.size());
            if (n > 0) {
                bytes.remove_prefix(static_cast<size_t>(n));
            } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
                if (!tty_) fd_.reset();
                return;
            }
        }
    }

    ExecStream& stream_;
    UniqueFd fd_;
    const bool tty_;
    UniqueFd cancelled_;
    UniqueFd end_;
    std::mutex mutex_;
    std::condition_variable sized_;
    bool has_size_ = false;
    bool over_ = false;
    std::thread thread_;
};

// The caller's half: output until the program has ended.
class Session {
 public:
    Session(ExecStream& stream, const ExecProgram& program, ExecEnds ends, ExecChild child, int cancelled_fd)
        : stream_(stream),
          program_(program),
          ends_(std::move(ends)),
          child_(std::move(child)),
          cancelled_fd_(cancelled_fd) {}

    Result<ExitResult> run() {
        bool exited = false;
        while (!exited) {
            pollfd items[4] = {{ends_.out.get(), POLLIN, 0},
                               {ends_.err.get(), POLLIN, 0},
                               {child_.pidfd.get(), POLLIN, 0},
                               {cancelled_ ? -1 : cancelled_fd_, POLLIN, 0}};
            if (::poll(items, 4, timeout_ms()) < 0) {
                if (errno == EINTR) continue;
                break;  // out of memory: what is left is to end it
            }
            if (items[0].revents) drain_once(ends_.out, false);
            if (items[1].revents) drain_once(ends_.err, true);
            if (items[3].revents) hang_up();
            if (cancelled_ && mono_now() >= kill_at_ns_) break;
            exited = items[2].revents != 0;
        }
        if (cancelled_ || !exited) end_exec_session(child_.pid, child_.pidfd.get(), program_.pid_file, SIGKILL);
        // What the program itself wrote is in the pipes by now; others that hold them may write on for ever.
        while (ends_.out && drain_once(ends_.out, false)) {
        }
        while (ends_.err && drain_once(ends_.err, true)) {
        }
        int status = 0;
        while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) {
        }
        if (!program_.pid_file.empty()) ::unlink(program_.pid_file.c_str());
        if (cancelled_) return make_error(Code::Cancelled, "{}: the session was ended from outside", program_.command);
        const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return ExitResult{.exit_code = signal ? 128 + signal : WEXITSTATUS(status),
                          .signal = signal,
                          .oom_killed = false,
                          .error = ""};
    }

 private:
    int timeout_ms() const {
        if (!cancelled_) return -1;
        return static_cast<int>(std::max<int64_t>(0, (kill_at_ns_ - mono_now()) / kMillisecond) + 1);
    }
    void hang_up() {
        cancelled_ = true;
        kill_at_ns_ = mono_now() + kHangupNs;
        end_exec_session(child_.pid, child_.pidfd.get(), program_.pid_file, SIGHUP);
    }
    // True: there may be more. The end of a stream closes it. A terminal whose last user is gone reads as EIO.
    bool drain_once(UniqueFd& fd, bool is_stderr) {
        char buffer[32 << 10];
        ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) return true;
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) {
            fd.reset();
            return false;
        }
        if (cancelled_) return true;
        const std::string_view bytes(buffer, static_cast<size_t>(n));
        // Refused when the person is gone, which the input thread is told as well.
        Status written = is_stderr ? stream_.write_stderr(bytes) : stream_.write_stdout(bytes);
        static_cast<void>(written.has_value());
        return true;
    }

    ExecStream& stream_;
    const ExecProgram& program_;
    ExecEnds ends_;
    ExecChild child_;
    const int cancelled_fd_;
    bool cancelled_ = false;
    int64_t kill_at_ns_ = 0;
};

// Keeps what is written up to a limit, types nothing, and is "cancelled" at a deadline.
class Capture final : public ExecStream {
 public:
    Capture(int64_t timeout_ns, size_t bytes_max)
        : deadline_(timeout_ns > 0 ? std::optional<int64_t>(mono_now() + timeout_ns) : std::nullopt),
          bytes_max_(bytes_max) {}
    ExecInput read() override {
        std::unique_lock lock(mutex_);
        if (!std::exchange(closed_, true)) return ExecStdinClosed{};
        auto interrupted = [this] { return interrupted_; };
        if (!deadline_) {
            changed_.wait(lock, interrupted);
        } else if (!changed_.wait_for(lock, std::chrono::nanoseconds(*deadline_ - mono_now()), interrupted)) {
            timed_out_ = true;
        }
        return ExecCancelled{};
    }
    void interrupt() override {
        std::lock_guard lock(mutex_);
        interrupted_ = true;
        changed_.notify_all();
    }
    Status write_stdout(std::string_view bytes) override { return keep(output_.stdout_bytes, bytes); }
    Status write_stderr(std::string_view bytes) override { return keep(output_.stderr_bytes, bytes); }
    ExecOutput& output() { return output_; }
    bool timed_out() {
        std::lock_guard lock(mutex_);
        return timed_out_;
    }

 private:
    Status keep(std::string& kept, std::string_view bytes) {
        kept.append(bytes.substr(0, bytes_max_ - kept.size()));
        return {};
    }
    const std::optional<int64_t> deadline_;
    const size_t bytes_max_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool closed_ = false;
    bool interrupted_ = false;
    bool timed_out_ = false;
    ExecOutput output_;  // of the caller's thread
};

}  // namespace

Result<ExitResult> run_exec(const ExecProgram& program, const ExecRequest& request, ExecStream& stream) {
    DROVER_TRY(ExecEnds ends, make_exec_ends(request.tty, program.user));
    DROVER_TRY(UniqueFd cancelled, make_event());
    DROVER_TRY(UniqueFd end, make_event());
    // Before the program: what was typed ahead waits in the pipe or the terminal.
    InputPump input(stream, std::move(ends.in), request.tty, std::move(cancelled), std::move(end));
    if (request.tty) input.await_first_size();
    DROVER_TRY(ExecChild child, spawn_exec(program, request.tty, ends));
    Session session(stream, program, std::move(ends), std::move(child), input.cancelled_fd());
    return session.run();
}

Result<ExecOutput> run_exec_captured(const ExecProgram& program, int64_t timeout_ns, size_t output_bytes_max) {
    Capture capture(timeout_ns, output_bytes_max);
    auto exit = run_exec(program, {}, capture);
    if (!exit && capture.timed_out())
        return make_error(Code::DeadlineExceeded, "{}: no end after {}", program.command, format_duration(timeout_ns));
    DROVER_TRY(capture.output().exit, std::move(exit));
    return std::move(capture.output());
}

}  // namespace drover::sdk
