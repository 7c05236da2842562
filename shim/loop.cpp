// SPDX-License-Identifier: Apache-2.0
// The rest of the shim's life: watch the task, answer on the socket, record the end, kill what was left
// behind, hold the FIFOs until they are empty. One poll(2); nothing here waits for a peer.
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/sys/unix_socket.h"
#include "shim/shim.h"

namespace drover::shim {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kKillAgainNs = 10'000 * kMs;

void drop(Client& client) {
    ::close(client.fd);
    client = Client{};
}

void reply(Client& client, FrameType type, uint32_t id, const Record& record) {
    struct {
        FrameHeader header;
        Record record;
    } frame{make_frame(type, sizeof(Record), id), record};
    seal_record(&frame.record);
    // The socket buffer holds hundreds of these; a peer that lets it fill up does not read and is dropped.
    if (::send(client.fd, &frame, sizeof frame, MSG_DONTWAIT | MSG_NOSIGNAL) !=
        static_cast<ssize_t>(sizeof frame))
        drop(client);
}

void refuse(Shim& shim, Client& client, uint32_t id, const char* why, int error_number) {
    Record record = shim.record;
    record.error_number = error_number;
    sys::Text<kMessageBytesMax> text;
    text.add(why);
    std::memcpy(record.message, text.c_str(), text.size() + 1);
    reply(client, FrameType::Refused, id, record);
}

void answer_waiting(Shim& shim) {
    for (Client& client : shim.clients) {
        if (client.fd < 0 || !client.waiting) continue;
        client.waiting = false;
        reply(client, FrameType::State, client.id, shim.record);
    }
}

void begin_stop(Shim& shim, int number, uint32_t timeout_ms) {
    int64_t deadline = sys::mono_ns() + static_cast<int64_t>(timeout_ms) * kMs;
    if (number == 0 || shim.record.phase == Phase::Launching)
        deadline = sys::mono_ns();
    else
        sys::pidfd_signal(shim.pidfd, number);
    if (number == SIGKILL) shim.sent_kill = true;
    if (shim.stop_deadline_ns == 0 || deadline < shim.stop_deadline_ns) shim.stop_deadline_ns = deadline;
}

void handle(Shim& shim, Client& client, const FrameHeader& header, const char* payload) {
    if (header.version != kWireVersion)
        return refuse(shim, client, header.id, "frame version not understood", EPROTO);
    if (header.bytes != request_bytes(header.type))
        return refuse(shim, client, header.id, "frame size", EPROTO);
    const bool settled = shim.ended() && shim.durable && shim.tree_killed;
    switch (header.type) {
        case FrameType::Status:
            return reply(client, FrameType::State, header.id, shim.record);
        case FrameType::Forget:
            shim.forgotten = true;
            return reply(client, FrameType::State, header.id, shim.record);
        case FrameType::Signal: {
            SignalRequest request;
            std::memcpy(&request, payload, sizeof request);
            if (shim.record.phase != Phase::Running)
                return refuse(shim, client, header.id, "the task is not running", ESRCH);
            if (!sys::pidfd_signal(shim.pidfd, request.signal))
                return refuse(shim, client, header.id, "signal", errno);
            if (request.signal == SIGKILL) shim.sent_kill = true;
            return reply(client, FrameType::State, header.id, shim.record);
        }
        case FrameType::Stop: {
            StopRequest request;
            std::memcpy(&request, payload, sizeof request);
            if (request.signal < 0 || request.signal > 64)
                return refuse(shim, client, header.id, "no such signal", EINVAL);
            if (!shim.ended()) begin_stop(shim, request.signal, request.timeout_ms);
            break;
        }
        case FrameType::Wait:
            break;
        default:
            return refuse(shim, client, header.id, "unknown request", ENOSYS);
    }
    if (settled) return reply(client, FrameType::State, header.id, shim.record);
    client.waiting = true;
    client.id = header.id;
}

void read_client(Shim& shim, Client& client) {
    ssize_t n =
        ::recv(client.fd, client.bytes + client.used, sizeof client.bytes - client.used, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return drop(client);
    client.used += static_cast<uint32_t>(n);
    while (client.fd >= 0) {
        FrameHeader header;
        const char* payload = nullptr;
        Parse parse = parse_frame(client.bytes, client.used, &header, &payload);
        if (parse == Parse::Bad || (parse == Parse::NeedMore && client.used == sizeof client.bytes))
            return drop(client);  // no request of ours is that long
        if (parse == Parse::NeedMore) return;
        const uint32_t size = static_cast<uint32_t>(sizeof header) + header.bytes;
        char copy[sizeof client.bytes];
        std::memcpy(copy, payload, header.bytes);
        client.used -= size;
        std::memmove(client.bytes, client.bytes + size, client.used);
        handle(shim, client, header, copy);
    }
}

void accept_client(Shim& shim) {
    int fd = ::accept4(shim.listen_fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    if (!sys::peer_allowed(fd)) {
        ::close(fd);
        return;
    }
    for (Client& client : shim.clients) {
        if (client.fd >= 0) continue;
        client.fd = fd;
        return;
    }
    drop(shim.clients[0]);  // the newest may be a plugin that has just come back; the dropped one connects
                            // again
    shim.clients[0].fd = fd;
}

// The process behind the pidfd has exited.
void process_gone(Shim& shim) {
    int wait_status = 0;
    bool known;
    if (shim.is_child) {
        siginfo_t info{};  // looked at, not reaped: were we killed now, the status would still be there
        known = ::waitid(P_PIDFD, static_cast<id_t>(shim.pidfd), &info, WEXITED | WNOWAIT) == 0;
        wait_status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    } else {
        known = foreign_wait_status(shim, &wait_status);
    }
    if (shim.record.phase == Phase::Launching) return launcher_done(shim, known, wait_status);
    end_with(
        shim, known ? Phase::Exited : Phase::Lost,
        known ? "" : "supervisor lost: the kernel did not tell the exit status to the shim that took over",
        0);
    if (known && WIFEXITED(wait_status)) shim.record.exit_code = WEXITSTATUS(wait_status);
    if (known && WIFSIGNALED(wait_status)) shim.record.signal = WTERMSIG(wait_status);
}

// First the record, then the rest: were we killed in between, the truth is on disk and the next shim does the
// rest.
void settle(Shim& shim) {
    const int64_t now = sys::mono_ns();
    if (!shim.durable && now >= shim.next_try_ns) {
        if (shim.record.oom_kills == 0) count_oom_kills(shim);
        shim.durable = write_exit(shim);
        shim.next_try_ns = now + 1000 * kMs;
    }
    if (!shim.tree_killed) {
        kill_tree(shim);
        shim.tree_killed = true;
        if (shim.is_child) {
            siginfo_t info{};
            ::waitid(P_PIDFD, static_cast<id_t>(shim.pidfd), &info, WEXITED | WNOHANG);
            shim.is_child = false;
        }
        if (shim.pidfd >= 0) ::close(shim.pidfd);
        shim.pidfd = -1;
        send_status(shim);
        shim.drain_deadline_ns = now + static_cast<int64_t>(shim.spec.drain_ms) * kMs;
    }
    if (shim.durable) answer_waiting(shim);
}

bool drained(Shim& shim) {
    if (sys::mono_ns() >= shim.drain_deadline_ns) {
        note(shim, "gave up on FIFOs that nobody empties", 0);
        return true;
    }
    for (int fd : shim.fifo_fds) {
        int waiting = 0;
        if (fd >= 0 && ::ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0) return false;
    }
    return true;
}

int poll_timeout_ms(const Shim& shim) {
    int64_t next = INT64_MAX;
    if (shim.ended()) next = sys::mono_ns() + 20 * kMs;  // looking at the FIFOs, trying the record again
    if (!shim.ended() && shim.stop_deadline_ns && shim.stop_deadline_ns < next) next = shim.stop_deadline_ns;
    if (shim.record.phase == Phase::Launching && shim.launch_deadline_ns < next)
        next = shim.launch_deadline_ns;
    if (next == INT64_MAX) return -1;
    int64_t ms = (next - sys::mono_ns() + kMs - 1) / kMs;
    return ms < 0 ? 0 : ms > 3'600'000 ? 3'600'000 : static_cast<int>(ms);
}

void check_deadlines(Shim& shim) {
    const int64_t now = sys::mono_ns();
    if (shim.record.phase == Phase::Launching && now >= shim.launch_deadline_ns) {
        kill_tree(shim);
        if (shim.is_child) {
            siginfo_t info{};
            ::waitid(P_PIDFD, static_cast<id_t>(shim.pidfd), &info, WEXITED | WNOHANG);
            shim.is_child = false;
        }
        end_with(shim, Phase::StartFailed, "the launcher did not finish in time", 0);
    }
    if (!shim.ended() && shim.stop_deadline_ns && now >= shim.stop_deadline_ns) {
        shim.sent_kill = true;
        shim.stop_deadline_ns = now + kKillAgainNs;
        kill_tree(shim);
    }
}

}  // namespace

void loop(Shim& shim) {
    for (;;) {
        if (shim.ended()) {
            settle(shim);
            if (shim.forgotten && shim.tree_killed) return;
            if (shim.durable && shim.tree_killed && drained(shim)) return;
        }
        pollfd items[3 + kClientsMax];
        items[0] = {shim.ended() ? -1 : shim.pidfd, POLLIN, 0};
        items[1] = {shim.signal_fd, POLLIN, 0};
        items[2] = {shim.listen_fd, POLLIN, 0};
        for (size_t i = 0; i < kClientsMax; ++i) items[3 + i] = {shim.clients[i].fd, POLLIN, 0};
        if (::poll(items, 3 + kClientsMax, poll_timeout_ms(shim)) < 0 && errno != EINTR) sys::nap_ms(10);

        if (items[0].revents) process_gone(shim);
        if (items[1].revents) {
            signalfd_siginfo info;
            while (::read(shim.signal_fd, &info, sizeof info) > 0) {
            }
            // Orphans of the task. While launching none is touched: the task itself may already be among
            // them.
            while (shim.record.phase != Phase::Launching) {
                siginfo_t child{};
                if (::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) break;
                if (shim.is_child && child.si_pid == shim.record.pid) break;
                ::waitid(P_PID, static_cast<id_t>(child.si_pid), &child, WEXITED | WNOHANG);
            }
        }
        for (size_t i = 0; i < kClientsMax; ++i)
            if (items[3 + i].revents && shim.clients[i].fd == items[3 + i].fd)
                read_client(shim, shim.clients[i]);
        if (items[2].revents) accept_client(shim);
        check_deadlines(shim);
    }
}

}  // namespace drover::shim
