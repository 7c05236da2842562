// SPDX-License-Identifier: Apache-2.0
#include "agent/logs/follow.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/strings.h"

namespace drover::agent {
namespace {

constexpr int kHeartbeatMs = 1000;

Status check_origin(const std::string& origin, int64_t offset) {
    if (origin != "start" && origin != "end")
        return make_error(Code::InvalidArgument, "origin must be start or end, not {:?}", origin);
    if (offset < 0) return make_error(Code::InvalidArgument, "offset must not be negative");
    return {};
}

Error ended() {
    return Error(Code::OutOfRange, "end of stream");
}

// Wakes when something in a directory changes, when told to stop, or after a heartbeat's time.
class Watcher {
 public:
    static Result<std::unique_ptr<Watcher>> open(const std::string& directory) {
        auto watcher = std::make_unique<Watcher>();
        watcher->stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!watcher->stop_) return Error::from_errno("eventfd");
        watcher->notify_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (!watcher->notify_) return Error::from_errno("inotify");
        if (::inotify_add_watch(
                watcher->notify_.get(), directory.c_str(),
                IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_ATTRIB) < 0) {
            return Error::from_errno(fmt::format("watch {}", directory));
        }
        return watcher;
    }

    // Nothing when there may be something new to read, an empty frame (a heartbeat) after kHeartbeatMs
    // without, the end of the stream once stopped.
    Result<std::unique_ptr<model::StreamFrame>> wait() {
        pollfd fds[2] = {{stop_.get(), POLLIN, 0}, {notify_.get(), POLLIN, 0}};
        const int n = ::poll(fds, 2, kHeartbeatMs);
        if (fds[0].revents != 0) return ended();
        if (n <= 0) return std::make_unique<model::StreamFrame>();
        char buffer[8192];
        while (::read(notify_.get(), buffer, sizeof buffer) > 0) {
        }
        return std::unique_ptr<model::StreamFrame>();
    }

    void stop() {
        const uint64_t one = 1;
        (void)!::write(stop_.get(), &one, sizeof one);
    }
    bool stopped() const {
        pollfd fd{stop_.get(), POLLIN, 0};
        return ::poll(&fd, 1, 0) > 0;
    }

 private:
    UniqueFd stop_;
    UniqueFd notify_;
};

std::unique_ptr<model::StreamFrame> event_frame(const std::string& path, int64_t offset, const char* event) {
    auto frame = std::make_unique<model::StreamFrame>();
    frame->set_file(path);
    frame->set_offset(offset);
    frame->set_file_event(event);
    return frame;
}

// One open file and the position in it.
struct Source {
    std::string path;
    UniqueFd fd;
    int64_t offset = 0;

    // The next bytes; an empty pointer at the end of the file.
    Result<std::unique_ptr<model::StreamFrame>> read() {
        std::string bytes(kFrameBytesMax, '\0');
        const ssize_t n = ::pread(fd.get(), bytes.data(), bytes.size(), offset);
        if (n < 0) return Error::from_errno(fmt::format("read {}", path));
        if (n == 0) return std::unique_ptr<model::StreamFrame>();
        bytes.resize(static_cast<size_t>(n));
        offset += n;
        auto frame = std::make_unique<model::StreamFrame>();
        frame->set_file(path);
        frame->set_offset(offset);
        frame->set_data(std::move(bytes));
        return frame;
    }

    struct stat stat() const {
        struct stat st {};
        (void)::fstat(fd.get(), &st);
        return st;
    }
};

class FileStream : public ports::FrameStream {
 public:
    FileStream(Source source, bool follow, std::unique_ptr<Watcher> watcher)
        : source_(std::move(source)), follow_(follow), watcher_(std::move(watcher)) {}

    Result<std::unique_ptr<model::StreamFrame>> next() override {
        while (true) {
            if (ended_ || watcher_->stopped()) return ended();
            DROVER_TRY(auto frame, source_.read());
            if (frame) return frame;
            if (!follow_) return ended();
            const auto st = source_.stat();
            if (st.st_size < source_.offset) {
                source_.offset = 0;
                return event_frame(source_.path, 0, "file truncated");
            }
            if (st.st_nlink == 0) {
                ended_ = true;
                return event_frame(source_.path, source_.offset, "file deleted");
            }
            DROVER_TRY(auto heartbeat, watcher_->wait());
            if (heartbeat) return heartbeat;
        }
    }
    void cancel() override { watcher_->stop(); }

 private:
    Source source_;
    bool follow_;
    std::unique_ptr<Watcher> watcher_;
    bool ended_ = false;
};

class LogFiles {
 public:
    LogFiles(AllocDir dir, std::string name) : dir_(std::move(dir)), name_(std::move(name)) {}

