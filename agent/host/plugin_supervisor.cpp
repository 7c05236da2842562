// SPDX-License-Identifier: Apache-2.0
// PluginSupervisor, second half: a configured plugin's streams and health, its loss, its shutdown. See the
// header.
#include "agent/host/plugin_supervisor.h"

#include <sys/stat.h>
#include <unistd.h>

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

PluginSupervisor::PluginSupervisor(Spec spec, const HostLimits& limits, boost::asio::io_context& io,
                                   SupervisorHost& host)
    : key_(spec.key),
      spec_(std::move(spec)),
      limits_(limits),
      io_(io),
      host_(host),
      strand_(boost::asio::make_strand(io)),
      attempt_timer_(strand_),
      health_timer_(strand_),
      unhealthy_timer_(strand_),
      fingerprint_timer_(strand_),
      events_timer_(strand_),
      shutdown_timer_(strand_),
      backoff_(limits.backoff_min_ns, limits.backoff_max_ns),
      fingerprint_backoff_(limits.fingerprint_retry_min_ns, limits.fingerprint_retry_max_ns),
      events_backoff_(limits.fingerprint_retry_min_ns, limits.fingerprint_retry_max_ns),
      random_(std::random_device()()) {
    status_.file = spec_.file;
    status_.name = spec_.key;
    status_.bundled = spec_.bundled;
    status_.since = unix_now();
}

void PluginSupervisor::start() {
    boost::asio::post(strand_, [self = shared_from_this()] { self->begin(); });
}

PluginStatus PluginSupervisor::status() const {
    std::lock_guard lock(status_mutex_);
    return status_;
}

std::string PluginSupervisor::log_name() const {
    for (std::string_view prefix : {"drover-driver-", "drover-device-"}) {
        if (starts_with(key_, prefix)) return key_.substr(prefix.size());
    }
    return key_;
}

void PluginSupervisor::set_state(PluginState state, std::string reason) {
    std::lock_guard lock(status_mutex_);
    status_.state = state;
    status_.reason = std::move(reason);
    status_.since = unix_now();
    status_.pid = process_ && !process_->exited() ? process_->pid() : 0;
}

void PluginSupervisor::after(boost::asio::steady_timer& timer, int64_t delay_ns, std::function<void()> f) {
    timer.expires_after(std::chrono::nanoseconds(delay_ns));
    timer.async_wait([self = shared_from_this(), attempt = attempt_,
                      f = std::move(f)](const boost::system::error_code& cancelled) {
        if (!cancelled && self->attempt_ == attempt) f();
    });
}

void PluginSupervisor::watch_process(pid_t pid, UniqueFd pidfd, PluginProcess::Streams streams,
                                     bool expect_handshake) {
    process_ =
        std::make_shared<PluginProcess>(strand_, log_name(), pid, std::move(pidfd), std::move(streams));
    std::function<void(std::string)> first_line;
    if (expect_handshake) first_line = bound([this](const std::string& line) { on_handshake(line); });
    process_->watch(std::move(first_line), bound([this](std::string reason) { lost(std::move(reason)); }));
    std::lock_guard lock(status_mutex_);
    status_.pid = pid;
}

// ---- a usable plugin ----

void PluginSupervisor::healthy() {
    healthy_since_ns_ = mono_now();
    unhealthy_timer_.cancel();
    shown_unhealthy_ = false;
    set_state(PluginState::Healthy, "");
    log::info(kLog, "plugin is up", {{"plugin", key_}, {"pid", record_.pid}});
    schedule_health_check();
    answer_replacement({});
}

