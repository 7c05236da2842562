// SPDX-License-Identifier: Apache-2.0
// HttpServer: the /v1 API of one agent. Started by cli/agent_main.cpp with the ports to ask through. It owns
// its threads; listen() returns when every address is listening, stop() when every connection is closed and
// no callback of the ports will reach it any more. It never keeps state of its own: everything shown is asked
// for.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/limits.h"
#include "base/result.h"

namespace drover::model {
class AgentHealthResponse;
class ServerMembers;
}  // namespace drover::model
namespace drover::ports {
class ClusterPort;
class NodePort;
}  // namespace drover::ports

namespace drover::api {

// What only the agent itself knows. Each may be empty; all are called from the server's threads and must be
// thread-safe and quick.
struct AgentHooks {
    std::function<std::string()> config_json;  // the "config" object of /v1/agent/self, as JSON text
    std::function<void(model::ServerMembers&)> members;       // this process's view of the servers
    std::function<void(model::AgentHealthResponse&)> health;  // absent parts are left out
    std::function<Status()> reload;                           // SIGHUP by HTTP
    std::function<std::string()> metrics_json;  // a MetricsSummary; empty: figures of the HTTP server only
    std::function<std::vector<std::string>()> servers;  // host:port of the servers that the client knows
    std::function<std::map<std::string, std::map<std::string, std::string>>()>
        stats;  // more sections of agent-info
};

struct HttpLimits {
    uint64_t body_bytes_max = kBodyBytesMax;
    int connections_per_client_max = kConnectionsPerClientMax;
    int connections_max = kConnectionsMax;
    int64_t header_timeout_ms = kHeaderTimeoutMs;
    int64_t idle_timeout_ms = kIdleTimeoutMs;
    int64_t body_timeout_ms = kBodyTimeoutMs;
};

struct HttpOptions {
    std::vector<std::string> bind;  // "127.0.0.1:4646", "[::1]:0", "unix:///run/drover/api.sock" (mode 0600)
    std::string region = "global";  // this agent's; requests for another one are refused
    ports::ClusterPort* cluster = nullptr;  // must outlive the server
    ports::NodePort* node = nullptr;        // null when no client runs in this process
    AgentHooks agent;
    std::map<std::string, std::string> response_headers;
    HttpLimits limits;
};

class HttpServer {
 public:
    // Takes the addresses, and answers nobody yet: who connects waits for serve(). So an agent can find out
    // that an address is taken before it starts anything. Unavailable or AlreadyExists with the address in
    // the text when it cannot listen; nothing is left open then.
    static Result<std::unique_ptr<HttpServer>> listen(const std::vector<std::string>& bind);
    void serve(HttpOptions options);                                        // once
    static Result<std::unique_ptr<HttpServer>> start(HttpOptions options);  // both
    ~HttpServer();                                                          // stops

    // As bound, "host:port" or "unix:///path", in the order of options.bind; port 0 has become the real one.
    const std::vector<std::string>& addresses() const;
    uint16_t port() const;  // of the first TCP address; 0 when there is none
    void stop();            // idempotent

 private:
    class Impl;
    explicit HttpServer(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace drover::api
