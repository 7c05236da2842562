// SPDX-License-Identifier: Apache-2.0
#include "agent/alloc/alloc_registry.h"

#include <future>
#include <thread>

#include "agent/alloc/diff.h"
#include "agent/stats/host_stats.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/uuid.h"
#include "model/status.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client";

}  // namespace

AllocRegistry::AllocRegistry(RunnerContext& context, CollectRules rules,
                             std::function<void(model::Allocation)> report)
    : context_(context), rules_(rules), report_(std::move(report)) {}

AllocRegistry::~AllocRegistry() {
    detach_all();
}

std::shared_ptr<AllocRunner> AllocRegistry::make(std::shared_ptr<const model::Allocation> alloc) {
    AllocRunner::Callbacks callbacks;
    callbacks.changed = [this, id = alloc->id()](model::Allocation update) {
        changed(id, std::move(update));
    };
    callbacks.destroyed = [this](const std::string& id) { destroyed(id); };
    return std::make_shared<AllocRunner>(context_, std::move(alloc), std::move(callbacks));
}

// ---- from disk
// -------------------------------------------------------------------------------------------------------

void AllocRegistry::load(std::map<std::string, Store::StoredAlloc> stored) {
    Lock lock(mutex_);
    find_orphans(stored);
    for (auto& [id, one] : stored) {
        auto alloc = std::make_shared<model::Allocation>(one.alloc->alloc());
        Entry entry;
        entry.index = alloc->alloc_modify_index();
        entry.terminal = one.alloc->terminal_at_ns() != 0;
        entry.terminal_at_ns = one.alloc->terminal_at_ns();
        entry.runner = make(std::move(alloc));
        boost::asio::post(entry.runner->strand(), [runner = entry.runner, one = std::move(one)]() mutable {
            runner->begin_loaded(std::move(one));
        });
        entries_[id] = std::move(entry);
    }
    if (!entries_.empty()) log::info(kComponent, "restored allocations", {{"count", entries_.size()}});
}

// Drivers keep a directory per instance, named by its id with '/' as %2F. One that no record knows was
// started by an agent whose state was lost; if the servers still want its allocation it is asked for by that
// id, not started twice.
void AllocRegistry::find_orphans(const std::map<std::string, Store::StoredAlloc>& stored) {
    const auto names = list_dir(context_.task_root);
    if (!names) return;
    for (const auto& name : *names) {
        const std::string task_id = replace_all(replace_all(name, "%2F", "/"), "%25", "%");
        const auto parts = split(task_id, '/');
        if (parts.size() != 3 || !is_uuid(parts[0])) continue;
        if (stored.contains(parts[0])) continue;
        orphans_[parts[0]][parts[1]] = task_id;
    }
}

// ---- the servers' list
// -----------------------------------------------------------------------------------------------

std::vector<std::string> AllocRegistry::wanted(const std::map<std::string, uint64_t>& list) const {
    Lock lock(mutex_);
    std::map<std::string, uint64_t> running;
    for (const auto& [id, entry] : entries_) running[id] = entry.index;
    return diff_allocs(list, running, ignored_).fetch;
}

void AllocRegistry::apply(const std::map<std::string, uint64_t>& list,
                          std::vector<model::Allocation> allocs) {
    Lock lock(mutex_);
    if (closing_) return;
    list_ = list;
    std::erase_if(ignored_, [&list](const auto& entry) { return !list.contains(entry.first); });
    for (auto& alloc : allocs) {
        const auto listed = list.find(alloc.id());
        const uint64_t index = listed != list.end() ? std::max(listed->second, alloc.alloc_modify_index())
                                                    : alloc.alloc_modify_index();
        const auto found = entries_.find(alloc.id());
        if (found == entries_.end()) {
            add(std::move(alloc), index);
            continue;
        }
        found->second.index = index;
        auto shared = std::make_shared<const model::Allocation>(std::move(alloc));
        boost::asio::post(found->second.runner->strand(),
                          [runner = found->second.runner, shared] { runner->update(shared); });
    }
    for (auto& [id, entry] : entries_) {
        if (!list.contains(id)) destroy(entry);
    }
    if (contacted_) return;
    contacted_ = true;
    for (auto& [id, entry] : entries_) {
        boost::asio::post(entry.runner->strand(), [runner = entry.runner] { runner->server_contact(); });
    }
    for (const auto& [id, tasks] : orphans_) {
        if (list.contains(id)) continue;
        for (const auto& [task, task_id] : tasks) {
            log::warn(kComponent, "a task directory of an unknown allocation is left alone",
                      {{"task_id", task_id}});
        }
    }
}

