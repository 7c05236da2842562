// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/docker_watch.h"

#include "base/clock.h"
#include "base/log.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/json_read.h"

namespace drover::drivers {
namespace {

constexpr int64_t kResyncNs = 30 * kSecond;
constexpr int64_t kRetryNs = 500 * kMillisecond;

}  // namespace

DockerWatch::DockerWatch(Engine& engine, std::string label, Hooks hooks)
    : engine_(engine), label_(std::move(label)), hooks_(std::move(hooks)) {
    events_ = std::thread([this] { follow_events(); });
    chores_ = std::thread([this] { run_chores(); });
}

DockerWatch::~DockerWatch() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        if (open_) open_->interrupt();
    }
    changed_.notify_all();
    events_.join();
    chores_.join();
}

void DockerWatch::poke_chores() {
    {
        std::lock_guard lock(mutex_);
        poked_ = true;
    }
    changed_.notify_all();
}

void DockerWatch::follow_events() {
    bool was_down = false;
    for (;;) {
        // A second back: the daemon sends its answer's head a moment before it listens. Events seen twice do
        // no harm.
        auto stream = engine_.events(label_, unix_now() / kSecond - 1);
        std::unique_lock lock(mutex_);
        if (stopping_) return;
        if (!stream) {
            if (!was_down)
                log::warn("docker", "cannot follow the daemon's events",
                          {{"error", stream.error().message()}});
            was_down = true;
            changed_.wait_for(lock, std::chrono::nanoseconds(kRetryNs), [this] { return stopping_; });
            continue;
        }
        was_down = false;
        open_ = stream->get();
        lock.unlock();
        read_events(**stream);
        lock.lock();
        open_ = nullptr;
    }
}

void DockerWatch::read_events(HttpExchange& stream) {
    hooks_.resync();
    std::string pending;
    for (int64_t resync_at = mono_now() + kResyncNs;;) {
        auto bytes = stream.read(resync_at);
        if (!bytes && bytes.error().code() == Code::DeadlineExceeded) {
            hooks_.resync();
            resync_at = mono_now() + kResyncNs;
            continue;
        }
        if (!bytes || bytes->empty()) return;
        pending += *bytes;
        for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
            auto event = nlohmann::json::parse(pending.substr(0, end), nullptr, false);
            const nlohmann::json* labels = find(event, "Actor", "Attributes");
            if (labels) hooks_.event(text_at(*labels, kTaskLabel), text_at(event, "Action"));
        }
    }
}

void DockerWatch::run_chores() {
    for (;;) {
        const int64_t next = hooks_.chores();
        std::unique_lock lock(mutex_);
        const int64_t wait = std::min<int64_t>(std::max<int64_t>(0, next - mono_now()), kHour);
        changed_.wait_for(lock, std::chrono::nanoseconds(wait), [this] { return stopping_ || poked_; });
        if (stopping_) return;
        poked_ = false;
    }
}

}  // namespace drover::drivers
