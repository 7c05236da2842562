// SPDX-License-Identifier: Apache-2.0
// The body of the daemon's /logs answer, cut into messages. A message is what the daemon logged at once: a
// line with its newline, or a piece of one that was longer than the daemon's buffer. Pure: bytes in, messages
// out; fuzzed.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::drivers {

enum class LogSource : int { Stdout = 0, Stderr = 1 };

struct LogMessage {
    LogSource source = LogSource::Stdout;
    int64_t timestamp_ns = 0;
    std::string_view bytes;  // without the timestamp; valid during the call
};

// Up to where a log was read. Timestamps are neither unique nor in order: stdout and stderr get theirs before
// they queue for the daemon's file. So one asks again from a moment a little back (`since_ns`) and passes
// over what was taken then: the first `count` messages from there on. `newest_ns` bounds that, should the
// daemon have dropped its oldest meanwhile.
struct LogPosition {
    int64_t since_ns = 0;
    uint64_t count = 0;
    int64_t newest_ns = 0;
    friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// Which of the messages that come from `since_ns` on are new, and the position after them.
class LogCursor {
 public:
    explicit LogCursor(const LogPosition& from) : from_(from), now_(from), skip_(from.count) {}
    bool is_new(int64_t timestamp_ns);
    LogPosition position() const;

 private:
    LogPosition from_, now_;
    uint64_t skip_;
    std::map<int64_t, uint64_t> counts_;  // messages by tenth of a second, from now_.since_ns on
};

// The daemon's way to carry two streams in one: frames with a head of 8 bytes.
class FrameParser {
 public:
    using Out = std::function<Status(LogSource source, std::string_view payload)>;
    Status feed(std::string_view bytes, const Out& out);

 private:
    std::string pending_;
};

class LogParser {
 public:
    // tty: one raw stream; else frames.
    explicit LogParser(bool tty) : tty_(tty) {}

    // InvalidArgument: this is not what the daemon writes; the stream is of no use any more.
    Status feed(std::string_view bytes, const std::function<void(const LogMessage&)>& out);
    // The stream has ended cleanly: a last line without a newline is a message too.
    Status finish(const std::function<void(const LogMessage&)>& out);

 private:
    Status frame(LogSource source, std::string_view payload,
                 const std::function<void(const LogMessage&)>& out);
    size_t raw_message_size(std::string_view bytes) const;

    const bool tty_;
    FrameParser frames_;
    std::string pending_;  // of a raw stream
};

}  // namespace drover::drivers
