// SPDX-License-Identifier: Apache-2.0
#include "agent/logs/logd_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/sys/logd_wire.h"
#include "base/sys/unix_socket.h"
#include "cgroup/cgroup.h"

namespace drover::agent {
namespace {

constexpr int64_t kRestartNs = 10 * kSecond;  // how long a call waits for logd to come back
constexpr int64_t kAnswerNs = 10 * kSecond;

std::string key_name(uint64_t key) {
    return fmt::format("{:016x}", key);
}

Status check(const LogStream& stream) {
    auto text = [](const char* what, const std::string& value, size_t bytes_max) -> Status {
        if (value.empty() || value.size() > bytes_max || value.find('\0') != std::string::npos)
            return make_error(Code::InvalidArgument,
                              "log stream: {} \"{}\": expected 1 to {} bytes without NUL", what, value,
                              bytes_max);
        return {};
    };
    DROVER_CHECK(text("id", stream.id, logd::kIdBytesMax));
    DROVER_CHECK(text("fifo", stream.fifo, logd::kPathBytesMax));
    DROVER_CHECK(text("dir", stream.dir, logd::kPathBytesMax));
    DROVER_CHECK(text("name", stream.name, logd::kNameBytesMax));
    if (stream.fifo[0] != '/' || stream.dir[0] != '/')
        return make_error(Code::InvalidArgument, "log stream {}: fifo and dir must be absolute paths",
                          stream.id);
    if (stream.name[0] == '.' || stream.name.find('/') != std::string::npos)
        return make_error(Code::InvalidArgument, "log stream {}: name \"{}\" is not a plain file name",
                          stream.id, stream.name);
    if (stream.max_files == 0 || stream.max_file_bytes == 0)
        return make_error(Code::InvalidArgument,
                          "log stream {}: max_files and max_file_bytes must be at least 1", stream.id);
    return {};
}

std::string encode(const LogStream& stream, const struct stat& fifo) {
    std::string strings;
    for (const std::string* part : {&stream.id, &stream.fifo, &stream.dir, &stream.name}) {
        strings += *part;
        strings += '\0';
    }
    logd::StreamHeader header{};
    header.magic = logd::kStreamMagic;
    header.version = logd::kWireVersion;
    header.bytes = static_cast<uint32_t>(sizeof header + strings.size());
    header.files_max = stream.max_files;
    header.file_bytes_max = stream.max_file_bytes;
    header.fifo_dev = fifo.st_dev;
    header.fifo_ino = fifo.st_ino;
    header.checksum = logd::stream_checksum(header, strings.data(), strings.size());
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) + strings;
}

Result<LogStream> read_stream(const std::string& path) {
    DROVER_TRY(const std::string bytes, read_file(path, logd::kStreamBytesMax));
    logd::StreamView view;
    if (const char* wrong = logd::parse_stream(bytes.data(), bytes.size(), &view))
        return make_error(Code::DataLoss, "{}: {}", path, wrong);
    return LogStream{
        view.id, view.fifo, view.dir, view.name, view.header.files_max, view.header.file_bytes_max};
}

// Makes the FIFO unless it is there. Others may write (a task that opens /dev/stdout again as its own user),
// none read.
Result<struct stat> make_fifo(const std::string& path) {
    if (::mkfifo(path.c_str(), 0600) == 0) {
        if (::chmod(path.c_str(), 0622) != 0) return Error::from_errno(fmt::format("chmod {}", path));
    } else if (errno != EEXIST) {
        return Error::from_errno(fmt::format("make FIFO {}", path));
    }
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return Error::from_errno(fmt::format("stat {}", path));
    if (!S_ISFIFO(st.st_mode))
        return make_error(Code::InvalidArgument, "{}: is there already and is not a FIFO", path);
    return st;
}

}  // namespace

struct LogdClient::Impl {
    LogdOptions options;
    UniqueFd dir_fd;
    UniqueFd wake;
    std::atomic<bool> closing{false};
    std::atomic<bool> stopped{false};  // by shutdown(): nobody starts it again
    std::mutex start_mutex;
    std::mutex mutex;  // of `callback` and `full`
    std::function<void(const LogEvent&)> callback;
    std::map<std::string, LogEvent> full;
    std::thread thread;
    uint32_t next_id = 1;
    std::mutex id_mutex;

    std::string stream_path(uint64_t key) const {
        return join_path(join_path(options.state_dir, logd::kStreamsDir), key_name(key));
    }