// With the mutex held.
void AllocRegistry::add(model::Allocation alloc, uint64_t index) {
    const std::string id = alloc.id();
    if (model::terminal(alloc)) {
        ignored_[id] = index;
        if (!model::client_terminal(alloc)) {
            // Stopped before this client ever had it (or after its state was lost): nothing runs, and the
            // servers wait for word of that.
            model::Allocation update;
            update.set_id(id);
            update.set_client_status(std::string(model::kAllocClientComplete));
            update.set_client_description("All tasks have completed");
            *update.mutable_task_states() = alloc.task_states();
            for (auto& [name, state] : *update.mutable_task_states())
                state.set_state(std::string(model::kTaskStateDead));
            report_(std::move(update));
        }
        return;
    }
    ignored_.erase(id);
    const std::string previous = alloc.previous_allocation();
    Entry entry;
    entry.index = index;
    if (const auto found = orphans_.find(id); found != orphans_.end()) {
        entry.orphans = std::move(found->second);
        orphans_.erase(found);
    }
    entry.runner = make(std::make_shared<const model::Allocation>(std::move(alloc)));
    const auto before = entries_.find(previous);
    if (before != entries_.end() && !before->second.terminal) {
        entry.waits_for = previous;
    } else {
        begin(entry.runner, entry.orphans);
    }
    entries_[id] = std::move(entry);
}

void AllocRegistry::begin(const std::shared_ptr<AllocRunner>& runner,
                          std::map<std::string, std::string> orphans) {
    boost::asio::post(runner->strand(), [runner, orphans = std::move(orphans)]() mutable {
        runner->server_contact();
        runner->begin_new(std::move(orphans));
    });
}

void AllocRegistry::acknowledged(const std::string& id, const std::string& client_status) {
    if (auto runner = find(id)) {
        boost::asio::post(runner->strand(), [runner, client_status] { runner->acknowledged(client_status); });
    }
}

// ---- from the runners (on their strands)
// -----------------------------------------------------------------------------

void AllocRegistry::changed(const std::string& id, model::Allocation update) {
    bool ended = false;
    {
        Lock lock(mutex_);
        const auto found = entries_.find(id);
        if (found == entries_.end() || closing_) return;
        auto& entry = found->second;
        const bool terminal = entry.runner->terminal();
        ended = terminal && !entry.terminal;
        entry.terminal = terminal;
        entry.terminal_at_ns = entry.runner->terminal_at_ns();
    }
    report_(std::move(update));
    if (!ended) return;
    release(id);
    collect_above(static_cast<size_t>(std::max(rules_.allocs_max, 0)));
}

void AllocRegistry::destroyed(const std::string& id) {
    {
        Lock lock(mutex_);
        const auto found = entries_.find(id);
        if (found == entries_.end()) return;
        // The servers may go on listing it for a while.
        if (const auto listed = list_.find(id); listed != list_.end())
            ignored_[id] = std::max(listed->second, found->second.index);
        entries_.erase(found);
    }
    release(id);
}

void AllocRegistry::release(const std::string& id) {
    Lock lock(mutex_);
    for (auto& [other, entry] : entries_) {
        if (entry.waits_for != id) continue;
        entry.waits_for.clear();
        begin(entry.runner, std::move(entry.orphans));
    }
}

