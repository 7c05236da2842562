// SPDX-License-Identifier: Apache-2.0
// The worker: drains all FIFOs into their files, answers the agent. May be killed at any instruction: pipes
// keep what was not moved, files are continued at their end, and the keeper starts the next one.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <memory>

#include "logd/stream.h"

namespace drover::logd {
namespace {

constexpr size_t kLittleBytes = 64 << 10;  // a turn that moved less is followed by a nap,
constexpr int64_t kNapMs = 8;  // else 100-byte lines cost ten times the CPU; 1 MiB pipes bridge it
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kTryAgainNs = 250 * kMs;  // a full disk

struct Entry {
    std::unique_ptr<Stream> stream;
    bool polled = false;
    int told_trouble = 0;      // what watchers were told last
    int64_t try_again_ns = 0;  // while in trouble
};

struct FlushWait {
    int fd;  // of the connection
    uint32_t id;
    uint64_t key;
    int64_t deadline_ns;
};

class Worker {
 public:
    explicit Worker(const Home& home) : home_(home) {}

    int run(pid_t keeper) {
        // While another worker lives we wait for our turn, but not longer than our keeper: the next keeper
        // brings its own. With the lock in hand we outlive it.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        const bool orphan = ::getppid() != keeper;
        if (take_lock(home_, kWorkerLock, orphan ? Patience::None : Patience::Forever) < 0) return 1;
        ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        if (epoll_ < 0 || !scratch_.open() || !server_.listen(home_, kWorkerSocket)) {
            note(home_, "worker", "start", "", errno);
            return 1;
        }
        poll_fd(server_.fd());
        for (uint64_t key : stream_keys(home_)) open(key);
        while (!stopped_) turn();
        return 0;
    }

 private:
    void poll_fd(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) note(home_, "worker", "epoll", "", errno);
    }

    void set_polled(Entry& entry, bool wanted) {
        if (entry.polled == wanted) return;
        if (wanted)
            poll_fd(entry.stream->fifo());
        else
            ::epoll_ctl(epoll_, EPOLL_CTL_DEL, entry.stream->fifo(), nullptr);
        entry.polled = wanted;
    }

    Entry* find(uint64_t key) {
        for (Entry& entry : entries_)
            if (entry.stream->key() == key) return &entry;
        return nullptr;
    }

    int open(uint64_t key) {
        int error_number = 0;
        if (const char* wrong = load_stream(home_, key, &file_, &error_number)) {
            if (error_number != ENOENT) note(home_, "worker", wrong, "", error_number);
            return error_number ? error_number : EBADMSG;
        }
        if (Entry* entry = find(key)) {
            if (entry->stream->same_as(file_.view)) return entry->stream->set_limits(file_.view), 0;
            close(key);
        }
        auto stream = std::make_unique<Stream>(key, file_.view);
        error_number = stream->open(file_.view, lock_holder(home_, kKeeperLock));
        if (error_number) {
            note(home_, "worker", "open FIFO", file_.view.fifo, error_number);
            return error_number;
        }
        entries_.push_back(Entry{});
        entries_.back().stream = std::move(stream);
        set_polled(entries_.back(), true);
        return 0;
    }

    void close(uint64_t key) {
        for (size_t i = 0; i < entries_.size(); ++i) {
            if (entries_[i].stream->key() != key) continue;
            set_polled(entries_[i], false);
            entries_[i] = std::move(entries_.back());
            entries_.pop_back();
            return;
        }
    }

    void drop_forgotten() {
        for (size_t i = entries_.size(); i-- > 0;) {
            int error_number = 0;
            const uint64_t key = entries_[i].stream->key();
            if (load_stream(home_, key, &file_, &error_number) && error_number == ENOENT) close(key);
        }
    }

    size_t drain(Entry& entry) {
        size_t moved = entry.stream->drain(scratch_);
        const int trouble = entry.stream->trouble();
        // No polling of a FIFO that cannot be emptied: its writers wait, we look again from time to time.
        if (trouble) entry.try_again_ns = sys::mono_ns() + kTryAgainNs;
        set_polled(entry, trouble == 0);
        if (trouble != entry.told_trouble && (trouble != 0 || moved > 0)) {
            entry.told_trouble = trouble;
            note(home_, "worker", trouble ? "cannot write logs of" : "writes again logs of",
                 entry.stream->fifo_path().c_str(), trouble);
            for (Connection& connection : server_.connections())
                if (connection.watching) server_.send(connection, describe(entry, 0));
        }
        return moved;
    }

