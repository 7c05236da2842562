// SPDX-License-Identifier: Apache-2.0
// PluginSupervisor, the part for device plugins: their two streams. Nothing of a task depends on such a plugin, so
// its death only makes its devices unhealthy until it is back.
#include "agent/host/plugin_supervisor.h"
#include "base/clock.h"
#include "base/log.h"
#include "plugin-sdk/wire/device_wire.h"
#include "proto/model/model.pb.h"

namespace drover::agent {
namespace {

constexpr std::string_view kLog = "client.device_mgr";
constexpr int64_t kStatsIntervalNs = kSecond;

}  // namespace

void PluginSupervisor::devices_ready() {
    devices_->attach(rpc_);
    open_device_fingerprint();
    healthy();
}

void PluginSupervisor::open_device_fingerprint() {
    fingerprint_ = rpc_->device_fingerprint(
        bound([this](std::vector<sdk::DeviceGroup> groups) { take_devices(std::move(groups)); }),
        bound([this](const Status& ended) {
            if (ended) return no_devices("it says that there are none");
            if (ended.error().code() == Code::NotFound) return no_devices(ended.error().message());
            // A dead plugin is lost()'s business; what else failed is tried again, never at once.
            if (!plugin_lost(ended.error())) {
                const std::string reason = "failed to fingerprint devices: " + ended.error().message();
                log::warn(kLog, reason, {{"plugin", key_}});
                devices_->set_unhealthy(reason);
                if (!std::exchange(settled_, true)) host_.settled(*this);
            }
            after(fingerprint_timer_, fingerprint_backoff_.next(static_cast<uint32_t>(random_())),
                  [this] { open_device_fingerprint(); });
        }));
}

void PluginSupervisor::take_devices(std::vector<sdk::DeviceGroup> groups) {
    if (auto sound = sdk::wire::check_groups(groups); !sound) {
        // It would say the same again after a relaunch.
        devices_->set_groups({});
        return lost(fmt::format("bad fingerprint: {}", sound.error().message()), Retry::No);
    }
    fingerprint_backoff_.reset();
    devices_->set_groups(std::move(groups));
    if (!device_stats_) open_device_stats();
    if (!std::exchange(settled_, true)) host_.settled(*this);
}

void PluginSupervisor::open_device_stats() {
    device_stats_ = rpc_->device_stats(
        kStatsIntervalNs, bound([this](std::vector<sdk::DeviceGroupStats> stats) {
            events_backoff_.reset();
            devices_->add_stats(std::move(stats));
        }),
        bound([this](const Status& ended) {
            if (ended || ended.error().code() == Code::Unimplemented) return;  // it has none
            after(events_timer_, events_backoff_.next(static_cast<uint32_t>(random_())),
                  [this] { open_device_stats(); });
        }));
}

// The plugin has nothing to look after on this machine: it is not asked again, and need not run.
void PluginSupervisor::no_devices(const std::string& why) {
    devices_->set_groups({});
    log::info(kLog, "device plugin has no devices, it is shut down", {{"plugin", key_}, {"reason", why}});
    attempt_timer_.cancel();
    unhealthy_timer_.cancel();
    shut_down([this, why] {
        set_state(PluginState::Stopped, "no devices: " + why);
        if (!std::exchange(settled_, true)) host_.settled(*this);
        answer_replacement({});
    });
}

}  // namespace drover::agent
