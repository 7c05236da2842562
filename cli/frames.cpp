// SPDX-License-Identifier: Apache-2.0
#include "cli/frames.h"

#include "base/strings.h"
#include "model/json/json.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {
constexpr size_t kFrameBytesMax = 1u << 20;
}

bool FrameReader::feed(std::string_view bytes) {
    if (!problem_.empty()) {
        problem_ += bytes;
        return problem_.size() < kFrameBytesMax;
    }
    pending_ += bytes;
    size_t start = 0;
    for (; scanned_ < pending_.size(); ++scanned_) {
        char c = pending_[scanned_];
        if (in_string_) {
            if (escaped_)
                escaped_ = false;
            else if (c == '\\')
                escaped_ = true;
            else if (c == '"')
                in_string_ = false;
            continue;
        }
        if (depth_ == 0 && (c == ' ' || c == '\n' || c == '\r')) continue;
        if (depth_ == 0 && c != '{') {
            problem_ = pending_.substr(scanned_);
            return true;
        }
        if (c == '"') in_string_ = true;
        if (c == '{') ++depth_;
        if (c == '}' && --depth_ == 0) {
            if (!one_frame(std::string_view(pending_).substr(start, scanned_ + 1 - start))) return false;
            start = scanned_ + 1;
        }
    }
    pending_.erase(0, start);
    scanned_ -= start;
    if (pending_.size() <= kFrameBytesMax) return true;
    problem_ = fmt::format("a frame of more than {} bytes", kFrameBytesMax);
    return false;
}

bool FrameReader::one_frame(std::string_view json) {
    json = trim(json);
    model::StreamFrame frame;
    if (auto decoded = model::json::decode(json, frame); !decoded) {
        problem_ = decoded.error().message();
        return false;
    }
    return on_frame_(frame);
}

Status FrameReader::finish() const {
    if (problem_.empty()) return {};
    return make_error(Code::Internal, "{}", trim(problem_));
}

}  // namespace drover::cli