    bool lock_held(const char* name) const {
        UniqueFd fd(::openat(dir_fd.get(), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW));
        return fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
    }
    Result<UniqueFd> connect(const char* name) const {
        UniqueFd fd(sys::connect_at(dir_fd.get(), name));
        if (fd) return fd;
        return make_error(Code::Unavailable, "connect to logd ({}): {}", name, std::strerror(errno));
    }
    static Status send(int fd, const logd::RequestFrame& frame) {
        if (::send(fd, &frame, sizeof frame, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof frame)) return {};
        return make_error(Code::Unavailable, "send to logd: {}", std::strerror(errno));
    }
    static Result<logd::Reply> receive(int fd, int64_t deadline) {
        logd::Reply reply{};
        for (size_t got = 0; got < sizeof reply;) {
            const int64_t left = deadline - mono_now();
            pollfd item{fd, POLLIN, 0};
            if (left <= 0 || ::poll(&item, 1, static_cast<int>(left / kMillisecond + 1)) == 0)
                return make_error(Code::DeadlineExceeded, "logd did not answer in time");
            ssize_t n = ::recv(fd, reinterpret_cast<char*>(&reply) + got, sizeof reply - got, 0);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return make_error(Code::Unavailable, "logd has gone away");
            got += static_cast<size_t>(n);
        }
        if (reply.magic != logd::kFrameMagic)
            return make_error(Code::DataLoss, "logd sent something that is not a reply");
        return reply;
    }
    logd::RequestFrame frame(logd::Request type, uint64_t key = 0, uint32_t argument = 0) {
        std::lock_guard lock(id_mutex);
        return {logd::kFrameMagic, logd::kWireVersion, type, next_id++, argument, key};
    }

    // One request to one of the two, waiting for it to come back when it has just been killed. Requests may
    // be repeated without harm, so a connection that breaks is simply tried again.
    Result<logd::Reply> ask(const char* name, logd::Request type, uint64_t key, int64_t answer_ns = kAnswerNs,
                            uint32_t argument = 0) {
        const int64_t deadline = mono_now() + kRestartNs + answer_ns;
        for (;;) {
            const logd::RequestFrame request = frame(type, key, argument);
            auto fd = connect(name);
            if (fd && send(fd->get(), request)) {
                auto reply = receive(fd->get(), mono_now() + answer_ns + kSecond);
                if (reply || reply.error().code() != Code::Unavailable) return reply;
            }
            if (mono_now() > deadline || stopped)
                return make_error(Code::Unavailable, "logd does not answer ({})", name);
            if (Status running = ensure_running(); !running) return std::move(running).error();
            sys::nap_ms(2);
        }
    }

    Status ensure_running();
    Status spawn();
    void monitor();
    void take_event(const logd::Reply& reply);
};

Status LogdClient::Impl::spawn() {
    std::vector<std::string> words{"drover-logd", "keeper", options.state_dir};
    if (!options.cgroup.empty() && cgroup::mounted().version != cgroup::Version::None) {
        DROVER_TRY(auto group, cgroup::Cgroup::create(options.cgroup));
        for (std::string& file : group.join_files()) words.push_back(std::move(file));
    }
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    char* envp[] = {nullptr};
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t pid = 0;
    int failed = ::posix_spawn(&pid, options.binary.c_str(), nullptr, &attributes, argv.data(), envp);
    posix_spawnattr_destroy(&attributes);
    if (failed) return Error::from_errno(fmt::format("start {}", options.binary), failed);
    // The first process only forks the one that stays and belongs to init.
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return {};
}

Status LogdClient::Impl::ensure_running() {
    std::lock_guard lock(start_mutex);
    if (stopped) return make_error(Code::Unavailable, "logd was shut down");
    if (auto fd = connect(logd::kKeeperSocket)) return {};
    int64_t spawned_at = 0;
    for (const int64_t deadline = mono_now() + kRestartNs; mono_now() < deadline; sys::nap_ms(2)) {
        if (auto fd = connect(logd::kKeeperSocket)) return {};
        // A new one may be killed before we ever see it: when nobody holds the lock, it is our turn again.
        if (mono_now() < spawned_at + 100 * kMillisecond || lock_held(logd::kKeeperLock)) continue;
        DROVER_CHECK(spawn());
        spawned_at = mono_now();
    }
    return make_error(Code::Unavailable, "{} was started and does not answer; see {}", options.binary,
                      join_path(options.state_dir, logd::kNoteFile));
}

void LogdClient::Impl::take_event(const logd::Reply& reply) {
    auto stream = read_stream(stream_path(reply.key));
    if (!stream) return;  // removed meanwhile
    LogEvent event{stream->id, reply.full != 0, reply.error_number, std::string(reply.message)};
    std::function<void(const LogEvent&)> call;
    {
        std::lock_guard lock(mutex);
        // A new worker finds the same full disk again: that is not news.
        const bool was_full = full.count(event.stream_id) != 0;
        if (was_full == event.full) return;
        if (event.full)
            full[event.stream_id] = event;
        else
            full.erase(event.stream_id);
        call = callback;
    }
    if (call) call(event);
}

