// SPDX-License-Identifier: Apache-2.0
// Engine: the Docker Engine API as this driver needs it, over the daemon's unix socket, in the newest version
// that both sides speak. Errors carry the daemon's own words; Unavailable (Retry::Yes): no daemon.
// Thread-safe, no threads.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "drivers/docker/http.h"

namespace drover::drivers {

using StringMap = std::map<std::string, std::string>;

struct DaemonInfo {
    std::string version;
    std::string os_type;
    std::string bridge_ip;
    std::string default_runtime;
    std::vector<std::string> runtimes;
    int64_t cpus = 0;
};

struct ContainerInfo {
    std::string id;
    std::string name;  // without the slash
    std::string image_id;
    std::string status;  // created, running, paused, restarting, removing, exited, dead
    std::string error;   // why it could not be started
    std::string stop_signal;
    std::string network;  // the first one with an address
    std::string ip;
    std::string sandbox_key;  // path of its network namespace
    StringMap labels;
    int64_t pid = 0;
    int64_t started_ns = 0;   // unix; 0: never
    int64_t finished_ns = 0;  // unix; 0: not yet
    int32_t exit_code = 0;
    bool running = false;
    bool oom_killed = false;
    bool tty = false;
};

struct ContainerSummary {
    std::string id;
    std::string state;
    int64_t created_unix_s = 0;
    StringMap labels;
};

struct ExecInfo {
    bool running = false;
    int32_t exit_code = 0;
    int64_t pid = 0;
};

// One message of a pull's or a load's progress.
struct Progress {
    std::string id;  // the layer
    std::string status;
    int64_t current = 0;
    int64_t total = 0;
};

class Engine {
 public:
    explicit Engine(std::string socket_path) : socket_path_(std::move(socket_path)) {}

    Result<DaemonInfo> info();

    // --- images: `reference` as docker takes it, or "sha256:..."
    Result<std::string> image_id(const std::string& reference);
    // `auth_header`: what X-Registry-Auth carries, may be empty. DeadlineExceeded: no end by `deadline`, or
    // no progress for `activity_ns`.
    Status pull(const std::string& repository, const std::string& tag_or_digest,
                const std::string& auth_header, int64_t deadline, int64_t activity_ns,
                const std::function<void(const Progress&)>& progress);
    Status load(const std::string& archive_path, int64_t deadline);
    Status import(const std::string& tar, const std::string& repository, const std::string& tag,
                  const std::vector<std::string>& changes);
    Status remove_image(const std::string& reference);

    // --- containers
    // AlreadyExists when the name is taken.
    Result<std::string> create(const std::string& name, const nlohmann::json& body);
    Status start(const std::string& id);
    Result<ContainerInfo> inspect(const std::string& id_or_name);
    Status kill(const std::string& id, const std::string& signal);  // FailedPrecondition when it does not run
    Status remove(const std::string& id);  // with force and its anonymous volumes; gone is Ok
    Result<std::vector<ContainerSummary>> list(const std::vector<std::string>& labels);

    // --- exec
    Result<std::string> create_exec(const std::string& id, const std::vector<std::string>& command, bool tty,
                                    bool input);
    Result<std::unique_ptr<HttpExchange>> start_exec(const std::string& exec_id, bool tty);
    Status resize_exec(const std::string& exec_id, int rows, int columns);
    Result<ExecInfo> inspect_exec(const std::string& exec_id);

    // --- streams that stay open
    // Container events of containers with this label, from `since` (unix seconds) on.
    Result<std::unique_ptr<HttpExchange>> events(const std::string& label, int64_t since);
    // stdout and stderr with timestamps, followed; from `since_ns` on, inclusive (0: all).
    Result<std::unique_ptr<HttpExchange>> logs(const std::string& id, int64_t since_ns);

 private:
    Result<std::string> api_version();
    Result<std::unique_ptr<HttpExchange>> begin(HttpRequest request, int64_t deadline);
    Result<std::string> call(HttpRequest request, int64_t timeout_ns);
    Status read_progress(HttpExchange& exchange, int64_t deadline, int64_t activity_ns,
                         const std::function<void(const Progress&)>& progress);

    const std::string socket_path_;
    std::mutex mutex_;
    std::string api_version_;  // empty: not asked yet
};

}  // namespace drover::drivers
