// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/log_collector.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "drivers/docker/log_parser.h"
#include "drivers/docker/log_spool.h"

namespace drover::drivers {
namespace {

constexpr char kName[] = "docker";
constexpr int64_t kRetryNs = 200 * kMillisecond;
constexpr int64_t kRetryMaxNs = 2 * kSecond;
constexpr int64_t kIdleNs = kMinute;
constexpr int kFailuresMax = 5;
constexpr size_t kReadsPerTurn = 16;  // so that one task's flood does not starve the others

}  // namespace

// connecting -> reading -> (the stream ends) -> connecting ...; done when a stream that was begun after the
// container's end has ended and all is sent.
class LogCollector::Stream {
 public:
    Stream(Engine& engine, std::string task_id, LogTarget target)
        : engine_(engine), task_id_(std::move(task_id)), target_(std::move(target)) {}
    ~Stream() { complete(); }

    void finish(std::function<void()> done) {
        container_ended_ = true;
        done_.push_back(std::move(done));
        retry_at_ = 0;
    }

    // Does what can be done now. What to poll for is added to `polls`; returns when to come again at the
    // latest.
    int64_t turn(int64_t now, std::vector<pollfd>& polls) {
        if (completed_) {
            complete();
            return now + kIdleNs;
        }
        int64_t again = now + kIdleNs;
        if (!open_spool()) return now + kRetryMaxNs;
        const bool more = read_log(now);
        const bool sent = write_outputs(polls, again, now);
        if (more && !spool_->full()) return now;
        if (exchange_ && !spool_->full()) polls.push_back({exchange_->fd(), POLLIN, 0});
        if (exhausted_ && sent) {
            exchange_.reset();
            complete();
        } else if (!exchange_ && !exhausted_) {
            again = std::min(again, retry_at_);
        }
        return again;
    }

 private:
    bool open_spool() {
        if (spool_) return true;
        auto spool = LogSpool::open(target_.spool_dir);
        if (!spool) return give_up(spool.error()), false;
        spool_ = std::make_unique<LogSpool>(std::move(*spool));
        return true;
    }

    void connect(int64_t now) {
        if (now < retry_at_) return;
        const bool last = container_ended_;
        const LogPosition from = spool_->position();
        auto exchange = engine_.logs(target_.container_id, from.since_ns);
        if (!exchange) {
            // A daemon that shuts down says anything; only "no such container" and an end without a log are
            // final.
            if (exchange.error().code() == Code::NotFound || (last && ++failures_after_end_ > kFailuresMax))
                return give_up(exchange.error());
            retry_after_ns_ = std::min(kRetryMaxNs, std::max(kRetryNs, retry_after_ns_ * 2));
            retry_at_ = now + retry_after_ns_;
            return;
        }
        exchange_ = std::move(*exchange);
        parser_ = std::make_unique<LogParser>(target_.tty);
        cursor_ = LogCursor(from);
        final_ = last;
        retry_after_ns_ = 0;
    }

    // True when there may be more to read at once.
    bool read_log(int64_t now) {
        if (!exchange_ && !exhausted_) connect(now);
        if (!exchange_) return false;
        bool more = true;
        for (size_t i = 0; more && i < kReadsPerTurn && !spool_->full(); ++i) more = read_some(now);
        return more && exchange_;
    }

    bool read_some(int64_t now) {
        auto bytes = exchange_->read_now();
        Status taken;
        auto take = [&](const LogMessage& message) {
            if (taken) taken = this->take(message);
        };
        if (bytes && !*bytes) return false;
        const bool ended = !bytes || (*bytes)->empty();
        Status parsed;
        if (bytes && !ended) parsed = parser_->feed(**bytes, take);
        if (bytes && ended) parsed = parser_->finish(take);
        if (!parsed) return give_up(parsed.error()), false;
        if (taken) taken = spool_->commit(cursor_.position());
        if (!taken) {
            // A full disk: what was not committed is read again when there is room.
            log::warn(kName, "cannot keep a task's log",
                      {{"task", task_id_}, {"error", taken.error().message()}});
            spool_.reset();
            return disconnect(now + kRetryMaxNs);
        }
        if (!ended) return true;
        if (bytes && final_) exhausted_ = true;
        return disconnect(now + kRetryNs);
    }

    bool disconnect(int64_t retry_at) {
        exchange_.reset();
        retry_at_ = container_ended_ ? std::min(retry_at, mono_now()) : retry_at;
        return false;
    }

    Status take(const LogMessage& message) {
        if (!cursor_.is_new(message.timestamp_ns)) return {};
        return spool_->append(message.source, message.bytes);
    }

