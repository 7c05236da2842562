// SPDX-License-Identifier: Apache-2.0
// Value <-> msgpack, in the form Nomad's hosts send configs in. Used by the SDK on both ends of the protocol. Input is
// foreign: bounded depth and size, an Error with the byte offset for everything that is not right.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "drover/value.h"

namespace drover::sdk {

// Maps with sorted keys, smallest integer forms, doubles as float64.
std::string msgpack_encode(const Value& value);

// Exactly one value and nothing behind it. bin is read as text; an unsigned integer beyond int64 becomes decimal text;
// ext types and maps with keys that are not text are refused.
Result<Value> msgpack_decode(std::string_view bytes);

}  // namespace drover::sdk
