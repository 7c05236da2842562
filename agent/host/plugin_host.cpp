// SPDX-License-Identifier: Apache-2.0
// PluginHost: the list of plugins and drivers, who owns which driver's name, and the subscriptions. The work
// is in PluginSupervisor (a plugin's life) and DriverClient (a driver's calls).
#include "agent/host/plugin_host.h"

#include <unistd.h>

#include <future>
#include <map>
#include <mutex>
#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>

#include "agent/host/discover.h"
#include "agent/host/plugin_claims.h"
#include "agent/host/plugin_setup.h"
#include "agent/host/plugin_status.h"
#include "agent/host/plugin_supervisor.h"
#include "agent/host/subscribers.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr std::string_view kLog = "client.driver_mgr";

}  // namespace

std::string bundled_plugin_dir_of_this_binary() {
    char path[4096];
    const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
    if (size <= 0) return "";
    const std::string exe(path, static_cast<size_t>(size));
    return exe.substr(0, exe.rfind('/')) + "/../lib/drover/plugins";
}

class PluginHost::Impl : public SupervisorHost, public std::enable_shared_from_this<PluginHost::Impl> {
 public:
    Impl(PluginHostOptions options, boost::asio::io_context& io)
        : options_(std::move(options)), io_(io), notify_(boost::asio::make_strand(io)) {}

    Status start() {
        if (options_.bundled_plugin_dir.empty())
            options_.bundled_plugin_dir = bundled_plugin_dir_of_this_binary();
        DROVER_CHECK(make_dirs(plugins_dir(), 0700));
        std::vector<std::shared_ptr<PluginSupervisor>> made;
        std::set<std::string> keys;
        for (auto& spec : wanted()) {
            keys.insert(spec.key);
            made.push_back(std::make_shared<PluginSupervisor>(std::move(spec), options_.limits, io_, *this));
        }
        DROVER_TRY(const auto left, list_dir(plugins_dir()));
        for (const auto& name : left) {  // of plugins that are no longer there: what still runs is ended
            if (keys.count(name) != 0) continue;
            made.push_back(std::make_shared<PluginSupervisor>(spec_of(name), options_.limits, io_, *this));
        }
        {
            std::lock_guard lock(mutex_);
            supervisors_ = made;
            for (const auto& supervisor : made) unsettled_.insert(supervisor.get());
        }
        if (made.empty()) settle();
        for (const auto& supervisor : made) supervisor->start();
        return {};
    }

    void stop(StopKind kind) {
        std::vector<std::shared_ptr<DriverClient>> clients;
        std::vector<std::shared_ptr<PluginSupervisor>> supervisors;
        {
            std::lock_guard lock(mutex_);
            if (std::exchange(stopped_, true)) return;
            supervisors = supervisors_;
            for (auto& [name, client] : drivers_) clients.push_back(client);
        }
        for (auto& client : clients) client->give_up(Error(Code::Unavailable, "the agent is stopping"));
        auto left = std::make_shared<std::atomic<size_t>>(supervisors.size());
        auto all_stopped = std::make_shared<std::promise<void>>();
        auto future = all_stopped->get_future();
        if (supervisors.empty()) all_stopped->set_value();
        for (auto& supervisor : supervisors) {
            supervisor->stop(kind, [left, all_stopped] {
                if (left->fetch_sub(1) == 1) all_stopped->set_value();
            });
        }
        // Every step of a supervisor's stop has a deadline of its own; this one is for an io_context nobody
        // runs.
        const auto limit =
            std::chrono::nanoseconds(3 * options_.limits.shutdown_ns + 2 * options_.limits.kill_ns);
        if (future.wait_for(limit) != std::future_status::ready) {
            log::error(kLog, "plugins did not stop in time");
            return;
        }
        for (auto& supervisor : supervisors) supervisor->wait_idle();
        if (kind == StopKind::Dev) remove_leftovers();
    }

