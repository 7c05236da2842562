// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <sys/stat.h>

#include <boost/asio/thread_pool.hpp>
#include <thread>

#include "agent/alloc/alloc_registry.h"
#include "agent/host/plugin_host.h"
#include "agent/identity.h"
#include "agent/link/remote_cluster.h"
#include "agent/link/server_link.h"
#include "agent/logs/logd_client.h"
#include "agent/node_service.h"
#include "agent/store/store.h"
#include "cgroup/cgroup.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client";
constexpr int kIoThreads = 2;
constexpr int kBlockingThreads = 4;
constexpr int64_t kSettleNs = 5 * kSecond;  // registration waits so long for the first fingerprints
constexpr int64_t kDevStopNs = 60 * kSecond;
constexpr int64_t kCgroupRemoveNs = 5 * kSecond;
constexpr int64_t kFlushNs = 5 * kSecond;
constexpr const char* kBootIdKey = "boot_id";

std::vector<std::string> list_option(const std::map<std::string, std::string>& options,
                                     const std::string& key) {
    const auto found = options.find(key);
    if (found == options.end() || found->second.empty()) return {};
    auto names = split(found->second, ',');
    for (auto& name : names) name = std::string(trim(name));
    return names;
}

double core_mhz(const model::Node& node) {
    const auto found = node.attributes().find("cpu.frequency");
    return found != node.attributes().end() ? parse_double(found->second).value_or(0) : 0;
}

}  // namespace

class ClientAgent::Impl {
 public:
    Impl(ClientOptions options, ports::ClusterPort& cluster)
        : options_(std::move(options)),
          cluster_(cluster),
          work_(boost::asio::make_work_guard(io_)),
          gc_timer_(io_) {}
    ~Impl() { stop(StopKind::Orderly); }

    Status start();
    void stop(StopKind kind);
    void reload(std::shared_ptr<const model::Node> node);

    ports::NodePort& port() { return *service_; }
    const std::string& node_id() const { return identity_.node_id; }
    bool registered() const { return link_ && link_->figures().registered; }

 private:
    Status make_directories();
    Status open_state();
    Status start_host();
    void start_threads();
    void make_link();
    void make_service();
    void driver_changed(const DriverStatus& status);
    void log_event(const LogEvent& event);
    void collect_later();
    std::shared_ptr<const model::Node> node() const {
        std::lock_guard lock(node_mutex_);
        return node_;
    }
    std::string client_dir() const { return options_.data_dir + "/client"; }
    std::map<std::string, std::map<std::string, std::string>> stats() const;

    ClientOptions options_;
    ports::ClusterPort& cluster_;
    std::vector<std::string> configured_servers_;
    Identity identity_;
    UniqueFd lock_;
    Store::Contents contents_;
    bool rebooted_ = false;

    mutable std::mutex node_mutex_;
    std::shared_ptr<const model::Node> node_;

    // Torn down by stop() in the order that matters; what is left goes in reverse order of declaration.
    std::unique_ptr<Store> store_;
    std::unique_ptr<LogdClient> logd_;
    boost::asio::io_context io_{kIoThreads};
    std::unique_ptr<boost::asio::thread_pool> pool_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::vector<std::thread> threads_;
    std::unique_ptr<PluginHost> host_;
    std::unique_ptr<OpenCall> driver_changes_;
    std::unique_ptr<OpenCall> task_events_;
    std::unique_ptr<RunnerContext> context_;
    std::unique_ptr<AllocRegistry> registry_;
    std::unique_ptr<ServerLink> link_;
    std::unique_ptr<NodeService> service_;
    boost::asio::steady_timer gc_timer_;
    bool stopped_ = false;
    std::mutex stop_mutex_;
};

// ---- start
// -----------------------------------------------------------------------------------------------------------

