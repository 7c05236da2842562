// SPDX-License-Identifier: Apache-2.0
// When failed allocations are replaced: the reschedule policy and the tracker that remembers earlier
// attempts.
#include "base/clock.h"
#include "model/status.h"
#include "server-lite/scheduler/reconcile.h"

namespace drover::server {
namespace {

constexpr int kEventsKept = 5;  // of unlimited policies

int64_t failed_at(const model::Allocation& alloc) {
    int64_t last = 0;
    for (const auto& [name, task] : alloc.task_states()) last = std::max(last, task.finished_at());
    return last != 0 ? last : alloc.modify_time();
}

// The delay that led to event `i` was not recorded; it is the distance between the events, as the policy
// grows it.
std::vector<int64_t> past_delays(const model::RescheduleTracker& tracker,
                                 const model::ReschedulePolicy& policy) {
    std::vector<int64_t> delays;
    for (int i = 0; i < tracker.events_size(); ++i) {
        int64_t delay = policy.delay();
        if (i >= 1) {
            const auto previous = delays.back();
            if (policy.delay_function() == "exponential")
                delay = previous * 2;
            else if (policy.delay_function() == "fibonacci")
                delay = i >= 2 ? previous + delays[delays.size() - 2] : policy.delay();
            if (policy.max_delay() > 0 && delay > policy.max_delay()) {
                delay = policy.max_delay();
                // A quiet stretch longer than the longest delay starts over.
                if (tracker.events(i).reschedule_time() - tracker.events(i - 1).reschedule_time() >
                    2 * policy.max_delay())
                    delay = policy.delay();
            }
        }
        delays.push_back(delay);
    }
    return delays;
}

}  // namespace

int64_t reschedule_delay(const model::Allocation& alloc, const model::ReschedulePolicy& policy,
                         int64_t fail_time) {
    const auto delays = past_delays(alloc.reschedule_tracker(), policy);
    int64_t delay = policy.delay();
    if (!delays.empty() && policy.delay_function() == "exponential") delay = delays.back() * 2;
    if (delays.size() >= 2 && policy.delay_function() == "fibonacci") {
        const int64_t a = delays[delays.size() - 2], b = delays.back();
        delay = a == policy.max_delay() && b == policy.delay() ? policy.delay() : a + b;
    }
    if (policy.max_delay() > 0 && delay > policy.max_delay()) {
        delay = policy.max_delay();
        const auto& events = alloc.reschedule_tracker().events();
        if (!events.empty() && fail_time - events.rbegin()->reschedule_time() > delay) delay = policy.delay();
    }
    return delay;
}

std::optional<int64_t> reschedule_time(const model::Allocation& alloc, const model::TaskGroup& group,
                                       int64_t now) {
    if (!group.has_reschedule_policy()) return std::nullopt;
    const auto& policy = group.reschedule_policy();
    if (policy.attempts() <= 0 && !policy.unlimited()) return std::nullopt;
    if (alloc.client_status() != model::kAllocClientFailed &&
        alloc.client_status() != model::kAllocClientLost)
        return std::nullopt;
    const int64_t failed = failed_at(alloc) != 0 ? failed_at(alloc) : now;
    const int64_t delay = reschedule_delay(alloc, policy, failed);
    if (!policy.unlimited()) {
        int64_t attempts = 0;
        for (const auto& event : alloc.reschedule_tracker().events())
            attempts += failed - event.reschedule_time() < policy.interval();
        if (attempts >= policy.attempts() || delay >= policy.interval()) return std::nullopt;
    }
    return failed + delay;
}

model::RescheduleTracker next_tracker(const model::Allocation& previous, const model::TaskGroup& group,
                                      int64_t now) {
    const auto& policy = group.reschedule_policy();
    const int64_t failed = failed_at(previous);
    model::RescheduleTracker tracker;
    const auto& events = previous.reschedule_tracker().events();
    for (int i = 0; i < events.size(); ++i) {
        const bool keep = policy.unlimited() ? events.size() - i <= kEventsKept - 1
                                             : failed - events[i].reschedule_time() < policy.interval();
        if (keep) *tracker.add_events() = events[i];
    }
    auto& event = *tracker.add_events();
    event.set_reschedule_time(now);
    event.set_prev_alloc_id(previous.id());
    event.set_prev_node_id(previous.node_id());
    return tracker;
}

}  // namespace drover::server
