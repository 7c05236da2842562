// SPDX-License-Identifier: Apache-2.0
// MockDevice: a device plugin whose devices are what its config says, and which misbehaves on request. For the tests of
// whoever uses device plugins; never installed.
#pragma once
#include <chrono>
#include <mutex>

#include "drover/config.h"
#include "drover/device.h"

namespace drover::devices {

struct MockGroup {
    std::string vendor = "mock";
    std::string type = "gpu";
    std::string name = "mock";
    std::vector<std::string> ids;
    std::vector<std::string> pci_bus_ids;          // of the ids, in order; may be shorter
    std::map<std::string, std::string> texts;      // attributes
    std::map<std::string, int64_t> megabytes;      // attributes in MiB
    std::map<std::string, std::string> env;        // of a reservation, beside MOCK_DEVICES
    std::map<std::string, std::string> mounts;     // of a reservation: task path -> host path, read-only
    std::map<std::string, std::string> dev_nodes;  // of a reservation: task path -> host path
};

struct MockConfig {
    std::vector<MockGroup> groups;
    // A file with one line "<id> <reason>" for each unhealthy device, "-<id>" for each that is gone; read each time, so
    // that a test changes it while the plugin runs.
    std::string state_file;
    std::chrono::nanoseconds fingerprint_period{50'000'000};
    bool none = false;  // this machine cannot have any
    std::string set_config_error;
    std::string fingerprint_error;
    std::string reserve_error;
    std::string stats_error;
    std::string crash_at;  // "SetConfig", "Fingerprint", "Reserve", "Stats": the plugin kills itself
    std::string hang_at;   // ... and never answers
};

const sdk::Schema<MockConfig>& mock_schema();

class MockDevice final : public sdk::DevicePlugin {
 public:
    std::string name() const override { return "mock_device"; }
    std::string version() const override { return "0.1.0"; }
    std::optional<sdk::HclSpec> config_schema() const override { return mock_schema().spec(); }
    Status set_config(std::string_view msgpack) override;
    Result<std::vector<sdk::DeviceGroup>> fingerprint() override;
    int64_t fingerprint_period_ns() const override { return config().fingerprint_period.count(); }
    Result<sdk::DeviceReservation> reserve(const std::vector<std::string>& device_ids) override;
    Result<std::vector<sdk::DeviceGroupStats>> stats() override;

 private:
    MockConfig config() const;

    mutable std::mutex mutex_;
    MockConfig config_;
};

}  // namespace drover::devices