    Result<std::shared_ptr<Driver>> driver(const std::string& name) {
        std::lock_guard lock(mutex_);
        auto it = drivers_.find(name);
        if (it != drivers_.end() && (driver_claims_.has(name) || !settled_))
            return std::shared_ptr<Driver>(it->second);
        if (settled_ && !expected(name)) return unknown_driver(name);
        return std::shared_ptr<Driver>(client(name));
    }

    void reload(std::string plugin_dir, std::vector<PluginBlock> blocks) {
        std::lock_guard reloading(reload_mutex_);
        options_.plugin_dir = std::move(plugin_dir);
        options_.blocks = std::move(blocks);
        std::map<std::string, PluginSupervisor::Spec> specs;
        for (auto& spec : wanted()) specs[spec.key] = std::move(spec);
        std::vector<std::shared_ptr<PluginSupervisor>> added, kept;
        {
            std::lock_guard lock(mutex_);
            if (stopped_) return;
            kept = supervisors_;
            std::set<std::string> known;
            for (const auto& supervisor : kept) known.insert(supervisor->key());
            for (auto& [key, spec] : specs) {
                if (known.count(key) != 0) continue;
                added.push_back(
                    std::make_shared<PluginSupervisor>(std::move(spec), options_.limits, io_, *this));
            }
            supervisors_.insert(supervisors_.end(), added.begin(), added.end());
        }
        // What goes makes room first: of two that provide one driver the other one may have its turn now.
        for (const auto& supervisor : kept) {
            if (specs.count(supervisor->key()) == 0 && !supervisor->status().file.empty()) {
                release(*supervisor, "its plugin is no longer installed or configured");
                supervisor->replace(spec_of(supervisor->key()), nullptr);
            }
        }
        for (const auto& supervisor : kept) {
            const auto spec = specs.find(supervisor->key());
            if (spec != specs.end()) supervisor->refresh(std::move(spec->second));
        }
        for (const auto& supervisor : added) supervisor->start();
    }

    void restart(const std::string& name, Done<void> done) {
        std::vector<std::shared_ptr<PluginSupervisor>> meant;
        std::vector<std::string> known;
        {
            std::lock_guard lock(mutex_);
            for (const auto& supervisor : supervisors_) {
                const auto status = supervisor->status();
                if (status.file.empty()) continue;
                known.push_back(status.name);
                if (status.name == name || supervisor->key() == name || supervisor->log_name() == name)
                    meant.push_back(supervisor);
            }
        }
        // Several of one name: the one that is in use, else the first.
        const auto used = std::find_if(meant.begin(), meant.end(), [](const auto& supervisor) {
            return supervisor->status().state != PluginState::Failed;
        });
        if (meant.empty()) {
            auto error = make_error(Code::NotFound, "unknown plugin \"{}\" (this node has: {})", name,
                                    known.empty() ? "none" : join(known, ", "));
            return boost::asio::post(io_, [done = std::move(done), error] { done(error); });
        }
        (used == meant.end() ? meant.front() : *used)->restart(std::move(done));
    }

    std::vector<PluginStatus> plugins() const {
        std::lock_guard lock(mutex_);
        std::vector<PluginStatus> out;
        for (const auto& supervisor : supervisors_) {
            auto status = supervisor->status();
            if (!status.file.empty()) out.push_back(std::move(status));
        }
        return out;
    }

    std::vector<DriverStatus> drivers() const {
        std::lock_guard lock(mutex_);
        std::vector<DriverStatus> out;
        for (const auto& [name, client] : drivers_) {
            if (driver_claims_.has(name)) out.push_back(client->status());
        }
        return out;
    }

    std::string plugin_status_json() const { return to_json(plugins(), drivers()); }

    std::unique_ptr<OpenCall> on_driver_change(std::function<void(const DriverStatus&)> callback) {
        auto entry = driver_news_->add(std::move(callback));
        boost::asio::post(notify_, [known = drivers(), entry] {
            for (const auto& status : known) {
                if (!entry->cancelled && status.updated_at != 0) entry->callback(status);
            }
        });
        return std::make_unique<Subscribers<DriverStatus>::Handle>(std::move(entry));
    }

