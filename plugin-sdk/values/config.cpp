// SPDX-License-Identifier: Apache-2.0
#include "drover/config.h"

#include <cmath>

#include "base/clock.h"
#include "base/strings.h"
#include "plugin-sdk/wire/msgpack.h"

namespace drover::sdk::config_detail {
namespace {

// What was found, short enough for a message.
std::string describe(const Value& value) {
    if (const std::string* text = value.as_string()) {
        constexpr size_t kShown = 40;
        return fmt::format("text (\"{}{}\")", text->substr(0, kShown), text->size() > kShown ? "..." : "");
    }
    if (const int64_t* number = value.as_int()) return fmt::format("a number ({})", *number);
    if (const double* number = value.as_double()) return fmt::format("a number ({})", *number);
    if (const bool* flag = value.as_bool()) return fmt::format("a boolean ({})", *flag);
    return std::string(value.kind_name());
}

std::string_view place(const std::string& path) { return path.empty() ? std::string_view("config") : path; }

}  // namespace

std::string join_path(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
}

Error wrong_kind(const std::string& path, std::string_view expected, const Value& found) {
    return make_error(Code::InvalidArgument, "{}: expected {}, found {}", place(path), expected, describe(found));
}

Error out_of_range(const std::string& path, int64_t found, int64_t lowest, uint64_t highest) {
    return make_error(Code::InvalidArgument, "{}: expected a number from {} to {}, found {}", place(path), lowest,
                      highest, found);
}

Result<Value> decode_msgpack(std::string_view bytes) { return msgpack_decode(bytes); }
std::string encode_msgpack(const Value& value) { return msgpack_encode(value); }

Status decode(const Value& value, const std::string& path, std::string& out) {
    const std::string* text = value.as_string();
    if (!text) return wrong_kind(path, "text", value);
    out = *text;
    return {};
}

Status decode(const Value& value, const std::string& path, bool& out) {
    const bool* flag = value.as_bool();
    if (!flag) return wrong_kind(path, "a boolean", value);
    out = *flag;
    return {};
}

// Numbers come in any form: an integer, a double that happens to be one, or decimal text (hosts send what no double
// holds exactly that way).
Status decode(const Value& value, const std::string& path, int64_t& out) {
    if (const int64_t* number = value.as_int()) {
        out = *number;
        return {};
    }
    if (const double* number = value.as_double()) {
        constexpr double kLimit = 9223372036854775808.0;  // 2^63
        if (std::trunc(*number) == *number && *number >= -kLimit && *number < kLimit) {
            out = static_cast<int64_t>(*number);
            return {};
        }
    }
    if (const std::string* text = value.as_string()) {
        if (auto number = parse_int(*text)) {
            out = *number;
            return {};
        }
    }
    return wrong_kind(path, "a whole number", value);
}

Status decode(const Value& value, const std::string& path, double& out) {
    if (const double* number = value.as_double()) {
        out = *number;
        return {};
    }
    if (const int64_t* number = value.as_int()) {
        out = static_cast<double>(*number);
        return {};
    }
    if (const std::string* text = value.as_string()) {
        if (auto number = parse_double(*text)) {
            out = *number;
            return {};
        }
    }
    return wrong_kind(path, "a number", value);
}

Status decode(const Value& value, const std::string& path, std::chrono::nanoseconds& out) {
    const std::string* text = value.as_string();
    if (!text) return wrong_kind(path, "a duration such as \"10s\"", value);
    auto ns = parse_duration(*text);
    if (!ns) return wrong_kind(path, "a duration such as \"10s\"", value);
    out = std::chrono::nanoseconds(*ns);
    return {};
}

Value encode(std::chrono::nanoseconds v) { return format_duration(v.count()); }

}  // namespace drover::sdk::config_detail