void PluginSupervisor::open_fingerprint() {
    fingerprint_ = rpc_->fingerprint(bound([this](const sdk::Fingerprint& fingerprint) {
                                         fingerprint_backoff_.reset();
                                         client_->set_fingerprint(fingerprint);
                                         if (!std::exchange(settled_, true)) host_.settled(*this);
                                     }),
                                     bound([this](const Status& ended) {
                                         // A dead plugin is lost()'s business. A stream that ends on a live
                                         // one is opened again, never at once: some plugins end it each time.
                                         if (!ended && !plugin_lost(ended.error())) {
                                             sdk::Fingerprint failed;
                                             failed.error = ended.error().message();
                                             client_->set_fingerprint(failed);
                                         }
                                         after(fingerprint_timer_,
                                               fingerprint_backoff_.next(static_cast<uint32_t>(random_())),
                                               [this] { open_fingerprint(); });
                                     }));
}

void PluginSupervisor::open_task_events() {
    task_events_ =
        rpc_->task_events(bound([this](const sdk::TaskEvent& event) {
                              events_backoff_.reset();
                              host_.task_event(event);
                          }),
                          bound([this](const Status&) {
                              after(events_timer_, events_backoff_.next(static_cast<uint32_t>(random_())),
                                    [this] { open_task_events(); });
                          }));
}

void PluginSupervisor::schedule_health_check() {
    // Trouble in some call: look soon, but leave time for the exit to be heard of, which knows the better
    // reason.
    constexpr int64_t kTroubleDelay = 200 * kMillisecond;
    rpc_->on_trouble(bound(
        [this](const std::string&) { after(health_timer_, kTroubleDelay, [this] { check_health(); }); }));
    after(health_timer_, limits_.health_interval_ns, [this] { check_health(); });
}

void PluginSupervisor::check_health() {
    rpc_->plugin_info(limits_.health_deadline_ns, bound([this](const Result<sdk::PluginInfo>& info) {
                          if (!info)
                              return lost(fmt::format("health check failed: {}", info.error().message()));
                          if (mono_now() - healthy_since_ns_ > limits_.backoff_reset_ns) backoff_.reset();
                          schedule_health_check();
                      }));
}

// ---- the end of a plugin ----

void PluginSupervisor::let_go_of_connection() {
    fingerprint_.reset();
    task_events_.reset();
    stdio_.reset();
    device_stats_.reset();
    if (!rpc_) return;
    if (client_) client_->detach(*rpc_);
    if (devices_) devices_->detach(*rpc_);
    rpc_->close();
    std::lock_guard lock(status_mutex_);
    std::erase_if(closed_, [](const auto& rpc) { return rpc->idle(); });
    closed_.push_back(std::exchange(rpc_, nullptr));
}

// The process is gone (or was never ours): its record and socket go, too.
void PluginSupervisor::forget_process() {
    struct stat info {};
    const std::string& socket = record_.address.address;
    if (record_.address.network == Handshake::Network::Unix && !socket.empty() &&
        ::lstat(socket.c_str(), &info) == 0 && S_ISSOCK(info.st_mode)) {
        ::unlink(socket.c_str());
    }
    ::unlink(record_path().c_str());
    record_ = PluginRecord();
    process_.reset();
}

// Anything that makes this instance useless: it exited, hangs, or was refused. Ends in a relaunch or in
// Failed.
void PluginSupervisor::lost(std::string reason, Retry retry) {
    if (stopping_) return;
    ++attempt_;
    attempt_timer_.cancel();
    health_timer_.cancel();
    fingerprint_timer_.cancel();
    events_timer_.cancel();
    const bool was_healthy = std::exchange(healthy_since_ns_, 0) != 0;
    let_go_of_connection();
    if (process_) process_->kill();  // reaped by its own watch, which lives on
    forget_process();
    const bool final = retry == Retry::No || spec_.file.empty();
    log::write(was_healthy ? log::Level::Error : log::Level::Warn, kLog,
               final ? "plugin failed" : "plugin is down, it will be restarted",
               {{"plugin", key_}, {"reason", reason}});
    if (final || shown_unhealthy_)  // what is shown keeps up with the reason
        set_unhealthy(fmt::format("plugin {}", reason));
    else if (was_healthy)
        unhealthy_later();
    Status failed = make_error(Code::FailedPrecondition, "{}", reason);
    set_state(final ? PluginState::Failed : PluginState::BackingOff, std::move(reason));
    if (!std::exchange(settled_, true)) host_.settled(*this);
    answer_replacement(std::move(failed));
    if (!final) after(attempt_timer_, backoff_.next(static_cast<uint32_t>(random_())), [this] { begin(); });
}

