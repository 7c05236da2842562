// SPDX-License-Identifier: Apache-2.0
// The keeper: holds every FIFO open read-write, so that no writer meets a broken pipe whatever happens to the
// worker, and starts the next worker the moment one is gone. Does nothing else: the less it does, the less it
// can die of.
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/sys/unix_socket.h"
#include "logd/common.h"

namespace drover::logd {
namespace {

struct Held {
    uint64_t key;
    int fd;
};

class Keeper {
 public:
    explicit Keeper(const Home& home) : home_(home) {}

    int run() {
        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        signal_fd_ = ::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
        // Hold first, lock later: whoever held them before us may be about to die.
        for (uint64_t key : stream_keys(home_)) hold(key);
        if (take_lock(home_, kKeeperLock, Patience::Seconds) < 0) return 0;  // another keeper lives
        for (uint64_t key : stream_keys(home_)) hold(key);
        retire_old_worker();
        start_worker();
        if (!server_.listen(home_, kKeeperSocket)) {
            note(home_, "keeper", "listen", kKeeperSocket, errno);
            return 1;
        }
        while (!stopped_) turn();
        return 0;
    }

 private:
    int hold(uint64_t key) {
        int error_number = 0;
        if (const char* wrong = load_stream(home_, key, &file_, &error_number)) {
            if (error_number != ENOENT) note(home_, "keeper", wrong, "", error_number);
            return error_number ? error_number : EBADMSG;
        }
        for (const Held& held : held_) {
            struct stat st {};
            if (held.key != key) continue;
            if (::fstat(held.fd, &st) == 0 && st.st_ino == file_.view.header.fifo_ino &&
                st.st_dev == file_.view.header.fifo_dev)
                return 0;
            let_go(key);  // added again with another FIFO
            break;
        }
        int fd = open_fifo(file_.view, lock_holder(home_, kWorkerLock));
        if (fd < 0) {
            error_number = errno;
            note(home_, "keeper", "open FIFO", file_.view.fifo, error_number);
            return error_number;
        }
        held_.push_back({key, fd});
        return 0;
    }

    void let_go(uint64_t key) {
        for (size_t i = 0; i < held_.size(); ++i) {
            if (held_[i].key != key) continue;
            ::close(held_[i].fd);
            held_[i] = held_.back();
            held_.pop_back();
            return;
        }
    }

    // Streams whose file is gone: the agent was killed between removing it and telling us.
    void drop_forgotten() {
        for (size_t i = held_.size(); i-- > 0;) {
            int error_number = 0;
            if (load_stream(home_, held_[i].key, &file_, &error_number) && error_number == ENOENT)
                let_go(held_[i].key);
        }
    }

    // A worker of a keeper that was killed: it ends at its next chance, and ours, waiting for its lock, goes
    // on.
    void retire_old_worker() {
        int fd = sys::connect_at(home_.fd, kWorkerSocket);
        if (fd < 0) return;
        RequestFrame frame{kFrameMagic, kWireVersion, Request::Stop, 1, 0, 0};
        ssize_t n = ::send(fd, &frame, sizeof frame, MSG_NOSIGNAL | MSG_DONTWAIT);
        static_cast<void>(n);
        ::close(fd);
    }

    void start_worker() {
        char name[] = "drover-logd", verb[] = "worker";
        sys::Text<16> parent;
        parent.add(::getpid());
        char* argv[] = {name, verb, const_cast<char*>(home_.path), const_cast<char*>(parent.c_str()),
                        nullptr};
        char* envp[] = {nullptr};
        // Our own binary, also when its file was replaced by an upgrade.
        int failed = ::posix_spawn(&worker_, "/proc/self/exe", nullptr, nullptr, argv, envp);
        started_ns_ = sys::mono_ns();
        if (failed == 0) return;
        note(home_, "keeper", "start worker", "", failed);
        worker_ = 0;
        restart_at_ns_ = started_ns_ + 200'000'000;
    }

    void reap() {
        signalfd_siginfo info;
        while (::read(signal_fd_, &info, sizeof info) > 0) {
        }
        int status = 0;
        pid_t pid;
        while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
            if (pid != worker_) continue;
            worker_ = 0;
            // At once; only a worker that dies again and again right after its start is given a pause.
            const int64_t now = sys::mono_ns();
            quick_deaths_ = now - started_ns_ < 1'000'000'000 ? quick_deaths_ + 1 : 0;
            int64_t pause = quick_deaths_ <= 3 ? 0 : quick_deaths_ * 2 < 200 ? quick_deaths_ * 2 : 200;
            restart_at_ns_ = now + pause * 1'000'000;
        }
        restart_when_due();
    }

    void restart_when_due() {
        if (worker_ == 0 && sys::mono_ns() >= restart_at_ns_) start_worker();
    }

    void handle(Connection& connection, const RequestFrame& frame) {
        Reply reply = make_reply(frame.id, 0);
        reply.pid = ::getpid();
        reply.key = frame.key;
        switch (frame.type) {
            case Request::Hello:
                drop_forgotten();
                break;
            case Request::Open:
                reply.error_number = hold(frame.key);
                break;
            case Request::Close:
                let_go(frame.key);
                break;
            case Request::Stop:
                stopped_ = true;
                if (worker_ > 0) {
                    ::kill(worker_, SIGKILL);
                    ::waitpid(worker_, nullptr, 0);
                }
                ::unlinkat(home_.fd, kWorkerSocket, 0);
                ::unlinkat(home_.fd, kKeeperSocket, 0);
                break;
            default:
                reply.error_number = ENOSYS;
        }
        server_.send(connection, reply);
    }

    void turn() {
        std::vector<Connection>& connections = server_.connections();
        polled_.resize(connections.size() + 2);
        polled_[0] = {signal_fd_, POLLIN, 0};
        polled_[1] = {server_.fd(), POLLIN, 0};
        for (size_t i = 0; i < connections.size(); ++i) polled_[2 + i] = {connections[i].fd, POLLIN, 0};
        int timeout_ms = -1;
        if (worker_ == 0) {
            int64_t left = (restart_at_ns_ - sys::mono_ns()) / 1'000'000 + 1;
            timeout_ms = left < 0 ? 0 : static_cast<int>(left);
        }
        if (::poll(polled_.data(), polled_.size(), timeout_ms) < 0 && errno != EINTR) sys::nap_ms(10);
        if (polled_[0].revents) reap();
        restart_when_due();
        for (size_t i = 0; i + 2 < polled_.size(); ++i) {
            if (!polled_[2 + i].revents) continue;
            RequestFrame frame;
            if (server_.read(connections[i], &frame) == 1) handle(connections[i], frame);
        }
        if (polled_[1].revents) server_.accept();
        server_.sweep();
    }

    Home home_;
    Server server_;
    StreamFile file_{};
    std::vector<Held> held_;
    std::vector<pollfd> polled_;
    int signal_fd_ = -1;
    pid_t worker_ = 0;
    int64_t started_ns_ = 0;
    int64_t restart_at_ns_ = 0;
    int64_t quick_deaths_ = 0;
    bool stopped_ = false;
};

}  // namespace

int run_keeper(const Home& home) {
    static Keeper keeper(home);
    return keeper.run();
}

}  // namespace drover::logd
