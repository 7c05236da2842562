// SPDX-License-Identifier: Apache-2.0
// The two JSON line protocols of a virtual machine, each on a unix socket: QMP, spoken by qemu itself, and
// the guest agent's, spoken by a program inside the guest. Both ends are what a hostile guest may have taken
// over: every wait has a deadline, every answer a limit, and nothing in one is trusted beyond its type.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace drover::drivers {

// One connection: connect, ask, forget. qemu serves one client at a time, so none is kept.
class QmpClient {
 public:
    enum class Kind { Monitor, GuestAgent };
    // `dir`/`name`, whatever their length. Unavailable: nobody listens, or nobody answers in time.
    static Result<QmpClient> connect(const std::string& dir, const char* name, Kind kind,
                                     int64_t deadline_ns);

    // The "return" of a command; the Error holds the other side's words. deadline: mono_now() time.
    Result<nlohmann::json> call(const std::string& command, nlohmann::json arguments, int64_t deadline_ns);

 private:
    QmpClient(UniqueFd fd, std::string peer) : fd_(std::move(fd)), peer_(std::move(peer)) {}
    Status send(const nlohmann::json& message, int64_t deadline_ns);
    Result<std::string> line(int64_t deadline_ns);
    Status greet_monitor(int64_t deadline_ns);
    Status greet_agent(int64_t deadline_ns);

    UniqueFd fd_;
    std::string peer_;
    std::string received_;
};

}  // namespace drover::drivers
