// SPDX-License-Identifier: Apache-2.0
// The bounds of the HTTP surface, in one place. HttpOptions may lower or raise those that an operator can
// configure.
#pragma once
#include <cstddef>
#include <cstdint>

namespace drover::api {

constexpr size_t kHeaderBytesMax = 64u << 10;  // request line and headers together
constexpr uint64_t kBodyBytesMax = 32u << 20;  // a job with its source
constexpr size_t kQueryParamsMax = 128;
constexpr size_t kPathBytesMax = 8u << 10;
constexpr int kConnectionsPerClientMax = 100;  // Nomad's http_max_conns_per_client
constexpr int kConnectionsMax = 4096;
constexpr int64_t kHeaderTimeoutMs = 30'000;  // from the first byte of a request (or idle keep-alive: below)
constexpr int64_t kIdleTimeoutMs = 120'000;
constexpr int64_t kBodyTimeoutMs = 60'000;
constexpr int64_t kWriteTimeoutMs = 60'000;      // per write of a response or a stream's piece
constexpr int64_t kBlockingWaitMaxMs = 300'000;  // ?wait= above this is clipped
constexpr int kIoThreads = 2;
constexpr int kBlockingThreadsMax = 8;    // disk, statistics, jobspec parsing
constexpr int kStreamThreadsMax = 128;    // one for each followed log, file or monitor
constexpr size_t kQueuedCallsMax = 1024;  // waiting for one of the above
constexpr size_t kGzipBytesMin = 1024;    // smaller bodies are not worth it
constexpr int64_t kReadAtBytesMax =
    64 << 20;  // one /client/fs/readat or cat piece is streamed, never held whole

static_assert(kPathBytesMax < kHeaderBytesMax);
static_assert(kConnectionsPerClientMax < kConnectionsMax);

}  // namespace drover::api