Status ClientAgent::Impl::start() {
    if (options_.alloc_dir.empty()) options_.alloc_dir = options_.data_dir + "/alloc";
    DROVER_CHECK(make_directories());
    DROVER_TRY(lock_, lock_directory(client_dir()));
    DROVER_TRY(identity_, load_identity(client_dir()));
    DROVER_CHECK(open_state());
    DROVER_TRY(
        logd_,
        LogdClient::open({.state_dir = client_dir() + "/logd",
                          .binary = options_.libexec_dir + "/drover-logd",
                          .cgroup = options_.cgroup_parent.empty() ? "" : options_.cgroup_parent + "/logd"}));
    DROVER_CHECK(logd_->ensure_running().context("start drover-logd"));

    auto node = std::make_shared<model::Node>(*options_.node);
    node->set_id(identity_.node_id);
    node->set_secret_id(identity_.secret_id);
    node_ = std::move(node);
    start_threads();
    DROVER_CHECK(start_host());

    context_ = std::make_unique<RunnerContext>(
        RunnerContext{.io = io_,
                      .pool = *pool_,
                      .store = *store_,
                      .logd = logd_.get(),
                      .driver = [this](const std::string& name) { return host_->driver(name); },
                      .node = [this] { return this->node(); },
                      .alloc_root = options_.alloc_dir,
                      .fifo_root = client_dir() + "/fifos",
                      .task_root = client_dir() + "/tasks",
                      .region = options_.region,
                      .cgroup_parent = options_.cgroup_parent,
                      .client_options = options_.options,
                      .kill_timeout_ns_max = options_.max_kill_timeout_ns,
                      .rebooted = rebooted_});
    registry_ = std::make_unique<AllocRegistry>(
        *context_,
        CollectRules{options_.gc_max_allocs, options_.gc_disk_usage_threshold,
                     options_.gc_inode_usage_threshold},
        [this](model::Allocation update) { link_->update(std::move(update)); });
    make_link();
    make_service();
    task_events_ = host_->on_task_event([this](const sdk::TaskEvent& event) {
        if (auto runner = registry_->find(event.alloc_id)) {
            boost::asio::post(runner->strand(), [runner, event] { runner->driver_event(event); });
        }
    });
    logd_->on_event([this](const LogEvent& event) { log_event(event); });
    registry_->load(std::move(contents_.allocs));
    host_->when_settled(kSettleNs, [this] { link_->start(); });
    collect_later();
    return {};
}

Status ClientAgent::Impl::make_directories() {
    if (options_.data_dir.empty() || options_.data_dir[0] != '/') {
        return make_error(Code::InvalidArgument, "data_dir must be an absolute path, found {:?}",
                          options_.data_dir);
    }
    DROVER_CHECK(make_dirs(options_.data_dir, 0711));
    // Tasks of other users must get to their directories; what is private below has modes of its own.
    struct stat st {};
    if (::stat(options_.data_dir.c_str(), &st) != 0 ||
        ::chmod(options_.data_dir.c_str(), (st.st_mode & 07777) | 0111) != 0) {
        return Error::from_errno(options_.data_dir);
    }
    DROVER_CHECK(make_dirs(client_dir(), 0700));
    DROVER_CHECK(make_dirs(client_dir() + "/tasks", 0700));
    DROVER_CHECK(make_dirs(client_dir() + "/fifos", 0700));
    return make_dirs(options_.alloc_dir, 0711);  // tasks of other users pass through
}

Status ClientAgent::Impl::open_state() {
    DROVER_TRY(store_, Store::open(client_dir() + "/state.db",
                                   options_.dev ? Durability::Process : Durability::Power));
    contents_ = store_->take_contents();
    if (!contents_.set_aside.empty())
        log::error(kComponent, "state file cannot be used", {{"error", contents_.set_aside}});
    DROVER_TRY(const auto boot, boot_id());
    const auto known = contents_.meta.find(kBootIdKey);
    rebooted_ = known != contents_.meta.end() && known->second != boot;
    if (rebooted_) log::info(kComponent, "the machine was restarted since the last run");
    store_->put_meta(kBootIdKey, boot);
    return {};
}

