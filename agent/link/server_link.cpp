// SPDX-License-Identifier: Apache-2.0
#include "agent/link/server_link.h"

#include <future>
#include <random>

#include "base/clock.h"
#include "base/log.h"
#include "model/status.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client";
constexpr size_t kUpdatesPerBatchMax = 1000;
constexpr int64_t kNodeChangePauseNs = 50 * kMillisecond;
constexpr int64_t kHeartbeatTtlMin = 100 * kMillisecond;

// Pauses that double from min to max, each with jitter: half of it is random.
class Backoff {
 public:
    Backoff(int64_t min_ns, int64_t max_ns) : min_(min_ns), max_(max_ns), next_(min_ns) {}
    void reset() { next_ = min_; }
    int64_t next() {
        const int64_t whole = next_;
        next_ = std::min(next_ * 2, max_);
        return whole / 2 + std::uniform_int_distribution<int64_t>(0, whole / 2)(random_);
    }

 private:
    int64_t min_;
    int64_t max_;
    int64_t next_;
    std::minstd_rand random_{std::random_device{}()};
};

}  // namespace

struct ServerLink::Impl : std::enable_shared_from_this<ServerLink::Impl> {
    using Timer = boost::asio::steady_timer;

    Impl(boost::asio::io_context& io, ports::ClusterPort& port, Callbacks cb, Timing t)
        : cluster(port),
          callbacks(std::move(cb)),
          timing(t),
          strand(boost::asio::make_strand(io)),
          beat_timer(strand),
          watch_timer(strand),
          flush_timer(strand),
          node_timer(strand),
          beat_backoff(t.retry_min_ns, t.retry_max_ns),
          watch_backoff(t.retry_min_ns, t.retry_max_ns),
          flush_backoff(t.retry_min_ns, t.retry_max_ns) {}

    template <class Response, class Request, class F>
    void call(const char* method, Request request, F then) {
        auto cancel = std::make_shared<ports::CancelToken>();
        const uint64_t serial = ++calls;
        open_calls[serial] = cancel;
        ports::call<Response>(
            cluster, method, std::move(request),
            [weak = weak_from_this(), serial, then = std::move(then),
             strand = strand](Result<Response> result) {
                boost::asio::post(strand, [weak, serial, then, result = std::move(result)]() mutable {
                    auto self = weak.lock();
                    if (!self) return;
                    self->open_calls.erase(serial);
                    if (!self->stopped) then(*self, std::move(result));
                });
            },
            cancel);
    }

    void after(Timer& timer, int64_t ns, void (Impl::*next)()) {
        timer.expires_after(std::chrono::nanoseconds(ns));
        timer.async_wait([weak = weak_from_this(), next](const boost::system::error_code& ec) {
            auto self = weak.lock();
            if (!ec && self && !self->stopped) ((*self).*next)();
        });
    }

    // ---- registration and heartbeats: one chain, Register -> UpdateStatus(ready) -> wait ->
    // UpdateStatus(ready) ...

    void register_node() {
        node_dirty = false;
        cluster::NodeRegisterRequest request;
        *request.mutable_node() = *callbacks.node();
        request.mutable_node()->set_status(std::string(model::kNodeStatusInit));
        node_id = request.node().id();
        secret_id = request.node().secret_id();
        call<cluster::NodeHeartbeatResponse>(
            "Node.Register", std::move(request), [](Impl& self, auto result) {
                if (!result) return self.beat_failed("cannot register node", result.error());
                if (!self.registered) log::info(kComponent, "node registration complete");
                self.registered = true;
                self.take(*result);
                self.beat();
            });
    }

    void beat() {
        cluster::NodeUpdateStatusRequest request;
        request.set_node_id(node_id);
        request.set_secret_id(secret_id);
        request.set_status(std::string(model::kNodeStatusReady));
        call<cluster::NodeHeartbeatResponse>(
            "Node.UpdateStatus", std::move(request), [](Impl& self, auto result) {
                if (!result && result.error().code() == Code::NotFound) {
                    log::warn(kComponent, "servers do not know this node; registering again");
                    self.registered = false;
                    return self.after(self.beat_timer, self.beat_backoff.next(), &Impl::register_node);
                }
                if (!result) return self.beat_failed("heartbeat failed", result.error());
                if (self.complained) log::info(kComponent, "heartbeats are answered again");
                self.complained = false;
                self.beat_backoff.reset();
                self.last_beat = mono_now();
                self.take(*result);
                if (self.node_dirty) {
                    self.after(self.beat_timer, kNodeChangePauseNs, &Impl::register_node);
                } else {
                    self.after(self.beat_timer, std::max(self.ttl, kHeartbeatTtlMin), &Impl::beat);
                }
                self.beating = true;
                if (!self.watching) self.watch();
            });
    }

