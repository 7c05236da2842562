// SPDX-License-Identifier: Apache-2.0
#include "server-lite/rpc/endpoints.h"

#include "base/clock.h"

namespace drover::server {
namespace {
constexpr size_t kWaitingMax = 100'000;
constexpr int64_t kWaitMax = 5 * kMinute;
}  // namespace

// One read under way. It runs, then waits for a change, its time or its end, and runs again.
struct Endpoints::Waiting {
    const Reader* reader = nullptr;
    std::shared_ptr<const Message> request;
    Done done;
    std::shared_ptr<ports::CancelToken> cancel;
    uint64_t min_index = 0;

    std::mutex mutex;
    bool waiting = false, changed = false, over = false, cancelled = false, finished = false;
    uint64_t watch = 0, timer = 0;
};

Endpoints::Endpoints(Core& core) : core_(core) {
    register_job_endpoints(*this);
    register_eval_endpoints(*this);
    register_alloc_endpoints(*this);
    register_node_endpoints(*this);
    register_cluster_endpoints(*this);
}

Endpoints::~Endpoints() {
    stop();
}

void Endpoints::call(const google::protobuf::MethodDescriptor& method, std::shared_ptr<const Message> request,
                     Done done, std::shared_ptr<ports::CancelToken> cancel) {
    if (auto writer = writers_.find(&method); writer != writers_.end()) {
        auto shared = std::make_shared<Done>(std::move(done));
        const bool taken = core_.pool.post([act = &writer->second, request, shared] {
            act->operator()(
                request, [shared](Result<std::unique_ptr<Message>> result) { (*shared)(std::move(result)); });
        });
        if (!taken) (*shared)(Error(Code::Cancelled, "the server is shutting down"));
        return;
    }
    auto reader = readers_.find(&method);
    if (reader == readers_.end())
        return done(make_error(Code::Unimplemented, "{} is not implemented", method.full_name()));
    const auto& query = reader->second.query(*request);
    if (!query.region().empty() && query.region() != core_.options.region)
        return done(make_error(Code::Unknown, "No path to region"));

    auto waiting = std::make_shared<Waiting>();
    waiting->reader = &reader->second;
    waiting->request = std::move(request);
    waiting->done = std::move(done);
    waiting->cancel = cancel;
    waiting->min_index = query.min_index();
    std::optional<Error> refused;
    {
        std::lock_guard lock(mutex_);
        if (stopped_)
            refused = Error(Code::Cancelled, "the server is shutting down");
        else if (waiting_.size() >= kWaitingMax)
            refused = Error(Code::ResourceExhausted, "too many requests are waiting");
        else
            waiting_.insert(waiting);
    }
    if (refused) return waiting->done(std::move(*refused));
    if (waiting->min_index > 0) {
        int64_t wait = query.max_wait_ns() > 0 ? std::min(query.max_wait_ns(), kWaitMax) : kWaitMax;
        wait += wait / 16 * static_cast<int64_t>(reinterpret_cast<uintptr_t>(waiting.get()) / 64 % 16) /
                16;  // spread the herd
        const auto timer = core_.timers.schedule(mono_now() + wait, [this, weak = std::weak_ptr(waiting)] {
            auto w = weak.lock();
            if (!w) return;
            bool again;
            {
                std::lock_guard lock(w->mutex);
                w->over = true;
                again = std::exchange(w->waiting, false);
            }
            if (again) core_.pool.post([this, w] { run(w); });
        });
        std::lock_guard lock(waiting->mutex);
        waiting->timer = timer;
    }
    if (cancel)
        cancel->on_cancel([this, weak = std::weak_ptr(waiting)] {
            auto w = weak.lock();
            if (!w) return;
            bool again;
            {
                std::lock_guard lock(w->mutex);
                w->cancelled = true;
                again = std::exchange(w->waiting, false);
            }
            if (again && !core_.pool.post([this, w] { run(w); })) run(w);
        });
    if (!core_.pool.post([this, waiting] { run(waiting); }))
        finish(waiting, Error(Code::Cancelled, "the server is shutting down"));
}

void Endpoints::run(const std::shared_ptr<Waiting>& w) {
    for (;;) {
        bool over;
        {
            std::lock_guard lock(w->mutex);
            if (w->finished) return;
            w->changed = false;
            over = w->over || w->min_index == 0;
            if (w->watch != 0) core_.store.unwatch(std::exchange(w->watch, 0));
        }
        if (w->cancelled) return finish(w, Error(Code::Cancelled, "cancelled"));
        // Watch first, then look: a change in between is not missed.
        if (!over) {
            const auto watch =
                core_.store.watch(w->reader->keys(*w->request), [this, weak = std::weak_ptr(w)] {
                    auto waiting = weak.lock();
                    if (!waiting) return;
                    bool again;
                    {
                        std::lock_guard lock(waiting->mutex);
                        waiting->changed = true;
                        again = std::exchange(waiting->waiting, false);
                    }
                    if (again) core_.pool.post([this, waiting] { run(waiting); });
                });
            std::lock_guard lock(w->mutex);
            w->watch = watch;
        }
        const auto state = core_.store.snapshot();
        auto response = w->reader->make(*w->request);
        auto index = w->reader->answer(*w->request, *state, *response);
        const bool not_yet =
            index ? *index <= w->min_index
                  : index.error().code() == Code::NotFound && w->reader->missing == Missing::Waits;
        if (over || !not_yet) {
            if (!index) return finish(w, std::move(index).error());
            w->reader->meta(*response, std::max<uint64_t>(1, *index));
            return finish(w, std::move(response));
        }
        std::lock_guard lock(w->mutex);
        if (w->changed || w->over || w->cancelled) continue;
        w->waiting = true;
        return;
    }
}

void Endpoints::finish(const std::shared_ptr<Waiting>& w, Result<std::unique_ptr<Message>> result) {
    uint64_t watch, timer;
    {
        std::lock_guard lock(w->mutex);
        if (std::exchange(w->finished, true)) return;
        watch = std::exchange(w->watch, 0);
        timer = std::exchange(w->timer, 0);
    }
    if (watch != 0) core_.store.unwatch(watch);
    if (timer != 0) core_.timers.cancel(timer);
    {
        std::lock_guard lock(mutex_);
        waiting_.erase(w);
    }
    w->done(std::move(result));
    w->done = nullptr;
}

void Endpoints::stop() {
    std::vector<std::shared_ptr<Waiting>> left;
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
        left.assign(waiting_.begin(), waiting_.end());
    }
    for (auto& w : left) finish(w, Error(Code::Cancelled, "the server is shutting down"));
}

std::string index_token(uint64_t create_index, std::string_view id) {
    return fmt::format("{:020}.{}", create_index, id);
}

}  // namespace drover::server
