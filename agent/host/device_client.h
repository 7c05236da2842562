// SPDX-License-Identifier: Apache-2.0
// DeviceClient: the DeviceSource of one device plugin's name, over whatever instance of it lives at the moment. The
// supervisor attaches and detaches connections and hands over what the streams bring.
//
// Threads: any. A mutex guards the few fields; no callback is made while it is held.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "agent/host/device.h"
#include "agent/host/plugin_rpc.h"

namespace drover::agent {

class DeviceClient : public DeviceSource {
 public:
    // `changed` is called when groups() has.
    DeviceClient(std::string name, boost::asio::io_context& io, std::function<void()> changed);

    // --- for the supervisor
    void attach(std::shared_ptr<PluginRpc> rpc);
    void detach(const PluginRpc& rpc);
    void set_groups(std::vector<sdk::DeviceGroup> groups);  // replaces all
    void add_stats(std::vector<sdk::DeviceGroupStats> stats);
    // What is known stays, but nothing of it may be given out.
    void set_unhealthy(const std::string& reason);

    // --- DeviceSource
    const std::string& name() const override { return name_; }
    std::vector<sdk::DeviceGroup> groups() const override;
    std::vector<sdk::DeviceGroupStats> stats() const override;
    void reserve(std::vector<std::string> device_ids, Done<sdk::DeviceReservation> done) override;

 private:
    using GroupKey = std::tuple<std::string, std::string, std::string>;

    const std::string name_;
    boost::asio::io_context& io_;
    const std::function<void()> changed_;

    mutable std::mutex mutex_;
    std::shared_ptr<PluginRpc> live_;
    std::vector<sdk::DeviceGroup> groups_;
    std::map<GroupKey, sdk::DeviceGroupStats> stats_;
};

}  // namespace drover::agent