    std::vector<std::shared_ptr<DeviceSource>> devices() const {
        std::lock_guard lock(mutex_);
        std::vector<std::shared_ptr<DeviceSource>> out;
        for (const auto& [name, client] : devices_) out.push_back(client);
        return out;
    }

    std::unique_ptr<OpenCall> on_device_change(std::function<void()> callback) {
        auto entry = device_news_->add([callback = std::move(callback)](int) { callback(); });
        boost::asio::post(notify_, [entry] {
            if (!entry->cancelled) entry->callback(0);
        });
        return std::make_unique<Subscribers<int>::Handle>(std::move(entry));
    }

    std::unique_ptr<OpenCall> on_task_event(std::function<void(const sdk::TaskEvent&)> callback) {
        return std::make_unique<Subscribers<sdk::TaskEvent>::Handle>(event_news_->add(std::move(callback)));
    }

    void when_settled(int64_t wait_ns, std::function<void()> callback) {
        auto once = std::make_shared<std::once_flag>();
        auto call = [once, callback = std::move(callback)] { std::call_once(*once, callback); };
        auto timer = std::make_shared<boost::asio::steady_timer>(io_, std::chrono::nanoseconds(wait_ns));
        {
            std::lock_guard lock(mutex_);
            if (settled_) return boost::asio::post(io_, call);
            settle_waiters_.push_back([call, timer] {
                timer->cancel();
                call();
            });
        }
        timer->async_wait([call, timer](const boost::system::error_code& cancelled) {
            if (!cancelled) call();
        });
    }

    // ---- SupervisorHost ----

    Result<std::shared_ptr<DriverClient>> claim_driver(PluginSupervisor& claimant, const std::string& name,
                                                       const std::string& version) override {
        const auto listed = [&](const std::vector<std::string>& list) {
            return std::find(list.begin(), list.end(), name) != list.end();
        };
        if (listed(options_.driver_denylist))
            return make_error(Code::FailedPrecondition, "driver \"{}\" is in driver.denylist", name);
        if (!options_.driver_allowlist.empty() && !listed(options_.driver_allowlist)) {
            return make_error(Code::FailedPrecondition, "driver \"{}\" is not in driver.allowlist", name);
        }
        std::lock_guard lock(mutex_);
        DROVER_CHECK(driver_claims_.claim(claimant, name, version));
        // An upgrade may have given it another name, or made a driver of a device plugin.
        release_names(claimant, name, "", fmt::format("its plugin provides driver \"{}\" now", name));
        return client(name);
    }

    Result<std::shared_ptr<DeviceClient>> claim_devices(PluginSupervisor& claimant, const std::string& name,
                                                        const std::string& version) override {
        std::lock_guard lock(mutex_);
        DROVER_CHECK(device_claims_.claim(claimant, name, version));
        release_names(claimant, "", name, fmt::format("its plugin is device plugin \"{}\" now", name));
        auto& slot = devices_[name];
        if (!slot) {
            slot = std::make_shared<DeviceClient>(name, io_, [weak = weak_from_this()] {
                if (auto self = weak.lock())
                    boost::asio::post(self->notify_, [news = self->device_news_] { news->tell(0); });
            });
        }
        return slot;
    }

    void release(PluginSupervisor& owner, const std::string& reason) override {
        std::lock_guard lock(mutex_);
        release_names(owner, "", "", reason);
    }

    void task_event(const sdk::TaskEvent& event) override {
        boost::asio::post(notify_, [news = event_news_, event] { news->tell(event); });
    }

    void settled(PluginSupervisor& supervisor) override {
        std::lock_guard lock(mutex_);
        unsettled_.erase(&supervisor);
        if (unsettled_.empty()) settle();
    }

 private:
    std::string plugins_dir() const { return options_.data_dir + "/client/plugins"; }