    // True when nothing is left to send. A reader that is away may come back: the bytes wait for it.
    bool write_outputs(std::vector<pollfd>& polls, int64_t& again, int64_t now) {
        bool all = true;
        for (LogSource source : {LogSource::Stdout, LogSource::Stderr}) {
            if (!spool_ || (spool_->unsent(source) == 0 && !spool_->full())) continue;
            UniqueFd& out = outputs_[static_cast<size_t>(source)];
            if (!out) open_output(source, out);
            auto sent =
                out ? spool_->send(source, out.get()) : Result<bool>(make_error(Code::Unavailable, "closed"));
            if (sent && *sent) continue;
            all = false;
            if (sent) {
                polls.push_back({out.get(), POLLOUT, 0});
            } else {
                if (sent.error().code() != Code::Unavailable)
                    log::warn(kName, "cannot write a task's output",
                              {{"task", task_id_}, {"error", sent.error().message()}});
                out.reset();
                again = std::min(again, now + kRetryNs);
            }
        }
        return all;
    }

    void open_output(LogSource source, UniqueFd& out) const {
        const std::string& path = source == LogSource::Stdout ? target_.stdout_path : target_.stderr_path;
        // Never O_RDWR: without a reader it must fail, not swallow.
        out.reset(
            ::open(path.empty() ? "/dev/null" : path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
        struct stat info {};
        if (out && ::fstat(out.get(), &info) == 0 && S_ISREG(info.st_mode)) ::lseek(out.get(), 0, SEEK_END);
    }

    void give_up(const Error& error) {
        if (error.code() != Code::NotFound)
            log::warn(kName, "a task's log cannot be read", {{"task", task_id_}, {"error", error.message()}});
        exchange_.reset();
        exhausted_ = true;
        if (!spool_) completed_ = true;
    }

    void complete() {
        if (!container_ended_) return;
        completed_ = true;
        auto done = std::move(done_);
        done_.clear();
        for (auto& call : done) call();
    }

    Engine& engine_;
    const std::string task_id_;
    const LogTarget target_;
    std::unique_ptr<LogSpool> spool_;
    std::unique_ptr<HttpExchange> exchange_;
    std::unique_ptr<LogParser> parser_;
    UniqueFd outputs_[2];
    LogCursor cursor_{LogPosition()};
    int64_t retry_at_ = 0;
    int64_t retry_after_ns_ = 0;
    int failures_after_end_ = 0;
    bool final_ = false;      // exchange_ was begun after the container's end
    bool exhausted_ = false;  // no more will come
    bool container_ended_ = false;
    bool completed_ = false;
    std::vector<std::function<void()>> done_;
};

LogCollector::LogCollector(Engine& engine) : engine_(engine) {}

LogCollector::~LogCollector() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake();
    if (thread_.joinable()) thread_.join();
}

void LogCollector::wake() {
    uint64_t one = 1;
    if (wake_) (void)!::write(wake_.get(), &one, sizeof one);
}

void LogCollector::add(const std::string& task_id, LogTarget target) {
    {
        std::lock_guard lock(mutex_);
        if (!wake_) wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!streams_.count(task_id))
            streams_.emplace(task_id, std::make_unique<Stream>(engine_, task_id, std::move(target)));
        if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    }
    wake();
}

void LogCollector::finish(const std::string& task_id, std::function<void()> done) {
    {
        std::lock_guard lock(mutex_);
        auto found = streams_.find(task_id);
        if (found != streams_.end()) {
            found->second->finish(std::move(done));
            done = nullptr;
        }
    }
    if (done) return done();
    wake();
}

void LogCollector::remove(const std::string& task_id) {
    std::unique_ptr<Stream> stream;
    {
        std::lock_guard lock(mutex_);
        auto found = streams_.find(task_id);
        if (found == streams_.end()) return;
        stream = std::move(found->second);
        streams_.erase(found);
    }
    wake();
}

void LogCollector::run() {
    std::vector<pollfd> polls;
    for (;;) {
        polls.assign(1, {wake_.get(), POLLIN, 0});
        int64_t again = mono_now() + kIdleNs;
        {
            std::lock_guard lock(mutex_);
            if (stopping_) return;
            for (auto& [id, stream] : streams_) again = std::min(again, stream->turn(mono_now(), polls));
        }
        int64_t wait = std::max<int64_t>(0, again - mono_now());
        ::poll(polls.data(), polls.size(), wait == 0 ? 0 : static_cast<int>(wait / kMillisecond + 1));
        uint64_t count;
        (void)!::read(wake_.get(), &count, sizeof count);
    }
}

}  // namespace drover::drivers
