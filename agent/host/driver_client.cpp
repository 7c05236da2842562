// SPDX-License-Identifier: Apache-2.0
// See the header.
#include "agent/host/driver_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"

namespace drover::agent {

// A call that waits for an instance; whoever takes it out of the list answers it.
struct DriverClient::Waiter {
    Waiter(boost::asio::io_context& io, Need need, std::function<void(Result<InstancePtr>)> use)
        : need(need), use(std::move(use)), timer(io) {}
    Need need;
    std::function<void(Result<InstancePtr>)> use;
    boost::asio::steady_timer timer;  // touched under the client's mutex only
};

struct DriverClient::Subscriber {
    std::function<void(uint64_t)> callback;
    std::atomic<bool> cancelled = false;
};

class DriverClient::Subscription : public OpenCall {
 public:
    Subscription(std::weak_ptr<DriverClient> client, std::shared_ptr<Subscriber> subscriber)
        : client_(std::move(client)), subscriber_(std::move(subscriber)) {}
    ~Subscription() override { Subscription::cancel(); }
    void cancel() override {
        if (subscriber_->cancelled.exchange(true)) return;
        if (auto client = client_.lock()) {
            std::lock_guard lock(client->mutex_);
            std::erase(client->subscribers_, subscriber_);
        }
    }