// ---- collecting
// ------------------------------------------------------------------------------------------------------

void AllocRegistry::destroy(Entry& entry) {
    if (entry.destroying) return;
    entry.destroying = true;
    // One that still waits for its turn has nothing but its runner; it begins, and ends at once.
    if (!entry.waits_for.empty()) {
        entry.waits_for.clear();
        begin(entry.runner, {});
    }
    boost::asio::post(entry.runner->strand(), [runner = entry.runner] { runner->destroy(); });
}

Status AllocRegistry::collect(const std::string& id) {
    Lock lock(mutex_);
    const auto found = entries_.find(id);
    if (found == entries_.end()) return make_error(Code::NotFound, "unknown allocation ID {:?}", id);
    if (!found->second.terminal)
        return make_error(Code::FailedPrecondition, "allocation {:?} has not ended", id);
    destroy(found->second);
    return {};
}

void AllocRegistry::collect_all() {
    collect_above(0);
}

void AllocRegistry::collect_above(size_t keep) {
    Lock lock(mutex_);
    if (closing_) return;
    std::vector<Entry*> ended;
    size_t kept = 0;
    for (auto& [id, entry] : entries_) {
        if (entry.destroying) continue;
        ++kept;
        if (entry.terminal) ended.push_back(&entry);
    }
    std::sort(ended.begin(), ended.end(),
              [](const Entry* a, const Entry* b) { return a->terminal_at_ns < b->terminal_at_ns; });
    for (Entry* entry : ended) {
        if (kept <= keep) break;
        destroy(*entry);
        --kept;
    }
}

void AllocRegistry::collect_by_rules() {
    collect_above(static_cast<size_t>(std::max(rules_.allocs_max, 0)));
    const auto pressure = disk_pressure(context_.alloc_root);
    if (!pressure) return;
    if (pressure->bytes_percent <= rules_.disk_percent_max &&
        pressure->inodes_percent <= rules_.inodes_percent_max)
        return;
    // One at a time: the next look at the disk tells whether it helped.
    size_t running = 0;
    {
        Lock lock(mutex_);
        for (const auto& [id, entry] : entries_) running += entry.destroying ? 0 : 1;
    }
    if (running > 0) collect_above(running - 1);
}

// ---- reading, ending
// -------------------------------------------------------------------------------------------------

std::shared_ptr<AllocRunner> AllocRegistry::find(const std::string& id) const {
    Lock lock(mutex_);
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : found->second.runner;
}

std::vector<std::shared_ptr<AllocRunner>> AllocRegistry::all() const {
    Lock lock(mutex_);
    std::vector<std::shared_ptr<AllocRunner>> runners;
    for (const auto& [id, entry] : entries_) runners.push_back(entry.runner);
    return runners;
}

// Waits until each runner has let go of its driver calls; the io_context may have ended before (then they are
// idle).
void AllocRegistry::detach_all() {
    std::vector<std::future<void>> detached;
    {
        Lock lock(mutex_);
        if (std::exchange(detached_, true)) return;
        closing_ = true;
        for (auto& [id, entry] : entries_) {
            auto done = std::make_shared<std::promise<void>>();
            detached.push_back(done->get_future());
            boost::asio::post(entry.runner->strand(), [runner = entry.runner, done] {
                runner->detach();
                done->set_value();
            });
        }
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (auto& one : detached) one.wait_until(until);
}

bool AllocRegistry::destroy_all(int64_t timeout_ns) {
    {
        Lock lock(mutex_);
        list_.clear();
        closing_ = true;
        for (auto& [id, entry] : entries_) destroy(entry);
    }
    const int64_t until = mono_now() + timeout_ns;
    while (mono_now() < until) {
        {
            Lock lock(mutex_);
            if (entries_.empty()) return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

}  // namespace drover::agent
