// SPDX-License-Identifier: Apache-2.0
// slots: a device plugin for whatever has a node in /dev (serial ports, loop devices, FPGA boards): its config lists
// them by kind, tasks ask for them ("slots/serial"), and each node is given to one task at a time.
#include <sys/stat.h>

#include <filesystem>
#include <mutex>

#include "drover/config.h"
#include "drover/device.h"
#include "drover/serve.h"

namespace sdk = drover::sdk;
using drover::Code, drover::Result, drover::Status, drover::make_error;

// [config]
struct Kind {
    std::string type;                               // "serial": what jobs ask for
    std::vector<std::string> paths;                 // "/dev/ttyUSB0"; the last part of one is the device's id
    std::map<std::string, std::string> attributes;  // for constraints
};
struct Config {
    std::vector<Kind> kinds;
};
const auto kind_schema = sdk::Schema<Kind>()
                             .required("type", &Kind::type)
                             .required("paths", &Kind::paths)
                             .optional("attributes", &Kind::attributes);
const auto config_schema = sdk::Schema<Config>().blocks("kind", &Config::kinds, kind_schema);
// [/config]

std::string id_of(const std::string& path) { return std::filesystem::path(path).filename(); }

// Why it cannot be used; empty when it can.
std::string trouble(const std::string& path) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return path + " is not there";
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return path + " is no device node";
    return "";
}

class SlotsPlugin final : public sdk::DevicePlugin {
 public:
    std::string name() const override { return "slots"; }
    std::string version() const override { return "0.1.0"; }
    std::optional<sdk::HclSpec> config_schema() const override { return ::config_schema.spec(); }

    Status set_config(std::string_view msgpack) override {
        DROVER_TRY(Config config, ::config_schema.decode(msgpack));
        for (const Kind& kind : config.kinds)
            for (const std::string& path : kind.paths)
                if (!path.starts_with("/dev/"))
                    return make_error(Code::InvalidArgument, "kind {}: \"{}\" is not below /dev", kind.type, path);
        std::lock_guard lock(mutex_);
        config_ = std::move(config);
        return {};
    }

    // [fingerprint]
    Result<std::vector<sdk::DeviceGroup>> fingerprint() override {
        std::vector<sdk::DeviceGroup> groups;
        for (const Kind& kind : config().kinds) {
            sdk::DeviceGroup group{.vendor = "slots", .type = kind.type, .name = kind.type};
            for (const auto& [key, text] : kind.attributes) group.attributes[key] = {text, ""};
            for (const std::string& path : kind.paths) {
                const std::string why = trouble(path);
                group.devices.push_back({.id = id_of(path), .healthy = why.empty(), .health_description = why});
            }
            groups.push_back(std::move(group));
        }
        return groups;
    }
    // [/fingerprint]

    // [reserve]
    Result<sdk::DeviceReservation> reserve(const std::vector<std::string>& ids) override {
        sdk::DeviceReservation out;
        std::string& paths = out.env["SLOTS_PATHS"];
        for (const std::string& id : ids) {
            const std::string path = path_of(id);
            if (path.empty()) return make_error(Code::NotFound, "there is no device \"{}\"", id);
            out.devices.push_back({.task_path = path, .host_path = path, .cgroup_permissions = "rw"});
            paths += (paths.empty() ? "" : ":") + path;
        }
        return out;
    }
    // [/reserve]

    Result<std::vector<sdk::DeviceGroupStats>> stats() override {
        std::vector<sdk::DeviceGroupStats> out;
        for (const Kind& kind : config().kinds) {
            sdk::DeviceGroupStats group{.vendor = "slots", .type = kind.type, .name = kind.type};
            for (const std::string& path : kind.paths)
                group.instances[id_of(path)].summary = {.value = trouble(path).empty(), .description = "Usable"};
            out.push_back(std::move(group));
        }
        return out;
    }

 private:
    Config config() {
        std::lock_guard lock(mutex_);
        return config_;
    }
    std::string path_of(const std::string& id) {
        for (const Kind& kind : config().kinds)
            for (const std::string& path : kind.paths)
                if (id_of(path) == id) return path;
        return "";
    }

    std::mutex mutex_;
    Config config_;
};

int main(int argc, char** argv) {
    return sdk::serve<SlotsPlugin>(argc, argv);
}