 private:
    std::weak_ptr<DriverClient> client_;
    std::shared_ptr<Subscriber> subscriber_;
};

namespace {

class NothingOpen : public OpenCall {
 public:
    void cancel() override {}
};

}  // namespace

DriverClient::DriverClient(std::string name, const HostLimits& limits, boost::asio::io_context& io,
                           StatusListener listener)
    : name_(std::move(name)), limits_(limits), io_(io), listener_(std::move(listener)) {
    status_.name = name_;
}

DriverClient::~DriverClient() = default;

// ---- for the supervisor ----

void DriverClient::attach(std::shared_ptr<PluginRpc> rpc, ConfigSchema schema,
                          sdk::Capabilities capabilities) {
    std::vector<std::shared_ptr<Waiter>> waiters;
    std::vector<std::shared_ptr<Subscriber>> subscribers;
    InstancePtr instance;
    {
        std::lock_guard lock(mutex_);
        gone_.reset();
        instance = std::make_shared<const Instance>(
            Instance{std::move(rpc), std::move(schema), std::move(capabilities), ++generations_});
        live_ = last_ = instance;
        tasks_.clear();
        status_.generation = instance->generation;
        waiters.swap(waiters_);
        for (auto& waiter : waiters) waiter->timer.cancel();
        subscribers = subscribers_;
    }
    for (auto& waiter : waiters) waiter->use(instance);
    for (auto& subscriber : subscribers) {
        if (!subscriber->cancelled) subscriber->callback(instance->generation);
    }
}

void DriverClient::detach() {
    std::lock_guard lock(mutex_);
    live_ = nullptr;
    tasks_.clear();
    status_.generation = 0;
}

void DriverClient::update(const std::function<void(DriverStatus&)>& change) {
    DriverStatus now;
    {
        std::lock_guard lock(mutex_);
        DriverStatus before = status_;
        change(status_);
        if (status_ == before && status_.updated_at != 0) return;
        status_.updated_at = unix_now();
        now = status_;
    }
    listener_(now);
}

void DriverClient::set_fingerprint(const sdk::Fingerprint& fingerprint) {
    update([&](DriverStatus& status) {
        if (!fingerprint.error.empty()) {
            status.detected = status.healthy = false;
            status.description = "failed to fingerprint driver: " + fingerprint.error;
            return;
        }
        status.detected =
            fingerprint.health == sdk::Health::Unhealthy || fingerprint.health == sdk::Health::Healthy;
        status.healthy = fingerprint.health == sdk::Health::Healthy;
        status.description = fingerprint.description;
        for (const auto& [key, value] : fingerprint.attributes) {
            const std::string text = value.text();
            if (text.empty())
                status.attributes.erase(key);  // a key that is only left out later stays, as in Nomad
            else
                status.attributes[key] = text;
        }
    });
}

void DriverClient::set_unhealthy(const std::string& description) {
    update([&](DriverStatus& status) {
        status.healthy = false;
        status.description = description;
    });
}

void DriverClient::give_up(Error error) {
    std::vector<std::shared_ptr<Waiter>> waiters;
    {
        std::lock_guard lock(mutex_);
        gone_ = error;
        live_ = nullptr;
        tasks_.clear();
        status_.generation = 0;
        waiters.swap(waiters_);
        for (auto& waiter : waiters) waiter->timer.cancel();
    }
    for (auto& waiter : waiters) waiter->use(Error(error));
}

// ---- finding an instance ----

void DriverClient::with_instance(Need need, std::function<void(Result<InstancePtr>)> use) {
    std::lock_guard lock(mutex_);
    const InstancePtr& instance = need == Need::Any ? last_ : live_;
    if (instance || gone_) {
        boost::asio::post(io_, [use = std::move(use), instance, gone = gone_]() mutable {
            if (instance)
                use(std::move(instance));
            else
                use(std::move(*gone));
        });
        return;
    }
    auto waiter = std::make_shared<Waiter>(io_, need, std::move(use));
    waiters_.push_back(waiter);
    waiter->timer.expires_after(std::chrono::nanoseconds(limits_.connect_wait_ns));
    waiter->timer.async_wait([self = shared_from_this(), waiter](const boost::system::error_code& cancelled) {
        if (cancelled) return;
        std::string why;
        {
            std::lock_guard relock(self->mutex_);
            if (std::erase(self->waiters_, waiter) == 0) return;  // attach() or give_up() was faster
            why = self->status_.description;
        }
        waiter->use(make_error(Code::Unavailable, "driver \"{}\" is not available{}{}", self->name_,
                               why.empty() ? "" : ": ", why));
    });
}

Result<DriverClient::InstancePtr> DriverClient::holding(const std::string& task_id) const {
    std::lock_guard lock(mutex_);
    if (!live_) return make_error(Code::Unavailable, "the plugin of driver \"{}\" is not running", name_);
    if (tasks_.count(task_id) == 0) {
        return make_error(Code::Unavailable,
                          "this instance of driver \"{}\" does not hold task {}: it must be recovered first",
                          name_, task_id);
    }
    return live_;
}

void DriverClient::remember(const InstancePtr& instance, const std::string& task_id) {
    std::lock_guard lock(mutex_);
    if (live_ == instance) tasks_.insert(task_id);
}

void DriverClient::forget(const std::string& task_id) {
    std::lock_guard lock(mutex_);
    tasks_.erase(task_id);
}

template <class T>
void DriverClient::fail(const Done<T>& done, Error error) {
    boost::asio::post(io_, [done, error = std::move(error)]() mutable { done(Result<T>(std::move(error))); });
}

// ---- Driver ----

DriverStatus DriverClient::status() const {
    std::lock_guard lock(mutex_);
    return status_;
}

std::unique_ptr<OpenCall> DriverClient::on_connected(std::function<void(uint64_t)> callback) {
    auto subscriber = std::make_shared<Subscriber>();
    subscriber->callback = std::move(callback);
    std::lock_guard lock(mutex_);
    subscribers_.push_back(subscriber);
    if (live_) {
        boost::asio::post(io_, [subscriber, generation = live_->generation] {
            if (!subscriber->cancelled) subscriber->callback(generation);
        });
    }
    return std::make_unique<Subscription>(weak_from_this(), std::move(subscriber));
}

void DriverClient::capabilities(Done<sdk::Capabilities> done) {
    with_instance(Need::Any, [done](Result<InstancePtr> instance) {
        if (!instance) return done(std::move(instance).error());
        done((*instance)->capabilities);
    });
}

void DriverClient::decode_config(std::shared_ptr<const model::MapValue> config,
                                 std::map<std::string, std::string> variables, Done<std::string> done) {
    with_instance(Need::Any, [config = std::move(config), variables = std::move(variables),
                              done](Result<InstancePtr> instance) {
        if (!instance) return done(std::move(instance).error());
        done((*instance)->schema.to_msgpack(*config, &variables));
    });
}

void DriverClient::start_task(sdk::TaskConfig config, Done<sdk::StartedTask> done) {
    with_instance(Need::Live, [self = shared_from_this(), config = std::move(config),
                               done](Result<InstancePtr> instance) {
        if (!instance) return done(std::move(instance).error());
        (*instance)->rpc->start_task(
            config, [self, instance = *instance, id = config.id, done](Result<sdk::StartedTask> started) {
                if (started) self->remember(instance, id);
                done(std::move(started));
            });
    });
}

void DriverClient::recover_task(sdk::TaskHandle handle, Done<void> done) {
    with_instance(Need::Live, [self = shared_from_this(), handle = std::move(handle),
                               done](Result<InstancePtr> instance) {
        if (!instance) return done(std::move(instance).error());
        (*instance)->rpc->recover_task(
            handle, [self, instance = *instance, id = handle.config.id, done](Status recovered) {
                if (recovered) self->remember(instance, id);
                done(std::move(recovered));
            });
    });
}

std::unique_ptr<OpenCall> DriverClient::wait_task(const std::string& task_id, Done<sdk::ExitResult> done) {
    auto instance = holding(task_id);
    if (!instance) {
        fail(done, std::move(instance).error());
        return std::make_unique<NothingOpen>();
    }
    return (*instance)->rpc->wait_task(task_id, std::move(done));
}

void DriverClient::stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal,
                             Done<void> done) {
    auto instance = holding(task_id);
    if (!instance) return fail(done, std::move(instance).error());
    (*instance)->rpc->stop_task(task_id, timeout_ns, signal, std::move(done));
}

