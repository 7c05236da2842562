// SPDX-License-Identifier: Apache-2.0
// The messages of /v1/client/allocation/:id/exec, one JSON object each, as Nomad's clients speak it:
//   in:  {"stdin":{"data":"b64"}}  {"stdin":{"close":true}}  {"tty_size":{"height":24,"width":80}}  {}
//   out: {"stdout":{"data":"b64"}} {"stderr":{"close":true}} {"exited":true,"result":{"exit_code":3}}
// Used by both ends. Pure; what is no such message is InvalidArgument and says where.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ports/exec_session.h"

namespace drover::api {

std::string encode_exec(const ports::ExecInput& input);
std::string encode_exec(const ports::ExecOutput& output);
Result<ports::ExecInput> decode_exec_input(std::string_view json);
Result<ports::ExecOutput> decode_exec_output(std::string_view json);
// The first message of a client that asked for ws_handshake: {"version":1,"auth_token":"..."}.
Status check_exec_handshake(std::string_view json);

constexpr size_t kExecFrameBytesMax = 1u << 20;  // one message, either way
constexpr size_t kExecPieceBytes = 32u << 10;    // of stdin that the CLI sends at once
constexpr int64_t kExecHeartbeatMs = 10'000;     // an empty message from the client when nothing else is sent
static_assert(kExecPieceBytes * 4 / 3 + 64 < kExecFrameBytesMax);

}  // namespace drover::api
