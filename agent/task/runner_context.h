// SPDX-License-Identifier: Apache-2.0
// What every runner needs of the agent around it. One per agent, outlives all runners; everything in it may
// be used from any thread. Tests make their own, with fakes for drivers.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "agent/host/driver.h"
#include "base/result.h"

namespace boost::asio {
class io_context;
class thread_pool;
}  // namespace boost::asio
namespace drover::model {
class AllocatedDeviceResource;
class Node;
}  // namespace drover::model
namespace drover::sdk {
struct DeviceReservation;
}

namespace drover::agent {

class LogdClient;
class Store;

struct RunnerContext {
    boost::asio::io_context& io;
    boost::asio::thread_pool& pool;  // for what blocks
    Store& store;
    LogdClient* logd = nullptr;  // null: no log collection (tests)
    std::function<Result<std::shared_ptr<Driver>>(const std::string& name)> driver;
    std::function<std::shared_ptr<const model::Node>()> node;  // as it is now
    // What a task needs to use the devices it was given; blocks. Null: no devices (tests).
    std::function<Result<sdk::DeviceReservation>(const model::AllocatedDeviceResource&)> reserve;

    std::string alloc_root;  // <alloc_dir>
    std::string fifo_root;   // <data_dir>/client/fifos
    std::string task_root;   // <data_dir>/client/tasks: what drivers keep to find their tasks
    std::string region;
    std::string cgroup_parent;
    std::map<std::string, std::string> client_options;
    int64_t kill_timeout_ns_max = 30'000'000'000;
    bool rebooted = false;  // since the state was stored: explains why drivers do not know a task
};

}  // namespace drover::agent
