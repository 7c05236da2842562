// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/eval_broker.h"

#include "base/clock.h"

namespace drover::server {
namespace {

JobId job_of(const EvalPtr& eval) {
    return {eval->namespace_(), eval->job_id()};
}

// Which of two waiting evaluations of one job to keep: the more urgent, then the newer.
bool better(const EvalPtr& a, const EvalPtr& b) {
    if (a->priority() != b->priority()) return a->priority() > b->priority();
    if (a->modify_index() != b->modify_index()) return a->modify_index() > b->modify_index();
    return a->id() < b->id();
}

}  // namespace

bool EvalBroker::ByUrgency::operator()(const EvalPtr& a, const EvalPtr& b) const {
    if (a->priority() != b->priority()) return a->priority() > b->priority();
    if (a->create_index() != b->create_index()) return a->create_index() < b->create_index();
    return a->id() < b->id();
}

EvalBroker::EvalBroker(BrokerOptions options, std::function<void()> attention)
    : options_(options), attention_(std::move(attention)) {}

void EvalBroker::set_enabled(bool enabled) {
    std::lock_guard lock(mutex_);
    enabled_ = enabled;
    if (enabled) return;
    ready_.clear();
    in_flight_.clear();
    pending_.clear();
    unacked_.clear();
    requeue_.clear();
    delayed_.clear();
    deliveries_.clear();
    known_.clear();
    failed_.clear();
    cancelable_.clear();
}

bool EvalBroker::enabled() const {
    std::lock_guard lock(mutex_);
    return enabled_;
}

int64_t EvalBroker::next_due() const {
    int64_t due = delayed_.empty() ? INT64_MAX : delayed_.begin()->first;
    for (const auto& [id, out] : unacked_) due = std::min(due, out.deadline);
    return due;
}

void EvalBroker::announce(std::unique_lock<std::mutex>& lock) {
    const int64_t due = next_due();
    const bool tell = due < announced_due_ || !failed_.empty() || !cancelable_.empty();
    if (due < announced_due_) announced_due_ = due;
    lock.unlock();
    if (tell && attention_) attention_();
}

void EvalBroker::enqueue(EvalPtr eval, Now now) {
    std::unique_lock lock(mutex_);
    if (!enabled_) return;
    if (!known_.insert(eval->id()).second) {
        if (unacked_.contains(eval->id())) requeue_[eval->id()] = std::move(eval);
        return;
    }
    if (eval->wait_until() > now.unix)
        delayed_.emplace(now.mono + (eval->wait_until() - now.unix), std::move(eval));
    else if (eval->wait() > 0)
        delayed_.emplace(now.mono + eval->wait(), std::move(eval));
    else
        enqueue_locked(std::move(eval), now);
    announce(lock);
}

void EvalBroker::enqueue_locked(EvalPtr eval, Now) {
    auto [slot, free] = in_flight_.try_emplace(job_of(eval), eval->id());
    if (!free && slot->second != eval->id()) {
        pending_[job_of(eval)].push_back(std::move(eval));
        return;
    }
    ready_[eval->type()].insert(std::move(eval));
    available_.notify_one();
}

std::optional<EvalBroker::Delivery> EvalBroker::try_dequeue(const std::vector<std::string>& types, Now now) {
    std::unique_lock lock(mutex_);
    if (!enabled_) return std::nullopt;
    std::set<EvalPtr, ByUrgency>* best = nullptr;
    for (const auto& type : types) {
        auto found = ready_.find(type);
        if (found == ready_.end() || found->second.empty()) continue;
        if (!best || ByUrgency()(*found->second.begin(), *best->begin())) best = &found->second;
    }
    if (!best) return std::nullopt;
    Delivery delivery{*best->begin(), next_token_++};
    best->erase(best->begin());
    unacked_[delivery.eval->id()] = {delivery.eval, delivery.token, now.mono + options_.nack_timeout_ns};
    ++deliveries_[delivery.eval->id()];
    announce(lock);
    return delivery;
}

std::optional<EvalBroker::Delivery> EvalBroker::dequeue(const std::vector<std::string>& types) {
    for (;;) {
        if (auto delivery = try_dequeue(types, {mono_now(), unix_now()})) return delivery;
        std::unique_lock lock(mutex_);
        available_.wait(lock, [&] {
            if (stopped_) return true;
            for (const auto& type : types)
                if (auto found = ready_.find(type);
                    enabled_ && found != ready_.end() && !found->second.empty())
                    return true;
            return false;
        });
        if (stopped_) return std::nullopt;
    }
}

bool EvalBroker::outstanding(const std::string& eval_id, uint64_t token) const {
    std::lock_guard lock(mutex_);
    auto found = unacked_.find(eval_id);
    return found != unacked_.end() && found->second.token == token;
}

bool EvalBroker::extend(const std::string& eval_id, uint64_t token, Now now) {
    std::lock_guard lock(mutex_);
    auto found = unacked_.find(eval_id);
    if (found == unacked_.end() || found->second.token != token) return false;
    found->second.deadline = now.mono + options_.nack_timeout_ns;
    return true;
}

// The job's slot is free: the best of what waited goes on, the others are not needed any more.
void EvalBroker::release_job(const EvalPtr& eval, Now now) {
    in_flight_.erase(job_of(eval));
    auto waiting = pending_.find(job_of(eval));
    if (waiting == pending_.end()) return;
    auto list = std::move(waiting->second);
    pending_.erase(waiting);
    auto best = std::min_element(list.begin(), list.end(), better);
    std::iter_swap(list.begin(), best);
    for (size_t i = 1; i < list.size(); ++i) {
        known_.erase(list[i]->id());
        deliveries_.erase(list[i]->id());
        cancelable_.push_back(list[i]);
    }
    enqueue_locked(list.front(), now);
}

bool EvalBroker::ack(const std::string& eval_id, uint64_t token, Now now) {
    std::unique_lock lock(mutex_);
    auto found = unacked_.find(eval_id);
    if (found == unacked_.end() || found->second.token != token) return false;
    auto eval = found->second.eval;
    unacked_.erase(found);
    deliveries_.erase(eval_id);
    known_.erase(eval_id);
    EvalPtr again;
    if (auto queued = requeue_.find(eval_id); queued != requeue_.end()) {
        again = std::move(queued->second);
        requeue_.erase(queued);
    }
    release_job(eval, now);
    if (again) {
        known_.insert(again->id());
        enqueue_locked(std::move(again), now);
    }
    announce(lock);
    return true;
}

void EvalBroker::fail_or_delay(const EvalPtr& eval, Now now) {
    const uint32_t delivered = deliveries_[eval->id()];
    if (delivered >= options_.delivery_limit) {
        known_.erase(eval->id());
        deliveries_.erase(eval->id());
        failed_.push_back(eval);
        release_job(eval, now);
        return;
    }
    const int64_t wait =
        delivered <= 1 ? options_.first_redelivery_ns : (delivered - 1) * options_.later_redelivery_ns;
    delayed_.emplace(now.mono + wait, eval);  // keeps the job's slot
}

bool EvalBroker::nack(const std::string& eval_id, uint64_t token, Now now) {
    std::unique_lock lock(mutex_);
    auto found = unacked_.find(eval_id);
    if (found == unacked_.end() || found->second.token != token) return false;
    auto eval = found->second.eval;
    unacked_.erase(found);
    requeue_.erase(eval_id);
    fail_or_delay(eval, now);
    announce(lock);
    return true;
}

int64_t EvalBroker::tick(Now now) {
    std::lock_guard lock(mutex_);
    while (!delayed_.empty() && delayed_.begin()->first <= now.mono) {
        auto eval = std::move(delayed_.begin()->second);
        delayed_.erase(delayed_.begin());
        enqueue_locked(std::move(eval), now);
    }
    for (auto it = unacked_.begin(); it != unacked_.end();) {
        if (it->second.deadline > now.mono) {
            ++it;
            continue;
        }
        auto eval = it->second.eval;
        requeue_.erase(it->first);
        it = unacked_.erase(it);
        fail_or_delay(eval, now);
    }
    announced_due_ = next_due();
    return announced_due_;
}

std::vector<EvalPtr> EvalBroker::take_failed() {
    std::lock_guard lock(mutex_);
    return std::exchange(failed_, {});
}

std::vector<EvalPtr> EvalBroker::take_cancelable() {
    std::lock_guard lock(mutex_);
    return std::exchange(cancelable_, {});
}

EvalBroker::Stats EvalBroker::stats() const {
    std::lock_guard lock(mutex_);
    Stats stats;
    for (const auto& [type, queue] : ready_) stats.ready += queue.size();
    for (const auto& [job, list] : pending_) stats.pending += list.size();
    stats.unacked = unacked_.size();
    stats.waiting = delayed_.size();
    stats.failed = failed_.size();
    stats.cancelable = cancelable_.size();
    return stats;
}

void EvalBroker::stop() {
    {
        std::lock_guard lock(mutex_);
        stopped_ = true;
    }
    available_.notify_all();
}

}  // namespace drover::server
