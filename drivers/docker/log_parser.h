// SPDX-License-Identifier: Apache-2.0
// The body of the daemon's /logs answer, cut into messages. A message is what the daemon logged at once: a
// line with its newline, or a piece of one that was longer than the daemon's buffer. Pure: bytes in, messages
// out; fuzzed.
#pragma once
#include <cstdint>
#include <functional>
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

// Up to where a log was read: the newest timestamp, and how many messages carry it. Timestamps are not
// unique, so both are needed to ask for "what comes after" exactly.
struct LogPosition {
    int64_t timestamp_ns = 0;
    uint64_t count = 0;
    void advance(int64_t timestamp) {
        if (timestamp != timestamp_ns) timestamp_ns = timestamp, count = 0;
        ++count;
    }
    friend bool operator==(const LogPosition&, const LogPosition&) = default;
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