    Reply describe(const Entry& entry, uint32_t id) {
        Reply reply = make_reply(id, entry.told_trouble,
                                 entry.told_trouble ? ::strerrordesc_np(entry.told_trouble) : "");
        reply.key = entry.stream->key();
        reply.waiting_bytes = entry.stream->waiting();
        reply.file_index = entry.stream->index();
        reply.full = entry.told_trouble != 0;
        reply.pid = ::getpid();
        return reply;
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
                reply.error_number = open(frame.key);
                break;
            case Request::Close:
                close(frame.key);
                break;
            case Request::Flush:
                flushes_.push_back(
                    {connection.fd, frame.id, frame.key, sys::mono_ns() + frame.argument * kMs});
                return check_flushes();
            case Request::List:
                for (const Entry& entry : entries_) {
                    Reply one = describe(entry, frame.id);
                    one.more = 1;
                    server_.send(connection, one);
                }
                break;
            case Request::Watch:
                server_.send(connection, reply);
                connection.watching = true;
                for (const Entry& entry : entries_)
                    if (entry.told_trouble) server_.send(connection, describe(entry, 0));
                return;
            case Request::Stop:
                stopped_ = true;
                break;
        }
        server_.send(connection, reply);
    }

    // A flush is done when the FIFO is empty: each byte that was written before is in a file.
    void check_flushes() {
        const int64_t now = sys::mono_ns();
        for (size_t i = flushes_.size(); i-- > 0;) {
            const FlushWait flush = flushes_[i];
            Entry* entry = find(flush.key);
            if (entry && !entry->stream->trouble()) drain(*entry);
            const bool empty = !entry || entry->stream->waiting() == 0;
            if (!empty && now < flush.deadline_ns) continue;
            flushes_.erase(flushes_.begin() + static_cast<std::ptrdiff_t>(i));
            for (Connection& connection : server_.connections()) {
                if (connection.fd != flush.fd) continue;
                Reply reply = make_reply(flush.id, empty ? 0 : ETIMEDOUT);
                reply.key = flush.key;
                if (entry) reply.waiting_bytes = entry->stream->waiting();
                server_.send(connection, reply);
            }
        }
    }

    int timeout_ms() const {
        int64_t next = INT64_MAX;
        for (const Entry& entry : entries_)
            if (!entry.polled && entry.try_again_ns < next) next = entry.try_again_ns;
        if (!flushes_.empty() && sys::mono_ns() + 5 * kMs < next) next = sys::mono_ns() + 5 * kMs;
        if (next == INT64_MAX) return -1;
        int64_t ms = (next - sys::mono_ns()) / kMs + 1;
        return ms < 0 ? 0 : static_cast<int>(ms);
    }

    void turn() {
        epoll_event events[64];
        int n = ::epoll_wait(epoll_, events, 64, timeout_ms());
        if (n < 0 && errno != EINTR) sys::nap_ms(10);
        size_t most = 0;  // by one FIFO in this turn
        bool drained = false;
        for (int i = 0; i < n; ++i) {
            const int fd = events[i].data.fd;
            if (fd == server_.fd()) {
                int client = server_.accept();
                if (client >= 0) poll_fd(client);
                continue;
            }
            Entry* ready = nullptr;
            for (Entry& entry : entries_)
                if (entry.stream->fifo() == fd) ready = &entry;
            if (ready) {
                size_t moved = drain(*ready);
                most = moved > most ? moved : most;
                drained = true;
                continue;
            }
            for (size_t k = 0; k < server_.connections().size(); ++k) {
                RequestFrame frame;
                if (server_.connections()[k].fd == fd && server_.read(server_.connections()[k], &frame) == 1)
                    handle(server_.connections()[k], frame);
            }
        }
        const int64_t now = sys::mono_ns();
        for (Entry& entry : entries_)
            if (!entry.polled && now >= entry.try_again_ns) drain(entry);
        if (!flushes_.empty()) check_flushes();
        server_.sweep();
        if (drained && most < kLittleBytes && flushes_.empty() && !stopped_) sys::nap_ms(kNapMs);
    }

    Home home_;
    Server server_;
    Scratch scratch_;
    StreamFile file_{};
    std::vector<Entry> entries_;
    std::vector<FlushWait> flushes_;
    int epoll_ = -1;
    bool stopped_ = false;
};

}  // namespace

int run_worker(const Home& home, pid_t keeper) {
    static Worker worker(home);
    return worker.run(keeper);
}

}  // namespace drover::logd