void ClientAgent::Impl::start_threads() {
    pool_ = std::make_unique<boost::asio::thread_pool>(kBlockingThreads);
    for (int i = 0; i < kIoThreads; ++i) {
        threads_.emplace_back([this] { io_.run(); });
    }
}

Status ClientAgent::Impl::start_host() {
    PluginHostOptions host;
    host.data_dir = options_.data_dir;
    host.bundled_plugin_dir = options_.bundled_plugin_dir;
    host.plugin_dir = options_.plugin_dir.empty() ? options_.data_dir + "/plugins" : options_.plugin_dir;
    host.blocks = options_.plugins;
    host.driver_allowlist = list_option(options_.options, "driver.allowlist");
    host.driver_denylist = list_option(options_.options, "driver.denylist");
    host.cgroup_parent = options_.cgroup_parent;
    host.topology = std::shared_ptr<const model::NodeTopology>(
        options_.node, &options_.node->node_resources().processors().topology());
    DROVER_TRY(host_, PluginHost::start(std::move(host), io_));
    return {};
}

void ClientAgent::Impl::make_link() {
    ServerLink::Callbacks callbacks;
    callbacks.node = [this] { return node(); };
    callbacks.wanted = [this](const auto& list) { return registry_->wanted(list); };
    callbacks.apply = [this](const auto& list, std::vector<model::Allocation> allocs) {
        registry_->apply(list, std::move(allocs));
    };
    callbacks.acknowledged = [this](const std::string& id, const std::string& status) {
        registry_->acknowledged(id, status);
    };
    if (auto* remote = dynamic_cast<RemoteCluster*>(&cluster_)) {
        configured_servers_ = remote->servers();
        callbacks.servers = [this, remote](std::vector<std::string> servers) {
            // The configured ones stay: what servers advertise may not be reachable from everywhere.
            for (const auto& address : configured_servers_) {
                if (std::find(servers.begin(), servers.end(), address) == servers.end())
                    servers.push_back(address);
            }
            remote->set_servers(std::move(servers));
        };
    }
    link_ = std::make_unique<ServerLink>(io_, cluster_, std::move(callbacks), ServerLink::Timing{});
    driver_changes_ = host_->on_driver_change([this](const DriverStatus& status) { driver_changed(status); });
}

void ClientAgent::Impl::make_service() {
    NodeService::Sources sources;
    sources.node_id = identity_.node_id;
    sources.registry = registry_.get();
    sources.alloc_root = options_.alloc_dir;
    sources.core_mhz = core_mhz(*options_.node);
    sources.stats = [this] { return stats(); };
    sources.plugin_status_json = [this] { return host_->plugin_status_json(); };
    service_ = std::make_unique<NodeService>(std::move(sources));
}

void ClientAgent::Impl::driver_changed(const DriverStatus& status) {
    {
        std::lock_guard lock(node_mutex_);
        auto changed = std::make_shared<model::Node>(*node_);
        PluginHost::apply(status, *changed);
        node_ = std::move(changed);
    }
    link_->node_changed();
}

void ClientAgent::Impl::reload(std::shared_ptr<const model::Node> fresh) {
    {
        std::lock_guard lock(node_mutex_);
        auto changed = std::make_shared<model::Node>(*fresh);
        changed->set_id(identity_.node_id);
        changed->set_secret_id(identity_.secret_id);
        for (const auto& status : host_->drivers()) PluginHost::apply(status, *changed);
        node_ = std::move(changed);
    }
    link_->node_changed();
}

// ---- while it runs
// ---------------------------------------------------------------------------------------------------

void ClientAgent::Impl::log_event(const LogEvent& event) {
    const auto parts = split(event.stream_id, '/');  // "<alloc id>/<task>/stdout"
    if (!event.full || parts.size() != 3) return;
    const auto runner = registry_->find(parts[0]);
    if (!runner) return;
    boost::asio::post(runner->strand(), [runner, task = parts[1], which = parts[2], text = event.message] {
        runner->log_disk_full(task,
                              fmt::format("{} waits, the disk of the log files is full: {}", which, text));
    });
}

