// SPDX-License-Identifier: Apache-2.0
// The one codec between the schema's messages and Nomad's JSON, driven by the (json) options of the fields.
// Used by api/ (bodies), cli/ (-json, -output), jobspec/ (API JSON job files). Thread-safe; never throws; no
// per-type code.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/fwd.h"

namespace drover::model::json {

// Nomad has two sets of types. Server: what /v1 answers, where unset scalars are zero values. Api: what
// clients write
// (`job run -output`, `job inspect`, /v1/jobs/parse), where unset scalars are null.
enum class View { Server, Api };

struct EncodeOptions {
    View view = View::Server;
    int indent = 0;  // spaces per level; 0: one line
};

// Keys are sorted by name. int64 are numbers, durations nanoseconds, times RFC 3339 (null when zero), bytes
// base64.
std::string encode(const google::protobuf::Message& message, const EncodeOptions& options = {});
// Appends, for bodies made of several parts.
void encode_to(std::string& out, const google::protobuf::Message& message, const EncodeOptions& options = {},
               int depth = 0);

// A JSON array of messages: a RepeatedPtrField, a vector of messages or of (smart) pointers to them. [] when
// empty.
template <class Range>
std::string encode_list(const Range& items, const EncodeOptions& options = {});

// Reads one JSON value into `message` (merged over what it holds; pass an empty one). Fields match by their
// name without regard to case, unknown ones are ignored, null is absent. Refused with the place: broken JSON
// (line and column), wrong types (`TaskGroups[0].Count: expected a number, found string "x"`), nesting over
// 128, text over 64 MiB.
Status decode(std::string_view text, google::protobuf::Message& message);

// The same for an array of messages, each handed to `add()`, which returns the message to fill.
template <class Add>
Status decode_list(std::string_view text, Add&& add);

// Free-form values. Integers stay exact; numbers that are neither int64 nor a double keep their decimal text.
Result<Value> parse_value(std::string_view text);
std::string encode_value(const Value& value, int indent = 0);
std::string encode_value(const MapValue& value, int indent = 0);

// A JSON string literal with its quotes.
void append_quoted(std::string& out, std::string_view text);

namespace detail {
void list_begin(std::string& out, const EncodeOptions& options, bool empty);
void list_item(std::string& out, const google::protobuf::Message& message, const EncodeOptions& options,
               bool first);
void list_end(std::string& out, const EncodeOptions& options, bool empty);
Status decode_list(std::string_view text, void* context, google::protobuf::Message& (*add)(void*));

template <class T>
const auto& message_of(const T& item) {
    if constexpr (requires { *item; })
        return *item;
    else
        return item;
}
}  // namespace detail

template <class Range>
std::string encode_list(const Range& items, const EncodeOptions& options) {
    std::string out;
    bool empty = items.begin() == items.end();
    detail::list_begin(out, options, empty);
    bool first = true;
    for (const auto& item : items) {
        detail::list_item(out, detail::message_of(item), options, first);
        first = false;
    }
    detail::list_end(out, options, empty);
    return out;
}

template <class Add>
Status decode_list(std::string_view text, Add&& add) {
    auto call = [](void* context) -> google::protobuf::Message& {
        return (*static_cast<std::remove_reference_t<Add>*>(context))();
    };
    return detail::decode_list(text, &add, call);
}

}  // namespace drover::model::json
