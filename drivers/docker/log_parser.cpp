// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/log_parser.h"

#include "base/clock.h"

namespace drover::drivers {
namespace {

constexpr size_t kHead = 8;  // stream, 3 zeros, length in big endian
constexpr int64_t kTenth = 100 * kMillisecond;
constexpr int64_t kDisorder = kSecond;   // how late a message may come behind others with newer timestamps
constexpr size_t kFrameMax = 64u << 20;  // far more than a daemon's buffer
constexpr size_t kTimestamp = 30;        // "2026-11-21T10:00:00.123456789Z"
constexpr size_t kKeep = 256 << 10;      // of an empty buffer
constexpr size_t kRawMessageMax = 16 << 10;  // longer lines come in pieces of this size

Result<std::pair<int64_t, std::string_view>> cut_timestamp(std::string_view payload) {
    if (payload.size() > kTimestamp && payload[kTimestamp] == ' ') {
        auto at = parse_rfc3339(payload.substr(0, kTimestamp));
        if (at) return std::pair(*at, payload.substr(kTimestamp + 1));
    }
    return make_error(Code::InvalidArgument, "container log: expected a timestamp, found \"{}\"",
                      payload.substr(0, kTimestamp));
}

}  // namespace

Status LogParser::frame(LogSource source, std::string_view payload,
                        const std::function<void(const LogMessage&)>& out) {
    DROVER_TRY(auto parts, cut_timestamp(payload));
    out({.source = source, .timestamp_ns = parts.first, .bytes = parts.second});
    return {};
}

// Of the first message in a raw stream with its timestamp; 0 while it is not complete.
size_t LogParser::raw_message_size(std::string_view bytes) const {
    const size_t longest = kTimestamp + 1 + kRawMessageMax;
    size_t newline = bytes.substr(0, longest).find('\n');
    if (newline != std::string_view::npos) return newline + 1;
    // A line of exactly the daemon's buffer is followed by its newline, not by a next piece.
    if (bytes.size() <= longest) return 0;
    return bytes[longest] == '\n' ? longest + 1 : longest;
}

Status LogParser::feed(std::string_view bytes, const std::function<void(const LogMessage&)>& out) {
    if (!tty_)
        return frames_.feed(
            bytes, [&](LogSource source, std::string_view payload) { return frame(source, payload, out); });
    pending_ += bytes;
    std::string_view rest = pending_;
    while (size_t size = raw_message_size(rest)) {
        DROVER_CHECK(frame(LogSource::Stdout, rest.substr(0, size), out));
        rest.remove_prefix(size);
    }
    pending_.erase(0, pending_.size() - rest.size());
    return {};
}

Status LogParser::finish(const std::function<void(const LogMessage&)>& out) {
    std::string rest;
    rest.swap(pending_);
    if (rest.empty()) return {};
    return frame(LogSource::Stdout, rest, out);
}

bool LogCursor::is_new(int64_t timestamp_ns) {
    bool fresh = true;
    if (skip_ > 0) {
        if (timestamp_ns > from_.newest_ns) {
            skip_ = 0;
        } else if (timestamp_ns < from_.since_ns) {
            return false;  // newer daemons filter only up to the first message that is late enough
        } else {
            --skip_;
            fresh = false;
        }
    }
    now_.newest_ns = std::max(now_.newest_ns, timestamp_ns);
    now_.since_ns = std::max(now_.since_ns, (now_.newest_ns - kDisorder) / kTenth * kTenth);
    if (timestamp_ns >= now_.since_ns) ++counts_[timestamp_ns / kTenth];
    while (!counts_.empty() && counts_.begin()->first < now_.since_ns / kTenth)
        counts_.erase(counts_.begin());
    return fresh;
}

LogPosition LogCursor::position() const {
    if (skip_ > 0) return from_;
    LogPosition out = now_;
    out.count = 0;
    for (const auto& [tenth, count] : counts_) out.count += count;
    return out;
}

Status FrameParser::feed(std::string_view bytes, const Out& out) {
    pending_ += bytes;
    std::string_view rest = pending_;
    while (rest.size() >= kHead) {
        auto byte = [&](size_t i) { return static_cast<size_t>(static_cast<unsigned char>(rest[i])); };
        const size_t length = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
        if (byte(0) > 2 || length > kFrameMax)
            return make_error(Code::InvalidArgument,
                              "container's output: expected a frame, found stream {}, {} bytes", byte(0),
                              length);
        if (rest.size() < kHead + length) break;
        DROVER_CHECK(out(byte(0) == 2 ? LogSource::Stderr : LogSource::Stdout, rest.substr(kHead, length)));
        rest.remove_prefix(kHead + length);
    }
    pending_.erase(0, pending_.size() - rest.size());
    if (pending_.empty() && pending_.capacity() > kKeep) std::string().swap(pending_);
    return {};
}

}  // namespace drover::drivers