// Not tied to an attempt: it runs until healthy() stops it. What is shown is the reason of that moment.
void PluginSupervisor::unhealthy_later() {
    unhealthy_timer_.expires_after(std::chrono::nanoseconds(limits_.unhealthy_after_ns));
    unhealthy_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
        if (!cancelled && !self->stopping_)
            self->set_unhealthy(fmt::format("plugin {}", self->status().reason));
    });
}

void PluginSupervisor::set_unhealthy(const std::string& description) {
    shown_unhealthy_ = true;
    if (client_) client_->set_unhealthy(description);
    if (devices_) devices_->set_unhealthy(description);
}

// What it provided is another plugin's now, or nobody's.
void PluginSupervisor::disown() {
    client_.reset();
    devices_.reset();
}

// ---- another one in its place ----

void PluginSupervisor::replace(Spec spec, Done<void> done) {
    boost::asio::post(strand_,
                      [self = shared_from_this(), spec = std::move(spec), done = std::move(done)]() mutable {
                          self->replace_now(std::move(spec), std::move(done));
                      });
}

void PluginSupervisor::restart(Done<void> done) {
    boost::asio::post(strand_, [self = shared_from_this(), done = std::move(done)]() mutable {
        self->replace_now(self->spec_, std::move(done));
    });
}

void PluginSupervisor::refresh(Spec spec) {
    boost::asio::post(strand_, [self = shared_from_this(), spec = std::move(spec)]() mutable {
        if (self->compare(spec) == Instance::Stale) self->replace_now(std::move(spec), nullptr);
    });
}

// Whether what runs, or is on its way, is what `spec` asks for. What has failed is tried again: the reason
// may have gone.
PluginSupervisor::Instance PluginSupervisor::compare(const Spec& spec) const {
    const auto state = status().state;
    if (state == PluginState::Failed || state == PluginState::BackingOff) return Instance::Stale;
    const bool same = spec.file == record_.file && config_hash(spec) == record_.config_hash &&
                      identify_file(spec.file).value_or("") == record_.file_id;
    return same ? Instance::Current : Instance::Stale;
}

void PluginSupervisor::replace_now(Spec spec, Done<void> done) {
    if (stopping_) {
        if (done) done(make_error(Code::Unavailable, "the agent is stopping"));
        return;
    }
    answer_replacement(make_error(Code::Aborted, "replaced again meanwhile"));
    spec_ = std::move(spec);
    replaced_ = std::move(done);
    backoff_.reset();
    attempt_timer_.cancel();
    fingerprint_timer_.cancel();
    events_timer_.cancel();
    const bool ends = spec_.file.empty();
    if (std::exchange(healthy_since_ns_, 0) != 0) {
        log::info(kLog, ends ? "ending plugin" : "replacing plugin",
                  {{"plugin", key_}, {"pid", record_.pid}, {"file", ends ? record_.file : spec_.file}});
        if (!ends) unhealthy_later();
    }
    if (client_ && rpc_) client_->detach(*rpc_);  // calls from now on wait for the new one
    {
        std::lock_guard lock(status_mutex_);
        status_.file = spec_.file;
        status_.bundled = spec_.bundled;
        status_.reattached = false;
    }
    set_state(PluginState::Starting, ends ? "is being ended" : "is being replaced");
    shut_down([this, ends] {
        if (ends) {
            host_.release(*this, "its plugin is no longer installed or configured");
            disown();
        }
        launch();
    });
}

void PluginSupervisor::answer_replacement(Status status) {
    if (auto done = std::exchange(replaced_, nullptr)) done(std::move(status));
}

