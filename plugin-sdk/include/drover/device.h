// SPDX-License-Identifier: Apache-2.0
// DevicePlugin: what an author of a device plugin implements (GPUs, FPGAs, USB sticks, ...): which devices this machine
// has, what a task needs to use some of them, and how they are doing. serve.h runs it as a plugin process.
//
// Threads: as for Driver (drover/driver.h): the SDK calls from a pool, every function may block, and several may run at
// the same time. A device plugin holds nothing of tasks: killed at any instruction, its successor answers the same.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "drover/hclspec.h"
#include "drover/types.h"

namespace drover::sdk {

struct Device {
    std::string id;  // unique in its group and lasting: a scheduler hands it out by this name
    bool healthy = true;
    std::string health_description;  // why not
    std::string pci_bus_id;          // "0000:03:00.0", "" when it has none: where it is in the topology
    friend bool operator==(const Device&, const Device&) = default;
};

// Devices that are alike. A job asks for "type", "vendor/type" or "vendor/type/name".
struct DeviceGroup {
    std::string vendor;  // "nvidia"
    std::string type;    // "gpu"
    std::string name;    // "Tesla H100"
    std::vector<Device> devices;
    std::map<std::string, Attribute> attributes;  // with units: {"memory", {81559, "MiB"}}
    friend bool operator==(const DeviceGroup&, const DeviceGroup&) = default;
};

// What the host gives to the task that got the devices.
struct DeviceReservation {
    StringMap env;
    std::vector<Mount> mounts;        // task_path, host_path, read_only
    std::vector<DeviceNode> devices;  // task_path, host_path, cgroup_permissions
    friend bool operator==(const DeviceReservation&, const DeviceReservation&) = default;
};

// One figure: a value, or a part of a whole (numerator, denominator), with its unit and what it is.
struct StatValue {
    std::variant<std::monostate, bool, int64_t, double, std::string> value;
    std::optional<double> denominator;  // of a number: what 100 % is; sent as the value's own kind
    std::string unit;
    std::string description;
    friend bool operator==(const StatValue&, const StatValue&) = default;
};
struct StatObject {
    std::map<std::string, StatValue> values;
    std::map<std::string, StatObject> nested;
    friend bool operator==(const StatObject&, const StatObject&) = default;
};
struct DeviceStats {
    StatValue summary;  // the one figure that overviews show
    StatObject stats;
    int64_t timestamp_unix_ns = 0;  // 0: filled in by the SDK
    friend bool operator==(const DeviceStats&, const DeviceStats&) = default;
};
struct DeviceGroupStats {
    std::string vendor, type, name;
    std::map<std::string, DeviceStats> instances;  // by device id
    friend bool operator==(const DeviceGroupStats&, const DeviceGroupStats&) = default;
};

class DevicePlugin {
 public:
    virtual ~DevicePlugin() = default;

    // --- who it is: no side effects, callable at any time, also before set_config
    virtual std::string name() const = 0;
    virtual std::string version() const = 0;  // "0.1.0"
    virtual std::optional<HclSpec> config_schema() const { return std::nullopt; }  // none: takes no config

    // The plugin's config block as msgpack. Idempotent; see Driver::set_config.
    virtual Status set_config(std::string_view msgpack) = 0;

    // All devices of this machine, each time; asked at once, then every fingerprint_period_ns(); what changed is sent
    // on. NotFound: this machine cannot have any (no library, no driver): the stream ends, and a host stops asking. Any
    // other error fails the stream; a host asks again later.
    virtual Result<std::vector<DeviceGroup>> fingerprint() = 0;
    virtual int64_t fingerprint_period_ns() const { return 30'000'000'000; }

    // What a task needs to use exactly these devices. Pure: a reservation is not counted here, may be asked again after
    // a crash of either side, and is never returned. NotFound names an id that is not there.
    virtual Result<DeviceReservation> reserve(const std::vector<std::string>& device_ids) = 0;

    virtual Result<std::vector<DeviceGroupStats>> stats() = 0;
};

}  // namespace drover::sdk