    // The spec of nothing: what runs under this key is to end.
    PluginSupervisor::Spec spec_of(const std::string& key) const {
        PluginSupervisor::Spec spec;
        spec.key = key;
        spec.dir = join_path(plugins_dir(), key);
        if (!options_.cgroup_parent.empty())
            spec.cgroup = join_path(options_.cgroup_parent, "plugins/" + key);
        return spec;
    }

    // What is to run by the directories and the configuration as they are now.
    std::vector<PluginSupervisor::Spec> wanted() const {
        const auto found =
            discover_plugins(options_.bundled_plugin_dir, options_.plugin_dir, options_.blocks);
        for (const auto& warning : found.warnings) log::warn(kLog, warning);
        const auto base_environment = scrubbed_environment(environ);
        const auto agent = agent_config(options_);
        std::vector<PluginSupervisor::Spec> specs;
        for (const auto& plugin : found.plugins) {
            auto spec = spec_of(plugin.key);
            spec.file = plugin.file;
            spec.bundled = plugin.bundled;
            if (plugin.block) {
                spec.args = plugin.block->args;
                spec.config = plugin.block->config;
            }
            spec.agent = agent;
            spec.env = plugin_environment(options_, base_environment, spec.dir);
            specs.push_back(std::move(spec));
        }
        return specs;
    }

    // Under mutex_: what `owner` provided, but for these names, has no plugin any more.
    void release_names(const PluginSupervisor& owner, const std::string& kept_driver,
                       const std::string& kept_devices, const std::string& reason) {
        driver_claims_.release(owner, kept_driver, [&](const std::string& name) {
            if (const auto it = drivers_.find(name); it != drivers_.end()) it->second->set_undetected(reason);
        });
        device_claims_.release(owner, kept_devices, [&](const std::string& name) {
            if (const auto it = devices_.find(name); it != devices_.end()) it->second->set_groups({});
        });
    }

    // Under mutex_: the driver's client, made when missing.
    std::shared_ptr<DriverClient> client(const std::string& name) {
        auto& slot = drivers_[name];
        if (!slot) {
            slot = std::make_shared<DriverClient>(
                name, options_.limits, io_, [weak = weak_from_this()](const DriverStatus& status) {
                    auto self = weak.lock();
                    if (!self) return;
                    boost::asio::post(self->notify_,
                                      [news = self->driver_news_, status] { news->tell(status); });
                });
        }
        return slot;
    }

    // Under mutex_: whether a plugin that is not given up looks as if it were this driver's.
    bool expected(const std::string& name) const {
        return std::any_of(supervisors_.begin(), supervisors_.end(), [&](const auto& s) {
            const auto status = s->status();
            return status.state != PluginState::Failed && status.state != PluginState::Stopped &&
                   status.type != "device" && !status.file.empty() &&
                   (s->log_name() == name || status.name == name);
        });
    }

    Error unknown_driver(const std::string& name) const {
        const auto names = driver_claims_.names();
        std::string why;
        for (const auto& supervisor : supervisors_) {
            const auto status = supervisor->status();
            if (!status.file.empty() && (supervisor->log_name() == name || status.name == name))
                why = fmt::format("; {}: {}", status.file, status.reason);
        }
        return make_error(Code::NotFound, "unknown driver \"{}\" (this node has: {}){}", name,
                          names.empty() ? "none" : join(names, ", "), why);
    }

    // Under mutex_: every plugin is up or has failed once.
    void settle() {
        settled_ = true;
        for (auto& waiter : settle_waiters_) boost::asio::post(io_, std::move(waiter));
        settle_waiters_.clear();
        for (auto& [name, waiting] : drivers_) {
            if (!driver_claims_.has(name) && !expected(name)) {
                boost::asio::post(
                    io_, [waiting = waiting, error = unknown_driver(name)] { waiting->give_up(error); });
            }
        }
    }

    void remove_leftovers() {
        (void)::rmdir(plugins_dir().c_str());
        if (options_.cgroup_parent.empty()) return;
        auto group = cgroup::Cgroup::open(join_path(options_.cgroup_parent, "plugins"));
        if (group && group->exists()) (void)group->remove(kSecond);
    }

