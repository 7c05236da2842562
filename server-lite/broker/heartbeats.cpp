// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/heartbeats.h"

#include <random>

#include "base/clock.h"
#include "base/log.h"
#include "model/status.h"
#include "server-lite/core.h"

namespace drover::server {

int64_t Heartbeats::reset(const std::string& node_id) {
    int64_t ttl;
    {
        std::lock_guard lock(mutex_);
        ttl = std::max(core_.options.heartbeat_min_ttl_ns,
                       static_cast<int64_t>(static_cast<double>(timers_.size()) /
                                            core_.options.heartbeats_per_second_max * 1e9));
    }
    thread_local std::mt19937_64 random(std::random_device{}());
    ttl += static_cast<int64_t>(random() % static_cast<uint64_t>(std::max<int64_t>(1, ttl)));
    start(node_id, ttl + core_.options.heartbeat_grace_ns);
    return ttl;
}

void Heartbeats::start(const std::string& node_id, int64_t ttl_ns) {
    std::lock_guard lock(mutex_);
    auto& timer = timers_[node_id];
    if (timer != 0) core_.timers.cancel(timer);
    timer = core_.timers.schedule(mono_now() + ttl_ns, [this, node_id] { expired(node_id); });
}

void Heartbeats::clear(const std::string& node_id) {
    std::lock_guard lock(mutex_);
    auto found = timers_.find(node_id);
    if (found == timers_.end()) return;
    core_.timers.cancel(found->second);
    timers_.erase(found);
}

size_t Heartbeats::active() const {
    std::lock_guard lock(mutex_);
    return timers_.size();
}

void Heartbeats::expired(const std::string& node_id) {
    {
        std::lock_guard lock(mutex_);
        timers_.erase(node_id);
    }
    core_.pool.post([this, node_id] {
        const auto state = core_.store.snapshot();
        const auto node = state->node(node_id);
        if (!node || node->status() == model::kNodeStatusDown || !core_.leader()) return;
        log::warn("server.heartbeat", "node TTL expired", {{"node_id", node_id}});
        cmd::Command command;
        auto& status = *command.mutable_node_status();
        status.set_node_id(node_id);
        status.set_status(std::string(model::kNodeStatusDown));
        status.set_missed_heartbeat(true);
        status.mutable_event()->set_message("Node heartbeat missed");
        status.mutable_event()->set_subsystem("Cluster");
        status.mutable_event()->set_timestamp(unix_now());
        auto down = *node;
        down.set_status(status.status());
        for (auto& eval : node_evals(*state, down, model::kTriggerNodeUpdate, unix_now()))
            *status.add_evals() = std::move(eval);
        core_.propose(std::move(command), [this, node_id](Result<uint64_t> index) {
            if (index || index.error().code() == Code::Cancelled || index.error().code() == Code::NotFound)
                return;
            log::error("server.heartbeat", "failed to mark node down, trying again",
                       {{"node_id", node_id}, {"error", index.error().message()}});
            start(node_id, kSecond);
        });
    });
}

}  // namespace drover::server
