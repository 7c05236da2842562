// SPDX-License-Identifier: Apache-2.0
#include "cli/agent_process.h"

#include "agent/agent.h"
#include "agent/link/remote_cluster.h"
#include "api/http_server.h"
#include "base/files.h"
#include "base/host_port.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/version.h"
#include "cli/agent_address.h"
#include "cli/agent_self.h"
#include "fingerprint/fingerprint.h"
#include "ports/cluster_port.h"
#include "server-lite/server.h"

namespace drover::cli {
namespace {

// The directory of this binary's installation: <prefix>/bin/drover -> <prefix>.
std::string install_prefix() {
    char path[4096];
    ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
    if (n <= 0) return "/usr";
    std::string binary(path, static_cast<size_t>(n));
    for (int up = 0; up < 2; ++up) {
        size_t slash = binary.find_last_of('/');
        if (slash == std::string::npos) return "/usr";
        binary.resize(slash);
    }
    return binary;
}

server::ServerOptions server_options(const AgentSettings& settings) {
    const auto& c = settings.config;
    const auto& s = c.server();
    server::ServerOptions o;
    if (!settings.dev) o.data_dir = s.data_dir().empty() ? settings.data_dir : s.data_dir();
    o.region = c.region();
    o.datacenter = c.datacenter();
    o.node_name = c.name();
    o.version = std::string(kVersion);
    o.rpc_bind_address = c.addresses().rpc();
    o.rpc_port = static_cast<uint16_t>(c.ports().rpc());
    o.rpc_advertise = c.advertise().rpc();
    o.heartbeat_min_ttl_ns = s.min_heartbeat_ttl();
    o.heartbeat_grace_ns = s.heartbeat_grace();
    o.failover_heartbeat_ttl_ns = s.failover_heartbeat_ttl();
    o.heartbeats_per_second_max = s.max_heartbeats_per_second();
    o.num_schedulers = static_cast<uint32_t>(s.num_schedulers());
    const auto& scheduler = s.default_scheduler_config();
    o.scheduler_algorithm = scheduler.scheduler_algorithm();
    o.memory_oversubscription = scheduler.memory_oversubscription_enabled();
    if (scheduler.has_preemption_config()) {
        const auto& p = scheduler.preemption_config();
        if (p.has_system_scheduler_enabled()) o.preemption_system = p.system_scheduler_enabled();
        o.preemption_sysbatch = p.sysbatch_scheduler_enabled();
        o.preemption_batch = p.batch_scheduler_enabled();
        o.preemption_service = p.service_scheduler_enabled();
    }
    o.job_default_priority = s.job_default_priority();
    o.job_max_priority = s.job_max_priority();
    o.job_tracked_versions = static_cast<uint32_t>(s.job_tracked_versions());
    o.job_max_count = s.job_max_count();
    o.gc.eval_threshold_ns = s.eval_gc_threshold();
    o.gc.batch_eval_threshold_ns = s.batch_eval_gc_threshold();
    o.gc.job_interval_ns = s.job_gc_interval();
    o.gc.job_threshold_ns = s.job_gc_threshold();
    o.gc.node_threshold_ns = s.node_gc_threshold();
    o.gc.deployment_threshold_ns = s.deployment_gc_threshold();
    return o;
}

std::vector<std::string> server_addresses(const agentconfig::AgentConfig& c) {
    std::vector<std::string> servers;
    auto add = [&](const auto& list) {
        for (const std::string& text : list) {
            auto address = parse_host_port(text);
            // What cannot be parsed is kept as it is: the link's error will name it.
            servers.push_back(address ? join_host_port(address->host, address->port ? address->port : 4647)
                                      : text);
        }
    };
    add(c.client().servers());
    add(c.client().server_join().start_join());
    add(c.client().server_join().retry_join());
    return servers;
}

std::vector<std::string> http_addresses(const agentconfig::AgentConfig& c) {
    std::vector<std::string> addresses;
    for (const std::string& address : split(c.addresses().http(), ' '))
        if (!address.empty()) addresses.push_back(join_host_port(address, c.ports().http()));
    return addresses;
}

}  // namespace

AgentProcess::AgentProcess() = default;

AgentProcess::~AgentProcess() {
    stop();
}

Result<std::unique_ptr<AgentProcess>> AgentProcess::start(AgentSettings settings) {
    std::unique_ptr<AgentProcess> process(new AgentProcess);
    process->settings_ = std::move(settings);
    DROVER_CHECK(make_dirs(process->settings_.data_dir, 0700).context("data_dir"));
    // The address first, before anything is started that would have to be stopped again; answers last, for
    // they show what the others are.
    DROVER_TRY(process->http_,
               api::HttpServer::listen(http_addresses(process->settings_.config)).context("http"));
    if (process->settings_.config.server().enabled()) DROVER_CHECK(process->start_server().context("server"));
    if (process->settings_.config.client().enabled()) DROVER_CHECK(process->start_client().context("client"));
    process->serve_http();
    return process;
}

Status AgentProcess::start_server() {
    DROVER_TRY(server_, server::Server::start(server_options(settings_)));
    cluster_ = &server_->port();
    return {};
}

Result<std::shared_ptr<const model::Node>> AgentProcess::make_node() const {
    return fingerprint::node_from(settings_.config, settings_.data_dir);
}

Status AgentProcess::start_client() {
    const auto& c = settings_.config;
    if (!cluster_) {
        DROVER_TRY(remote_, agent::RemoteCluster::create(server_addresses(c)));
        cluster_ = remote_.get();
    }
    const std::string prefix = install_prefix();
    agent::ClientOptions o;
    o.data_dir = settings_.data_dir;
    o.alloc_dir = c.client().alloc_dir();
    o.dev = settings_.dev;
    o.region = c.region();
    DROVER_TRY(o.node, make_node());
    o.cgroup_parent = c.client().cgroup_parent();
    o.plugin_dir = c.plugin_dir();
    o.bundled_plugin_dir = join_path(prefix, "lib/drover/plugins");
    o.libexec_dir = join_path(prefix, "libexec/drover");
    for (const auto& block : c.plugin()) {
        agent::PluginBlock plugin;
        plugin.label = block.name();
        plugin.args.assign(block.args().begin(), block.args().end());
        if (block.has_config()) plugin.config = std::make_shared<const model::MapValue>(block.config());
        o.plugins.push_back(std::move(plugin));
    }
    o.options.insert(c.client().options().begin(), c.client().options().end());
    o.log_level = c.log_level();
    o.disable_remote_exec = c.client().disable_remote_exec();
    o.max_kill_timeout_ns = c.client().max_kill_timeout();
    o.gc_max_allocs = static_cast<int32_t>(c.client().gc_max_allocs());
    o.gc_interval_ns = c.client().gc_interval();
    DROVER_TRY(client_, agent::ClientAgent::start(std::move(o), *cluster_));
    return {};
}

void AgentProcess::serve_http() {
    const auto& c = settings_.config;
    api::HttpOptions o;
    o.region = c.region();
    o.cluster = cluster_;
    o.node = client_ ? &client_->node_port() : nullptr;
    o.response_headers.insert(c.http_api_response_headers().begin(), c.http_api_response_headers().end());
    o.limits.connections_per_client_max = static_cast<int>(c.limits().http_max_conns_per_client());
    o.agent.config_json = [this] { return self_config_json(settings_); };
    o.agent.members = [this](model::ServerMembers& members) { fill_members(settings_, "", members); };
    o.agent.health = [this](model::AgentHealthResponse& health) {
        if (server_) {
            health.mutable_server()->set_ok(true);
            health.mutable_server()->set_message("ok");
        }
        if (client_) {
            health.mutable_client()->set_ok(client_->registered());
            health.mutable_client()->set_message(client_->registered() ? "ok" : "no known servers");
        }
    };
    o.agent.servers = [this]() -> std::vector<std::string> {
        if (remote_) return remote_->servers();
        return server_ ? std::vector<std::string>{settings_.config.advertise().rpc()}
                       : std::vector<std::string>{};
    };
    o.agent.stats = runtime_stats;
    http_->serve(std::move(o));
}

void AgentProcess::stop() {
    if (http_) http_->stop();
    http_.reset();
    if (client_) client_->stop(settings_.dev ? agent::StopKind::Dev : agent::StopKind::Orderly);
    client_.reset();
    remote_.reset();
    if (server_) server_->stop();
    server_.reset();
    if (settings_.data_dir_is_temporary) {
        if (auto removed = remove_tree(settings_.data_dir); !removed)
            log::error("agent", "directory of -dev not removed", {{"error", removed.error().message()}});
        settings_.data_dir_is_temporary = false;
    }
}

Status AgentProcess::reload(const agentconfig::AgentConfig& config) {
    *settings_.config.mutable_client()->mutable_meta() = config.client().meta();
    if (client_) {
        DROVER_TRY(auto node, make_node());
        client_->reload(std::move(node));
    }
    return {};
}

std::string AgentProcess::node_id() const {
    return client_ ? client_->node_id() : "";
}

}  // namespace drover::cli
