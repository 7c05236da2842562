// SPDX-License-Identifier: Apache-2.0
#include "cli/exec_terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <thread>

#include "api/exec_frames.h"
#include "base/fd.h"

namespace drover::cli {

EscapeFilter::Found EscapeFilter::feed(std::string_view typed) {
    Found found;
    for (char c : typed) {
        if (std::exchange(held_, false)) {
            if (c == '.') {
                found.detach = true;
                return found;
            }
            if (c != *escape_) found.pass += *escape_;
        } else if (line_start_ && escape_ && c == *escape_) {
            held_ = true;
            line_start_ = false;
            continue;
        }
        found.pass += c;
        line_start_ = c == '\r' || c == '\n';
    }
    return found;
}

// ---- raw mode

namespace {

// For the handler: set before it is installed, and only then.
int raw_fd = -1;
termios cooked{};
constexpr int kEnding[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction before[std::size(kEnding)];

// Only what is safe in a signal handler; then the signal's own effect, on return.
void restore_and_die(int signal) {
    ::tcsetattr(raw_fd, TCSANOW, &cooked);
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

}  // namespace

RawTerminal::RawTerminal(int fd) {
    if (::tcgetattr(fd, &cooked) != 0) return;
    raw_fd = fd;
    struct sigaction action {};
    action.sa_handler = restore_and_die;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < std::size(kEnding); ++i) ::sigaction(kEnding[i], &action, &before[i]);
    termios raw = cooked;
    ::cfmakeraw(&raw);
    ::tcsetattr(fd, TCSANOW, &raw);
}

RawTerminal::~RawTerminal() {
    if (raw_fd < 0) return;
    ::tcsetattr(raw_fd, TCSANOW, &cooked);
    for (size_t i = 0; i < std::size(kEnding); ++i) ::sigaction(kEnding[i], &before[i], nullptr);
    raw_fd = -1;
}

std::optional<ports::WindowSize> window_size(int fd) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return std::nullopt;
    return ports::WindowSize{size.ws_row, size.ws_col};
}

// ---- input

struct InputReader::Impl {
    Impl(int fd_in, std::function<void(std::string)> piece_in) : fd(fd_in), piece(std::move(piece_in)) {}
    int fd;
    std::function<void(std::string)> piece;
    UniqueFd stop{::eventfd(0, EFD_CLOEXEC)};
    UniqueFd more{::eventfd(0, EFD_CLOEXEC)};
    std::thread thread;

    // False when the reader is to end.
    bool wait_for(int what) const {
        pollfd entries[] = {{stop.get(), POLLIN, 0}, {what, POLLIN, 0}};
        while (::poll(entries, 2, -1) < 0 && errno == EINTR) {
        }
        return entries[0].revents == 0;
    }
    void loop() {
        std::string buffer(api::kExecPieceBytes, '\0');
        while (wait_for(fd)) {
            auto got = ::read(fd, buffer.data(), buffer.size());
            if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            piece(got > 0 ? buffer.substr(0, static_cast<size_t>(got)) : std::string());
            if (got <= 0 || !wait_for(more.get())) return;
            uint64_t count = 0;
            static_cast<void>(!::read(more.get(), &count, sizeof count));
        }
    }
};

InputReader::InputReader(int fd, std::function<void(std::string)> piece)
    : impl_(std::make_unique<Impl>(fd, std::move(piece))) {
    // The process's signals are for its main thread.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &old);
    impl_->thread = std::thread([impl = impl_.get()] { impl->loop(); });
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

InputReader::~InputReader() {
    const uint64_t one = 1;
    static_cast<void>(!::write(impl_->stop.get(), &one, sizeof one));
    impl_->thread.join();
}

void InputReader::resume() {
    const uint64_t one = 1;
    static_cast<void>(!::write(impl_->more.get(), &one, sizeof one));
}

}  // namespace drover::cli