// Keeps a connection to each of the two: a dead keeper is replaced at once, events of the worker come in.
void LogdClient::Impl::monitor() {
    UniqueFd keeper, worker;
    int64_t nap_ms = 1;
    while (!closing) {
        if (!keeper && !stopped) {
            if (auto fd = connect(logd::kKeeperSocket)) {
                keeper = std::move(*fd);
            } else if (Status running = ensure_running(); !running && !stopped) {
                log::error("client.logd", "cannot start logd", {{"error", running.error().message()}});
            }
        }
        if (!worker && !stopped) {
            auto fd = connect(logd::kWorkerSocket);
            if (fd && send(fd->get(), frame(logd::Request::Watch))) worker = std::move(*fd);
        }
        pollfd items[3] = {{wake.get(), POLLIN, 0}, {keeper.get(), POLLIN, 0}, {worker.get(), POLLIN, 0}};
        const bool whole = (keeper && worker) || stopped;
        nap_ms = whole ? 1 : std::min<int64_t>(nap_ms * 2, 200);
        ::poll(items, 3, whole ? -1 : static_cast<int>(nap_ms));
        if (items[0].revents) {
            uint64_t count;
            static_cast<void>(!::read(wake.get(), &count, sizeof count));
        }
        if (items[1].revents) {  // the keeper never speaks unasked: this is its end
            keeper.reset();
            if (!closing && !stopped) log::warn("client.logd", "the log keeper is gone, starting another");
        }
        if (items[2].revents) {
            auto reply = receive(worker.get(), mono_now() + kSecond);
            if (!reply)
                worker.reset();
            else if (reply->id == 0)
                take_event(*reply);
        }
    }
}