// Shutdown, patience, SIGKILL. `done` on the strand, when the process is gone (or the kernel does not let it
// go).
void PluginSupervisor::shut_down(std::function<void()> done) {
    const uint64_t attempt = ++attempt_;
    health_timer_.cancel();
    auto finish = [this, attempt, done = std::move(done)] {
        if (attempt_ != attempt) return;
        ++attempt_;
        attempt_timer_.cancel();
        shutdown_timer_.cancel();
        let_go_of_connection();
        forget_process();
        done();
    };
    if (!process_ || process_->exited()) return finish();
    process_->watch_exit([finish](const std::string&) { finish(); });
    if (!rpc_) {
        process_->kill();
    } else {
        auto ask = [this] {
            rpc_->shutdown([](const Status&) {});
            after(attempt_timer_, limits_.shutdown_ns, [this] { process_->kill(); });
        };
        if (record_.type == "driver")
            rpc_->driver_shutdown(bound([ask](const Status&) { ask(); }));
        else
            ask();
    }
    shutdown_timer_.expires_after(std::chrono::nanoseconds(2 * limits_.shutdown_ns + limits_.kill_ns));
    shutdown_timer_.async_wait(
        [self = shared_from_this(), finish](const boost::system::error_code& cancelled) {
            if (!cancelled) finish();
        });
}

void PluginSupervisor::wait_idle() {
    std::vector<std::shared_ptr<PluginRpc>> closed;
    {
        std::lock_guard lock(status_mutex_);
        closed.swap(closed_);
    }
    for (auto& rpc : closed) rpc->wait_idle();
}

void PluginSupervisor::retire(std::string reason) {
    boost::asio::post(strand_, [self = shared_from_this(), reason = std::move(reason)] {
        if (self->stopping_) return;
        self->attempt_timer_.cancel();
        self->unhealthy_timer_.cancel();
        self->shut_down([self, reason] {
            self->disown();
            self->lost(reason, Retry::No);
        });
    });
}

void PluginSupervisor::stop(StopKind kind, std::function<void()> done) {
    boost::asio::post(strand_, [self = shared_from_this(), kind, done = std::move(done)]() mutable {
        if (self->stopping_) return done();
        self->stopping_ = true;
        self->stop_done_ = std::move(done);
        self->answer_replacement(make_error(Code::Unavailable, "the agent is stopping"));
        self->attempt_timer_.cancel();
        // A process that is still being launched is of no use to the next agent.
        const bool usable = self->healthy_since_ns_ != 0 || self->status().reattached;
        if (kind == StopKind::Dev || (self->process_ && !usable))
            return self->shut_down([self, kind] { self->finish_stop(kind); });
        ++self->attempt_;
        self->let_go_of_connection();
        if (self->process_) self->process_->detach();
        self->finish_stop(kind);
    });
}

void PluginSupervisor::finish_stop(StopKind kind) {
    unhealthy_timer_.cancel();
    health_timer_.cancel();
    fingerprint_timer_.cancel();
    events_timer_.cancel();
    process_.reset();
    if (kind == StopKind::Dev) remove_traces();
    set_state(PluginState::Stopped, "");
    if (auto done = std::exchange(stop_done_, nullptr)) done();
}

// Of a plugin that is not to come back: its directory and its cgroup.
void PluginSupervisor::remove_traces() {
    if (auto removed = remove_tree(spec_.dir); !removed) {
        log::warn(kLog, "a plugin's directory stays", {{"error", removed.error().message()}});
    }
    if (spec_.cgroup.empty()) return;
    auto group = cgroup::Cgroup::open(spec_.cgroup);
    if (!group || !group->exists()) return;
    if (auto removed = group->remove(kSecond); !removed) {
        log::warn(kLog, "a plugin's cgroup stays",
                  {{"cgroup", spec_.cgroup}, {"error", removed.error().message()}});
    }
}

}  // namespace drover::agent