    Result<std::map<uint64_t, int64_t>> list() const {  // number -> size
        DROVER_TRY(const auto infos, dir_.list("alloc/logs"));
        std::map<uint64_t, int64_t> files;
        for (const auto& info : infos) {
            if (info.is_dir() || !starts_with(info.name(), name_ + ".")) continue;
            const auto number = parse_uint(std::string_view(info.name()).substr(name_.size() + 1));
            if (number) files[*number] = info.size();
        }
        return files;
    }
    Result<Source> open(uint64_t number, int64_t offset) const {
        Source source;
        source.path = fmt::format("alloc/logs/{}.{}", name_, number);
        DROVER_TRY(source.fd, dir_.open(source.path));
        source.offset = offset;
        return source;
    }

 private:
    AllocDir dir_;
    std::string name_;
};

class RotatedStream : public ports::FrameStream {
 public:
    RotatedStream(LogFiles files, bool follow, std::unique_ptr<Watcher> watcher)
        : files_(std::move(files)), follow_(follow), watcher_(std::move(watcher)) {}

    Status begin(const std::string& origin, int64_t offset) {
        DROVER_TRY(const auto files, files_.list());
        if (files.empty()) return {};
        if (origin == "start") {
            number_ = files.begin()->first;
            for (const auto& [number, size] : files) {
                number_ = number;
                if (offset <= size) break;
                if (number != files.rbegin()->first) offset -= size;
            }
            offset = std::min(offset, files.at(number_));
        } else {
            int64_t back = offset;
            for (auto file = files.rbegin(); file != files.rend(); ++file) {
                number_ = file->first;
                offset = std::max<int64_t>(0, file->second - back);
                if (back <= file->second) break;
                back -= file->second;
            }
        }
        return open(number_, offset);
    }

    Result<std::unique_ptr<model::StreamFrame>> next() override {
        while (true) {
            if (watcher_->stopped()) return ended();
            if (source_) {
                DROVER_TRY(auto frame, source_->read());
                if (frame) return frame;
            }
            DROVER_TRY(const bool moved, advance());
            if (moved) continue;
            if (!follow_) return ended();
            DROVER_TRY(auto heartbeat, watcher_->wait());
            if (heartbeat) return heartbeat;
        }
    }
    void cancel() override { watcher_->stop(); }

 private:
    Status open(uint64_t number, int64_t offset) {
        auto source = files_.open(number, offset);
        if (!source && source.error().code() == Code::NotFound) return {};  // rotated away meanwhile
        if (!source) return std::move(source).error();
        source_ = std::move(*source);
        number_ = number;
        return {};
    }

    // To the next file, once the present one will not grow any more: it has a successor and nothing was left
    // in it.
    Result<bool> advance() {
        DROVER_TRY(const auto files, files_.list());
        const auto next = source_ ? files.upper_bound(number_) : files.begin();
        if (next == files.end()) return false;
        if (source_ && source_->stat().st_size > source_->offset) return true;  // grew before it was finished
        DROVER_CHECK(open(next->first, 0));
        return true;
    }

    LogFiles files_;
    bool follow_;
    std::unique_ptr<Watcher> watcher_;
    std::optional<Source> source_;
    uint64_t number_ = 0;
};

}  // namespace

Result<std::unique_ptr<ports::FrameStream>> follow_file(const AllocDir& dir, const std::string& path,
                                                        const std::string& origin, int64_t offset,
                                                        bool follow) {
    DROVER_CHECK(check_origin(origin, offset));
    Source source;
    source.path = path;
    DROVER_TRY(source.fd, dir.open(path));
    const int64_t size = source.stat().st_size;
    source.offset = origin == "start" ? std::min(offset, size) : std::max<int64_t>(0, size - offset);
    DROVER_TRY(auto watcher, Watcher::open(fmt::format("/proc/self/fd/{}", source.fd.get())));
    return std::unique_ptr<ports::FrameStream>(new FileStream(std::move(source), follow, std::move(watcher)));
}

Result<std::unique_ptr<ports::FrameStream>> follow_logs(const AllocDir& dir, const std::string& name,
                                                        const std::string& origin, int64_t offset,
                                                        bool follow) {
    DROVER_CHECK(check_origin(origin, offset));
    DROVER_TRY(auto watcher, Watcher::open(dir.logs()));
    auto stream = std::make_unique<RotatedStream>(LogFiles(dir, name), follow, std::move(watcher));
    DROVER_CHECK(stream->begin(origin, offset));
    return std::unique_ptr<ports::FrameStream>(std::move(stream));
}

}  // namespace drover::agent