    PluginHostOptions options_;
    boost::asio::io_context& io_;
    Strand notify_;
    const std::shared_ptr<Subscribers<DriverStatus>> driver_news_ =
        std::make_shared<Subscribers<DriverStatus>>();
    const std::shared_ptr<Subscribers<int>> device_news_ = std::make_shared<Subscribers<int>>();
    const std::shared_ptr<Subscribers<sdk::TaskEvent>> event_news_ =
        std::make_shared<Subscribers<sdk::TaskEvent>>();
    std::mutex reload_mutex_;  // one reload() at a time

    // Asked from every thread; held for map operations only, never while a callback runs.
    mutable std::mutex mutex_;
    std::vector<std::shared_ptr<PluginSupervisor>> supervisors_;  // one per key, for the host's whole life
    std::map<std::string, std::shared_ptr<DriverClient>> drivers_;
    std::map<std::string, std::shared_ptr<DeviceClient>> devices_;
    PluginClaims driver_claims_{"driver"};
    PluginClaims device_claims_{"device plugin"};
    std::set<PluginSupervisor*> unsettled_;
    bool settled_ = false;
    bool stopped_ = false;
    std::vector<std::function<void()>> settle_waiters_;
};

Result<std::unique_ptr<PluginHost>> PluginHost::start(PluginHostOptions options,
                                                      boost::asio::io_context& io) {
    auto impl = std::make_shared<Impl>(std::move(options), io);
    DROVER_CHECK(impl->start());
    return std::unique_ptr<PluginHost>(new PluginHost(std::move(impl)));
}

PluginHost::PluginHost(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
PluginHost::~PluginHost() {
    impl_->stop(StopKind::Orderly);
}

void PluginHost::stop(StopKind kind) {
    impl_->stop(kind);
}
Result<std::shared_ptr<Driver>> PluginHost::driver(const std::string& name) {
    return impl_->driver(name);
}
std::vector<PluginStatus> PluginHost::plugins() const {
    return impl_->plugins();
}
std::vector<DriverStatus> PluginHost::drivers() const {
    return impl_->drivers();
}
std::string PluginHost::plugin_status_json() const {
    return impl_->plugin_status_json();
}
void PluginHost::reload(std::string plugin_dir, std::vector<PluginBlock> blocks) {
    impl_->reload(std::move(plugin_dir), std::move(blocks));
}
void PluginHost::restart(const std::string& name, Done<void> done) {
    impl_->restart(name, std::move(done));
}
std::unique_ptr<OpenCall> PluginHost::on_driver_change(std::function<void(const DriverStatus&)> callback) {
    return impl_->on_driver_change(std::move(callback));
}
std::vector<std::shared_ptr<DeviceSource>> PluginHost::devices() const {
    return impl_->devices();
}
std::unique_ptr<OpenCall> PluginHost::on_device_change(std::function<void()> callback) {
    return impl_->on_device_change(std::move(callback));
}
std::unique_ptr<OpenCall> PluginHost::on_task_event(std::function<void(const sdk::TaskEvent&)> callback) {
    return impl_->on_task_event(std::move(callback));
}
void PluginHost::when_settled(int64_t wait_ns, std::function<void()> callback) {
    impl_->when_settled(wait_ns, std::move(callback));
}

void PluginHost::apply(const DriverStatus& status, model::Node& node) {
    model::DriverInfo info;
    for (const auto& [key, value] : status.attributes) {
        (*info.mutable_attributes())[key] = value;
        (*node.mutable_attributes())[key] = value;
    }
    info.set_detected(status.detected);
    info.set_healthy(status.healthy);
    info.set_health_description(status.description);
    info.set_update_time(status.updated_at);
    (*node.mutable_drivers())[status.name] = std::move(info);
    const std::string key = "driver." + status.name;
    if (status.detected)
        (*node.mutable_attributes())[key] = "1";
    else
        node.mutable_attributes()->erase(key);
}

}  // namespace drover::agent