LogdClient::LogdClient(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

LogdClient::~LogdClient() {
    impl_->closing = true;
    uint64_t one = 1;
    static_cast<void>(!::write(impl_->wake.get(), &one, sizeof one));
    if (impl_->thread.joinable()) impl_->thread.join();
}

Result<std::unique_ptr<LogdClient>> LogdClient::open(LogdOptions options) {
    auto impl = std::make_shared<Impl>();
    DROVER_CHECK(make_dirs(join_path(options.state_dir, logd::kStreamsDir), 0700));
    impl->dir_fd.reset(::open(options.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!impl->dir_fd) return Error::from_errno(fmt::format("open {}", options.state_dir));
    impl->wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!impl->wake) return Error::from_errno("eventfd");
    impl->options = std::move(options);
    DROVER_CHECK(impl->ensure_running());
    // One of an earlier version, found after an upgrade: tasks and shims hold the FIFOs while the two change
    // places.
    DROVER_TRY(const logd::Reply found, impl->ask(logd::kKeeperSocket, logd::Request::Hello, 0));
    if (found.version != logd::kWireVersion) {
        log::info("client.logd", "replacing a log keeper of another version", {{"found", found.version}});
        DROVER_TRY(const logd::Reply stopped, impl->ask(logd::kKeeperSocket, logd::Request::Stop, 0));
        static_cast<void>(stopped);
        DROVER_CHECK(impl->ensure_running());
    }
    // Both look whether streams were removed that a killed agent did not tell them about.
    for (const char* name : {logd::kKeeperSocket, logd::kWorkerSocket})
        DROVER_CHECK(impl->ask(name, logd::Request::Hello, 0));
    Impl* raw = impl.get();
    impl->thread = std::thread([raw] { raw->monitor(); });
    return std::unique_ptr<LogdClient>(new LogdClient(std::move(impl)));
}

Status LogdClient::ensure_running() {
    return impl_->ensure_running();
}

Status LogdClient::add(const LogStream& stream) {
    DROVER_CHECK(check(stream));
    DROVER_TRY(const struct stat fifo, make_fifo(stream.fifo));
    const uint64_t key = logd::stream_key(stream.id.data(), stream.id.size());
    const std::string path = impl_->stream_path(key);
    if (auto there = read_stream(path); there && there->id != stream.id)
        return make_error(Code::Internal, "log streams {} and {} have the same key", stream.id, there->id);
    // Not fsynced: a stream is of use during this boot only, its pipe ends with it.
    const std::string temp = fmt::format("{}.{}.tmp", path, stream.name.size());
    DROVER_CHECK(write_file(temp, encode(stream, fifo)));
    if (::rename(temp.c_str(), path.c_str()) != 0)
        return Error::from_errno(fmt::format("rename to {}", path));
    for (const char* name : {logd::kKeeperSocket, logd::kWorkerSocket}) {
        DROVER_TRY(const logd::Reply reply, impl_->ask(name, logd::Request::Open, key));
        if (reply.error_number)
            return Error::from_errno(fmt::format("logd: open log stream {}", stream.id), reply.error_number);
    }
    return {};
}

Status LogdClient::flush(const std::string& id, int64_t timeout_ns) {
    const uint64_t key = logd::stream_key(id.data(), id.size());
    const int64_t deadline = mono_now() + timeout_ns;
    for (;;) {
        const int64_t left = std::max<int64_t>(0, deadline - mono_now());
        auto reply = impl_->ask(logd::kWorkerSocket, logd::Request::Flush, key, left + kSecond,
                                static_cast<uint32_t>(left / kMillisecond));
        if (!reply) return std::move(reply).error();
        if (reply->error_number == 0) return {};
        if (mono_now() >= deadline)
            return make_error(Code::DeadlineExceeded, "log stream {}: {} bytes could not be written yet", id,
                              reply->waiting_bytes);
    }
}

Status LogdClient::remove(const std::string& id) {
    const uint64_t key = logd::stream_key(id.data(), id.size());
    // The file first: a worker or keeper that starts right now must not open the stream again.
    if (::unlink(impl_->stream_path(key).c_str()) != 0 && errno != ENOENT)
        return Error::from_errno(fmt::format("unlink {}", impl_->stream_path(key)));
    for (const char* name : {logd::kWorkerSocket, logd::kKeeperSocket})
        DROVER_CHECK(impl_->ask(name, logd::Request::Close, key));
    std::lock_guard lock(impl_->mutex);
    impl_->full.erase(id);
    return {};
}

Result<std::vector<LogStreamStatus>> LogdClient::status() {
    DROVER_TRY(const UniqueFd fd, impl_->connect(logd::kWorkerSocket));
    DROVER_CHECK(Impl::send(fd.get(), impl_->frame(logd::Request::List)));
    std::vector<LogStreamStatus> all;
    for (const int64_t deadline = mono_now() + kAnswerNs;;) {
        DROVER_TRY(const logd::Reply reply, Impl::receive(fd.get(), deadline));
        if (!reply.more) return all;
        auto stream = read_stream(impl_->stream_path(reply.key));
        if (stream) all.push_back({stream->id, reply.waiting_bytes, reply.file_index, reply.full != 0});
    }
}

std::vector<LogStream> LogdClient::streams() const {
    std::vector<LogStream> all;
    const std::string dir = join_path(impl_->options.state_dir, logd::kStreamsDir);
    auto names = list_dir(dir);
    if (!names) return all;
    for (const std::string& name : *names)
        if (auto stream = read_stream(join_path(dir, name)); stream && name.size() == 16)
            all.push_back(std::move(*stream));
    return all;
}

void LogdClient::on_event(std::function<void(const LogEvent&)> callback) {
    std::vector<LogEvent> missed;
    {
        std::lock_guard lock(impl_->mutex);
        impl_->callback = callback;
        for (const auto& [id, event] : impl_->full) missed.push_back(event);
    }
    for (const LogEvent& event : missed) callback(event);
}

Status LogdClient::shutdown() {
    std::lock_guard lock(impl_->start_mutex);
    impl_->stopped = true;
    auto fd = impl_->connect(logd::kKeeperSocket);
    if (fd && Impl::send(fd->get(), impl_->frame(logd::Request::Stop)))
        static_cast<void>(Impl::receive(fd->get(), mono_now() + kAnswerNs));
    // Their locks are free when they have ended; an orphaned worker is asked by itself.
    for (const char* name : {logd::kWorkerLock, logd::kKeeperLock}) {
        for (const int64_t deadline = mono_now() + kAnswerNs; impl_->lock_held(name); sys::nap_ms(2)) {
            if (auto worker = impl_->connect(logd::kWorkerSocket); worker)
                static_cast<void>(Impl::send(worker->get(), impl_->frame(logd::Request::Stop)));
            if (mono_now() > deadline)
                return make_error(Code::DeadlineExceeded, "logd does not end ({} is held)", name);
        }
    }
    if (!impl_->options.cgroup.empty() && cgroup::mounted().version != cgroup::Version::None) {
        DROVER_TRY(auto group, cgroup::Cgroup::open(impl_->options.cgroup));
        DROVER_CHECK(group.remove(5 * kSecond));
    }
    return {};
}

pid_t LogdClient::keeper_pid() {
    auto fd = impl_->connect(logd::kKeeperSocket);
    if (!fd || !Impl::send(fd->get(), impl_->frame(logd::Request::Hello))) return 0;
    auto reply = Impl::receive(fd->get(), mono_now() + kAnswerNs);
    return reply ? reply->pid : 0;
}

pid_t LogdClient::worker_pid() {
    auto fd = impl_->connect(logd::kWorkerSocket);
    if (!fd || !Impl::send(fd->get(), impl_->frame(logd::Request::Hello))) return 0;
    auto reply = Impl::receive(fd->get(), mono_now() + kAnswerNs);
    return reply ? reply->pid : 0;
}

}  // namespace drover::agent
