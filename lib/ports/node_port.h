// SPDX-License-Identifier: Apache-2.0
// NodePort: what the HTTP API asks of the client agent in its own process: files and logs of allocations,
// statistics, lifecycle requests. Implemented by agent/node_service.cpp. Thread-safe; may block on the disk,
// so the API calls it from its blocking pool. Unknown allocations are NotFound "unknown allocation ID
// \"...\"".
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace drover::model {
class AllocFileInfo;
class AllocResourceUsage;
class HostStats;
class Node;
class StreamFrame;
}  // namespace drover::model

namespace drover::ports {

struct LogRequest {
    std::string alloc_id;
    std::string task;
    std::string type = "stdout";  // or "stderr"
    bool follow = false;
    std::string origin = "start";  // or "end"
    int64_t offset = 0;            // bytes from the origin
};

// A stream being followed. `next` blocks until there is a frame (an empty one is a heartbeat, about each
// second) and answers OutOfRange when the stream has ended. `cancel` may be called from any thread and ends
// `next`.
class FrameStream {
 public:
    virtual ~FrameStream() = default;
    virtual Result<std::unique_ptr<model::StreamFrame>> next() = 0;
    virtual void cancel() = 0;
};

class NodePort {
 public:
    virtual ~NodePort() = default;

    virtual std::string node_id() const = 0;
    virtual bool has_alloc(const std::string& alloc_id) const = 0;

    // Paths are inside the allocation directory; leaving it, also by a symlink, is PermissionDenied.
    virtual Result<std::vector<model::AllocFileInfo>> list_files(const std::string& alloc_id,
                                                                 const std::string& path) = 0;
    virtual Result<model::AllocFileInfo> stat_file(const std::string& alloc_id, const std::string& path) = 0;
    virtual Result<UniqueFd> open_file(const std::string& alloc_id, const std::string& path) = 0;
    virtual Result<std::unique_ptr<FrameStream>> stream_file(const std::string& alloc_id,
                                                             const std::string& path,
                                                             const std::string& origin, int64_t offset,
                                                             bool follow) = 0;
    virtual Result<std::unique_ptr<FrameStream>> stream_logs(const LogRequest& request) = 0;

    virtual Result<model::AllocResourceUsage> alloc_stats(const std::string& alloc_id,
                                                          const std::string& task) = 0;
    virtual Result<model::HostStats> host_stats() = 0;

    // An empty task means all tasks of the allocation.
    virtual Status restart_alloc(const std::string& alloc_id, const std::string& task, bool all_tasks) = 0;
    virtual Status signal_alloc(const std::string& alloc_id, const std::string& task,
                                const std::string& signal) = 0;
    virtual Status collect_alloc(const std::string& alloc_id) = 0;  // garbage-collects a terminal allocation
    virtual Status collect_all() = 0;

    // For `agent-info`: section -> key -> value.
    virtual std::map<std::string, std::map<std::string, std::string>> stats() const = 0;
    // State of every plugin instance, as JSON text for /v1/plugins and `drover plugin status`.
    virtual std::string plugin_status_json() const = 0;
};

}  // namespace drover::ports
