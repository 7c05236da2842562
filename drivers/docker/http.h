// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 exchange over the daemon's unix socket: a connection of its own for each, so a hung one
// hinders nobody. Beast parses; reading and writing are poll(2) with a deadline. Errors: Unavailable
// (Retry::Yes) when the daemon cannot be reached or goes away, DeadlineExceeded, Cancelled. One thread at a
// time, except interrupt().
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace drover::drivers {

struct HttpRequest {
    std::string method = "GET";
    std::string target;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    std::string content_type = "application/json";
    std::string body_path;  // not empty: the body is this file
    bool upgrade = false;   // a raw byte stream follows the answer (exec)
};

class HttpExchange {
 public:
    static constexpr int64_t kForever = INT64_MAX;

    // Connects, sends, reads the answer's head. `deadline` is of CLOCK_MONOTONIC.
    static Result<std::unique_ptr<HttpExchange>> begin(const std::string& socket_path,
                                                       const HttpRequest& request, int64_t deadline);
    ~HttpExchange();

    int status() const;
    std::string header(std::string_view name) const;

    // More of the body; empty at its end. Unavailable when the connection breaks before that.
    Result<std::string> read(int64_t deadline);
    // What is there now, without waiting: nullopt when nothing is. For one thread that serves many (see
    // fd()).
    Result<std::optional<std::string>> read_now();
    // The whole body, at most `bytes_max` of it.
    Result<std::string> read_all(int64_t deadline, size_t bytes_max);
    int fd() const;

    // After an upgrade: bytes to the other end, and the end of them.
    Status write(std::string_view bytes, int64_t deadline);
    void finish_writing();
    // Ends what another thread is waiting for in read() and write().
    void interrupt();

 private:
    struct Impl;
    explicit HttpExchange(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

// For a query's value or a path's part.
std::string url_escape(std::string_view text);

}  // namespace drover::drivers
