// SPDX-License-Identifier: Apache-2.0
// Splits a stream of JSON objects that follow one another without separators (logs, files, monitor) into
// frames.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace drover::model {
class StreamFrame;
}

namespace drover::cli {

class FrameReader {
 public:
    // `on_frame` returns false to stop; a heartbeat is a frame without data.
    explicit FrameReader(std::function<bool(const model::StreamFrame&)> on_frame)
        : on_frame_(std::move(on_frame)) {}

    // Takes the next bytes; false to stop: on_frame said so, or what came is no frame (see finish()).
    bool feed(std::string_view bytes);
    // What came in place of a frame is the server's plain text about what went wrong.
    Status finish() const;

 private:
    bool one_frame(std::string_view json);

    std::function<bool(const model::StreamFrame&)> on_frame_;
    std::string pending_;
    size_t scanned_ = 0;  // of pending_
    int depth_ = 0;
    bool in_string_ = false;
    bool escaped_ = false;
    std::string problem_;
};

}  // namespace drover::cli