void ClientAgent::Impl::collect_later() {
    gc_timer_.expires_after(std::chrono::nanoseconds(options_.gc_interval_ns));
    gc_timer_.async_wait([this](const boost::system::error_code& ec) {
        if (ec) return;
        boost::asio::post(*pool_, [this] { registry_->collect_by_rules(); });
        collect_later();
    });
}

std::map<std::string, std::map<std::string, std::string>> ClientAgent::Impl::stats() const {
    const auto figures = link_->figures();
    std::map<std::string, std::map<std::string, std::string>> out;
    auto& client = out["client"];
    client["node_id"] = identity_.node_id;
    client["known_servers"] = join(figures.servers, ",");
    client["num_allocations"] = fmt::format("{}", registry_->all().size());
    client["heartbeat_ttl"] = format_duration(figures.heartbeat_ttl_ns);
    client["last_heartbeat"] = figures.last_heartbeat_mono_ns == 0
                                   ? "never"
                                   : format_duration(mono_now() - figures.last_heartbeat_mono_ns);
    return out;
}

// ---- stop
// ------------------------------------------------------------------------------------------------------------

void ClientAgent::Impl::stop(StopKind kind) {
    std::lock_guard lock(stop_mutex_);
    if (std::exchange(stopped_, true)) return;
    if (registry_ && kind == StopKind::Dev && !registry_->destroy_all(kDevStopNs)) {
        log::warn(kComponent, "not everything ended in time");
    }
    if (link_) link_->stop();
    if (registry_) registry_->detach_all();
    driver_changes_.reset();
    task_events_.reset();
    if (host_) host_->stop(kind);
    boost::asio::post(io_, [this] { gc_timer_.cancel(); });
    work_.reset();
    io_.stop();
    for (auto& thread : threads_) thread.join();
    if (pool_) pool_->join();
    if (store_) {
        if (auto status = store_->flush(kFlushNs); !status) log::error(kComponent, status.error().message());
    }
    if (kind == StopKind::Dev && logd_) {
        if (auto status = logd_->shutdown(); !status) log::warn(kComponent, status.error().message());
    }
    logd_.reset();  // its thread asks the registry, so it goes first
    if (kind != StopKind::Dev) return;
    store_.reset();
    for (const auto& path : {options_.alloc_dir, client_dir()}) {
        if (auto status = remove_tree(path); !status) log::warn(kComponent, status.error().message());
    }
    if (options_.cgroup_parent.empty()) return;
    // Plugins, shims and logd's processes are gone or going: remove() waits for the kernel to take them out.
    auto group = cgroup::Cgroup::open(options_.cgroup_parent);
    auto removed = group ? group->remove(kCgroupRemoveNs) : Status(group.error());
    if (!removed) log::warn(kComponent, removed.error().message());
}

Result<std::unique_ptr<ClientAgent>> ClientAgent::start(ClientOptions options, ports::ClusterPort& cluster) {
    DROVER_ASSERT(options.node != nullptr);
    auto impl = std::make_unique<Impl>(std::move(options), cluster);
    DROVER_CHECK(impl->start().context("start client"));
    return std::unique_ptr<ClientAgent>(new ClientAgent(std::move(impl)));
}

ClientAgent::ClientAgent(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientAgent::~ClientAgent() = default;
void ClientAgent::stop(StopKind kind) {
    impl_->stop(kind);
}
ports::NodePort& ClientAgent::node_port() {
    return impl_->port();
}
std::string ClientAgent::node_id() const {
    return impl_->node_id();
}
bool ClientAgent::registered() const {
    return impl_->registered();
}
void ClientAgent::reload(std::shared_ptr<const model::Node> node) {
    impl_->reload(std::move(node));
}

}  // namespace drover::agent
