// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/device_client.h"

#include <set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace drover::agent {

DeviceClient::DeviceClient(std::string name, boost::asio::io_context& io, std::function<void()> changed)
    : name_(std::move(name)), io_(io), changed_(std::move(changed)) {}

void DeviceClient::attach(std::shared_ptr<PluginRpc> rpc) {
    std::lock_guard lock(mutex_);
    live_ = std::move(rpc);
}

void DeviceClient::detach(const PluginRpc& rpc) {
    std::lock_guard lock(mutex_);
    if (live_.get() == &rpc) live_ = nullptr;
}

void DeviceClient::set_groups(std::vector<sdk::DeviceGroup> groups) {
    {
        std::lock_guard lock(mutex_);
        if (groups_ == groups) return;
        groups_ = std::move(groups);
        std::set<GroupKey> there;
        for (const auto& group : groups_) there.emplace(group.vendor, group.type, group.name);
        std::erase_if(stats_, [&](const auto& entry) { return there.count(entry.first) == 0; });
    }
    changed_();
}

void DeviceClient::add_stats(std::vector<sdk::DeviceGroupStats> stats) {
    std::lock_guard lock(mutex_);
    for (auto& group : stats) {
        const bool known = std::any_of(groups_.begin(), groups_.end(), [&](const auto& g) {
            return g.vendor == group.vendor && g.type == group.type && g.name == group.name;
        });
        if (!known) continue;
        GroupKey key(group.vendor, group.type, group.name);
        stats_[std::move(key)] = std::move(group);
    }
}

void DeviceClient::set_unhealthy(const std::string& reason) {
    bool changed = false;
    {
        std::lock_guard lock(mutex_);
        for (auto& group : groups_) {
            for (auto& device : group.devices) {
                changed |= device.healthy || device.health_description != reason;
                device.healthy = false;
                device.health_description = reason;
            }
        }
    }
    if (changed) changed_();
}

std::vector<sdk::DeviceGroup> DeviceClient::groups() const {
    std::lock_guard lock(mutex_);
    return groups_;
}

std::vector<sdk::DeviceGroupStats> DeviceClient::stats() const {
    std::lock_guard lock(mutex_);
    std::vector<sdk::DeviceGroupStats> out;
    for (const auto& [key, group] : stats_) out.push_back(group);
    return out;
}

void DeviceClient::reserve(std::vector<std::string> device_ids, Done<sdk::DeviceReservation> done) {
    std::shared_ptr<PluginRpc> rpc;
    {
        std::lock_guard lock(mutex_);
        rpc = live_;
    }
    if (rpc) return rpc->device_reserve(device_ids, std::move(done));
    boost::asio::post(io_, [done = std::move(done), name = name_] {
        done(Error(Code::Unavailable, fmt::format("device plugin \"{}\" is not running", name), Retry::Yes));
    });
}

}  // namespace drover::agent