    void beat_failed(const char* what, const Error& error) {
        if (!complained) log::error(kComponent, what, {{"error", error.message()}});
        complained = true;
        after(beat_timer, beat_backoff.next(), registered ? &Impl::beat : &Impl::register_node);
    }

    void take(const cluster::NodeHeartbeatResponse& response) {
        if (response.heartbeat_ttl_ns() > 0) ttl = response.heartbeat_ttl_ns();
        std::vector<std::string> list(response.servers().begin(), response.servers().end());
        if (list.empty() || list == servers) return;
        servers = list;
        if (callbacks.servers) callbacks.servers(std::move(list));
    }

    // ---- allocations: one chain of long polls

    void watch() {
        watching = true;
        cluster::NodeClientAllocsRequest request;
        request.set_node_id(node_id);
        request.set_secret_id(secret_id);
        request.mutable_query()->set_min_index(index);
        request.mutable_query()->set_max_wait_ns(timing.poll_wait_ns);
        call<cluster::NodeClientAllocsResponse>(
            "Node.GetClientAllocs", std::move(request), [](Impl& self, auto result) {
                if (!result) return self.watch_failed(result.error());
                std::map<std::string, uint64_t> list(result->allocs().begin(), result->allocs().end());
                const uint64_t seen = result->meta().index();
                auto ids = self.callbacks.wanted(list);
                if (ids.empty()) return self.apply(std::move(list), seen, {});
                self.fetch(std::move(list), seen, std::move(ids));
            });
    }

    void fetch(std::map<std::string, uint64_t> list, uint64_t seen, std::vector<std::string> ids) {
        cluster::AllocGetManyRequest request;
        request.mutable_alloc_ids()->Add(ids.begin(), ids.end());
        request.mutable_query()->set_namespace_("*");
        request.mutable_query()->set_allow_stale(false);
        call<cluster::AllocGetManyResponse>(
            "Alloc.GetMany", std::move(request),
            [list = std::move(list), seen](Impl& self, auto result) mutable {
                if (!result) return self.watch_failed(result.error());
                std::vector<model::Allocation> allocs(
                    std::make_move_iterator(result->mutable_allocs()->begin()),
                    std::make_move_iterator(result->mutable_allocs()->end()));
                self.apply(std::move(list), seen, std::move(allocs));
            });
    }

    void apply(std::map<std::string, uint64_t> list, uint64_t seen, std::vector<model::Allocation> allocs) {
        watch_backoff.reset();
        index = seen;
        callbacks.apply(list, std::move(allocs));
        if (!applied) {
            applied = true;
            flush();  // what was held back until the servers' view was known
        }
        watch();
    }

    void watch_failed(const Error& error) {
        if (error.code() == Code::NotFound && registered) {
            log::warn(kComponent, "servers do not know this node; registering again");
            after(beat_timer, 0, &Impl::register_node);
        } else {
            log::debug(kComponent, "cannot ask for allocations", {{"error", error.message()}});
        }
        after(watch_timer, watch_backoff.next(), &Impl::watch);
    }

    // ---- updates: one batch at a time; what comes meanwhile is the next one

    void add(model::Allocation update) {
        const std::string id = update.id();
        pending[id] = std::move(update);
        schedule_flush();
    }

    void schedule_flush() {
        if (flush_armed || flushing || pending.empty() || !applied) return;
        flush_armed = true;
        const auto load = static_cast<int64_t>(last_batch) * timing.batch_min_ns / 4;
        after(flush_timer, std::clamp(load, timing.batch_min_ns, timing.batch_max_ns), &Impl::flush);
    }