void DriverClient::destroy_task(const std::string& task_id, Destroy how, Done<void> done) {
    InstancePtr instance;
    {
        std::lock_guard lock(mutex_);
        instance = live_;
    }
    if (!instance)
        return fail(done, make_error(Code::Unavailable, "the plugin of driver \"{}\" is not running", name_));
    instance->rpc->destroy_task(task_id, how == Destroy::Force,
                                [self = shared_from_this(), task_id, done](Status destroyed) {
                                    if (destroyed) self->forget(task_id);
                                    done(std::move(destroyed));
                                });
}

void DriverClient::signal_task(const std::string& task_id, const std::string& signal, Done<void> done) {
    auto instance = holding(task_id);
    if (!instance) return fail(done, std::move(instance).error());
    (*instance)->rpc->signal_task(task_id, signal, std::move(done));
}

void DriverClient::inspect_task(const std::string& task_id, Done<sdk::TaskStatus> done) {
    auto instance = holding(task_id);
    if (!instance) return fail(done, std::move(instance).error());
    (*instance)->rpc->inspect_task(task_id, std::move(done));
}

std::unique_ptr<OpenCall> DriverClient::stream_stats(const std::string& task_id, int64_t interval_ns,
                                                     std::function<void(sdk::TaskStats)> sample,
                                                     Done<void> done) {
    auto instance = holding(task_id);
    if (!instance) {
        fail(done, std::move(instance).error());
        return std::make_unique<NothingOpen>();
    }
    return (*instance)->rpc->task_stats(task_id, interval_ns, std::move(sample), std::move(done));
}

void DriverClient::exec_task(const std::string& task_id, std::vector<std::string> command, int64_t timeout_ns,
                             Done<sdk::ExecOutput> done) {
    auto instance = holding(task_id);
    if (!instance) return fail(done, std::move(instance).error());
    (*instance)->rpc->exec_task(task_id, command, timeout_ns, std::move(done));
}

}  // namespace drover::agent
