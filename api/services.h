// SPDX-License-Identifier: Apache-2.0
// What every route may use: the options (ports and hooks), the two pools, and the counters of this server.
// One per HttpServer, outlives all exchanges.
#pragma once
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "api/http_server.h"
#include "api/workers.h"

namespace drover::api {

struct Services {
    explicit Services(HttpOptions options_in)
        : options(std::move(options_in)),
          blocking(kBlockingThreadsMax, kQueuedCallsMax),
          streams(kStreamThreadsMax, 0) {}

    const HttpOptions options;
    Workers blocking;
    Workers streams;
    std::atomic<uint64_t> requests{0};
    std::atomic<uint64_t> errors{0};
    std::atomic<int64_t> connections{0};

    // Exchanges alive; stop() waits until there are none.
    std::mutex mutex;
    std::condition_variable changed;
    int64_t exchanges = 0;
};

}  // namespace drover::api