    void flush() {
        flush_armed = false;
        if (flushing || pending.empty() || !applied) return;
        cluster::NodeUpdateAllocsRequest request;
        request.set_node_id(node_id);
        request.set_secret_id(secret_id);
        auto batch = std::make_shared<std::map<std::string, model::Allocation>>();
        while (!pending.empty() && batch->size() < kUpdatesPerBatchMax)
            batch->insert(pending.extract(pending.begin()));
        for (const auto& [id, update] : *batch) *request.add_allocs() = update;
        flushing = true;
        call<cluster::NodeUpdateAllocsResponse>(
            "Node.UpdateAllocs", std::move(request), [batch](Impl& self, auto result) {
                self.flushing = false;
                if (!result) {
                    log::debug(kComponent, "cannot send allocation updates",
                               {{"error", result.error().message()}});
                    for (auto& [id, update] : *batch)
                        self.pending.try_emplace(id, std::move(update));  // newer ones stay
                    self.flush_armed = true;
                    return self.after(self.flush_timer, self.flush_backoff.next(), &Impl::flush);
                }
                self.flush_backoff.reset();
                self.last_batch = batch->size();
                for (const auto& [id, update] : *batch)
                    self.callbacks.acknowledged(id, update.client_status());
                self.schedule_flush();
            });
    }

    void stop() {
        stopped = true;
        for (auto* timer : {&beat_timer, &watch_timer, &flush_timer, &node_timer}) timer->cancel();
        auto open = std::move(open_calls);
        for (auto& [serial, cancel] : open) cancel->cancel();
    }

    ports::ClusterPort& cluster;
    const Callbacks callbacks;
    const Timing timing;
    boost::asio::strand<boost::asio::io_context::executor_type> strand;
    Timer beat_timer, watch_timer, flush_timer, node_timer;
    Backoff beat_backoff, watch_backoff, flush_backoff;

    std::atomic<bool> stopped{false};
    std::map<uint64_t, std::shared_ptr<ports::CancelToken>> open_calls;
    uint64_t calls = 0;

    std::string node_id, secret_id;
    bool registered = false;
    bool node_dirty = false;
    bool beating = false;  // the chain waits for its next beat
    bool complained = false;
    int64_t ttl = 10 * kSecond;
    int64_t last_beat = 0;
    std::vector<std::string> servers;

    bool watching = false;
    uint64_t index = 0;
    bool applied = false;  // the servers' list was seen once

    std::map<std::string, model::Allocation> pending;
    bool flushing = false;
    bool flush_armed = false;
    size_t last_batch = 0;
};

ServerLink::ServerLink(boost::asio::io_context& io, ports::ClusterPort& cluster, Callbacks callbacks,
                       Timing timing)
    : impl_(std::make_shared<Impl>(io, cluster, std::move(callbacks), timing)) {}

ServerLink::~ServerLink() {
    stop();
}

void ServerLink::start() {
    boost::asio::post(impl_->strand, [impl = impl_] {
        if (!impl->stopped) impl->register_node();
    });
}

void ServerLink::stop() {
    if (impl_->stopped.exchange(true)) return;
    if (impl_->strand.running_in_this_thread()) return impl_->stop();
    auto done = std::make_shared<std::promise<void>>();
    auto future = done->get_future();
    boost::asio::post(impl_->strand, [impl = impl_, done] {
        impl->stop();
        done->set_value();
    });
    // The io_context may have ended already; then nothing runs there any more.
    future.wait_for(std::chrono::seconds(5));
}

void ServerLink::node_changed() {
    boost::asio::post(impl_->strand, [impl = impl_] {
        if (impl->stopped || !impl->beating) {
            impl->node_dirty = true;  // the registration under way may have the old one
            return;
        }
        if (impl->node_dirty) return;
        impl->node_dirty = true;
        impl->after(impl->beat_timer, kNodeChangePauseNs, &Impl::register_node);
    });
}

void ServerLink::update(model::Allocation update) {
    boost::asio::post(impl_->strand, [impl = impl_, update = std::move(update)]() mutable {
        if (!impl->stopped) impl->add(std::move(update));
    });
}

ServerLink::Figures ServerLink::figures() const {
    auto promise = std::make_shared<std::promise<Figures>>();
    auto future = promise->get_future();
    boost::asio::post(impl_->strand, [impl = impl_, promise] {
        promise->set_value({impl->registered, impl->ttl, impl->last_beat, impl->servers});
    });
    if (future.wait_for(std::chrono::seconds(1)) != std::future_status::ready) return {};
    return future.get();
}

}  // namespace drover::agent
