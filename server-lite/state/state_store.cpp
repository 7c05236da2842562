// SPDX-License-Identifier: Apache-2.0
#include "server-lite/state/state_store.h"

namespace drover::server {

namespace watch {
namespace {
std::string key(char kind, std::string_view a, std::string_view b = {}) {
    std::string out(1, kind);
    out.append(a);
    out.push_back('\0');
    out.append(b);
    return out;
}
}  // namespace
std::string table(TableId id) {
    return key('t', std::to_string(static_cast<int>(id)));
}
std::string job(std::string_view ns, std::string_view id) {
    return key('j', ns, id);
}
std::string job_allocs(std::string_view ns, std::string_view id) {
    return key('A', ns, id);
}
std::string job_evals(std::string_view ns, std::string_view id) {
    return key('E', ns, id);
}
std::string job_deployments(std::string_view ns, std::string_view id) {
    return key('D', ns, id);
}
std::string node(std::string_view id) {
    return key('n', id);
}
std::string node_allocs(std::string_view id) {
    return key('N', id);
}
std::string node_placements(std::string_view id) {
    return key('P', id);
}
std::string alloc(std::string_view id) {
    return key('a', id);
}
std::string eval(std::string_view id) {
    return key('e', id);
}
std::string eval_allocs(std::string_view id) {
    return key('V', id);
}
std::string deployment(std::string_view id) {
    return key('d', id);
}
}  // namespace watch

StateStore::StateStore() : state_(std::make_shared<const State>()) {}

StatePtr StateStore::snapshot() const {
    std::lock_guard lock(mutex_);
    return state_;
}

void StateStore::publish(StatePtr state, const Touched& touched) {
    std::vector<std::function<void()>> fires;
    StatePtr old;  // freed outside the lock
    {
        std::lock_guard lock(mutex_);
        old = std::exchange(state_, std::move(state));
        std::vector<uint64_t> ids;
        for (const auto& key : touched)
            if (auto found = by_key_.find(key); found != by_key_.end())
                ids.insert(ids.end(), found->second.begin(), found->second.end());
        for (auto id : ids) {
            auto found = waiters_.find(id);
            if (found == waiters_.end()) continue;  // named by two keys
            fires.push_back(std::move(found->second.fire));
            drop(id);
        }
    }
    moved_.notify_all();
    for (auto& fire : fires) fire();
}

uint64_t StateStore::watch(std::vector<std::string> keys, std::function<void()> fire) {
    std::lock_guard lock(mutex_);
    const auto id = next_id_++;
    for (const auto& key : keys) by_key_[key].insert(id);
    waiters_.emplace(id, Waiter{std::move(keys), std::move(fire)});
    return id;
}

void StateStore::unwatch(uint64_t id) {
    std::lock_guard lock(mutex_);
    drop(id);
}

void StateStore::drop(uint64_t id) {
    auto found = waiters_.find(id);
    if (found == waiters_.end()) return;
    for (const auto& key : found->second.keys) {
        auto ids = by_key_.find(key);
        if (ids == by_key_.end()) continue;
        ids->second.erase(id);
        if (ids->second.empty()) by_key_.erase(ids);
    }
    waiters_.erase(found);
}

size_t StateStore::watchers() const {
    std::lock_guard lock(mutex_);
    return waiters_.size();
}

StatePtr StateStore::wait_for(uint64_t index, int64_t timeout_ns) const {
    std::unique_lock lock(mutex_);
    moved_.wait_for(lock, std::chrono::nanoseconds(timeout_ns), [&] { return state_->index >= index; });
    return state_;
}

}  // namespace drover::server
