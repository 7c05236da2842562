// SPDX-License-Identifier: Apache-2.0
// AgentProcess: server, client and HTTP API of one agent, started in that order (but HTTP takes its address
// before all) and stopped in the reverse one. Made by agent_main.cpp from a complete configuration; knows
// nothing of flags, files, signals or the banner.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/agent/config.pb.h"

namespace drover::model {
class Node;
}
namespace drover::server {
class Server;
}
namespace drover::agent {
class ClientAgent;
class RemoteCluster;
}  // namespace drover::agent
namespace drover::api {
class HttpServer;
}
namespace drover::ports {
class ClusterPort;
}

namespace drover::cli {

struct AgentSettings {
    agentconfig::AgentConfig config;  // merged, with addresses and advertise complete (host:port)
    std::vector<std::string> config_files;
    bool dev = false;
    std::string data_dir;                // of config, or a temporary one
    bool data_dir_is_temporary = false;  // -dev without data_dir: removed at the end
};

class AgentProcess {
 public:
    // Everything is listening and the client is registering when it returns. On an error what was started is
    // stopped.
    static Result<std::unique_ptr<AgentProcess>> start(AgentSettings settings);
    ~AgentProcess();

    // dev: tasks and plugins are ended too, and the data directory is removed.
    void stop();

    // SIGHUP with a configuration read again: log level, and the node's metadata.
    Status reload(const agentconfig::AgentConfig& config);

    std::string node_id() const;  // empty without a client

 private:
    AgentProcess();
    Status start_server();
    Status start_client();
    void serve_http();
    Result<std::shared_ptr<const model::Node>> make_node() const;

    AgentSettings settings_;
    std::unique_ptr<server::Server> server_;
    std::unique_ptr<agent::RemoteCluster> remote_;
    ports::ClusterPort* cluster_ = nullptr;
    std::unique_ptr<agent::ClientAgent> client_;
    std::unique_ptr<api::HttpServer> http_;
};

}  // namespace drover::cli
