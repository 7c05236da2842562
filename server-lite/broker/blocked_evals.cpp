// SPDX-License-Identifier: Apache-2.0
#include "server-lite/broker/blocked_evals.h"

#include "model/status.h"

namespace drover::server {
namespace {

bool may_help(const model::Evaluation& eval, const std::string& computed_class) {
    if (eval.escaped_computed_class()) return true;
    auto known = eval.class_eligibility().find(computed_class);
    return known == eval.class_eligibility().end() || known->second;
}

uint64_t age(const model::Evaluation& eval) {
    return std::max(eval.create_index(), eval.snapshot_index());
}

}  // namespace

void BlockedEvals::set_enabled(bool enabled) {
    std::lock_guard lock(mutex_);
    enabled_ = enabled;
    if (enabled) return;
    blocked_.clear();
    unblock_index_.clear();
    duplicates_.clear();
}

bool BlockedEvals::missed_unblock(const model::Evaluation& eval) const {
    for (const auto& [computed_class, index] : unblock_index_)
        if (eval.snapshot_index() < index && may_help(eval, computed_class)) return true;
    return false;
}

void BlockedEvals::block(EvalPtr eval) {
    bool missed = false, duplicate = false;
    {
        std::lock_guard lock(mutex_);
        if (!enabled_) return;
        const JobId job{eval->namespace_(), eval->job_id()};
        if (auto existing = blocked_.find(job);
            existing != blocked_.end() && existing->second->id() != eval->id()) {
            duplicate = true;
            if (age(*existing->second) > age(*eval)) {
                duplicates_.push_back(eval);
                eval = nullptr;
            } else {
                duplicates_.push_back(existing->second);
                blocked_.erase(existing);
            }
        }
        if (eval) {
            missed = missed_unblock(*eval);
            if (missed)
                blocked_.erase(job);
            else
                blocked_[job] = eval;
        }
    }
    if (missed) release_({eval});
    if (duplicate && attention_) attention_();
}

void BlockedEvals::untrack(const JobId& job) {
    std::lock_guard lock(mutex_);
    blocked_.erase(job);
}

void BlockedEvals::unblock(const std::string& computed_class, uint64_t index) {
    std::vector<EvalPtr> released;
    {
        std::lock_guard lock(mutex_);
        if (!enabled_) return;
        unblock_index_[computed_class] = index;
        for (auto it = blocked_.begin(); it != blocked_.end();) {
            if (!may_help(*it->second, computed_class)) {
                ++it;
                continue;
            }
            released.push_back(it->second);
            it = blocked_.erase(it);
        }
    }
    if (!released.empty()) release_(std::move(released));
}

void BlockedEvals::unblock_max_plans() {
    std::vector<EvalPtr> released;
    {
        std::lock_guard lock(mutex_);
        for (auto it = blocked_.begin(); it != blocked_.end();) {
            if (it->second->triggered_by() != model::kTriggerMaxPlans) {
                ++it;
                continue;
            }
            released.push_back(it->second);
            it = blocked_.erase(it);
        }
    }
    if (!released.empty()) release_(std::move(released));
}

std::vector<EvalPtr> BlockedEvals::take_duplicates() {
    std::lock_guard lock(mutex_);
    return std::exchange(duplicates_, {});
}

size_t BlockedEvals::size() const {
    std::lock_guard lock(mutex_);
    return blocked_.size();
}

size_t BlockedEvals::escaped() const {
    std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const auto& [job, eval] : blocked_) count += eval->escaped_computed_class();
    return count;
}

}  // namespace drover::server
