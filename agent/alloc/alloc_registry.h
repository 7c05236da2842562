// SPDX-License-Identifier: Apache-2.0
// AllocRegistry: every allocation this node runs or keeps: what the servers' list asks for becomes runners,
// what ended is collected. Between link (what the servers want) and runners (what happens). Members may be
// called from any thread; the table behind them is guarded by a mutex, because the API reads it beside the
// link.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/alloc/alloc_runner.h"

namespace drover::agent {

struct CollectRules {
    int32_t allocs_max = 50;  // above: the oldest terminal ones go
    double disk_percent_max = 80;
    double inodes_percent_max = 70;
};

class AllocRegistry {
 public:
    // `report` takes what the servers should hear.
    AllocRegistry(RunnerContext& context, CollectRules rules, std::function<void(model::Allocation)> report);
    ~AllocRegistry();

    // Once, before the link starts. Looks for task directories of which no record tells, too.
    void load(std::map<std::string, Store::StoredAlloc> stored);

    // ---- for the link
    std::vector<std::string> wanted(const std::map<std::string, uint64_t>& list) const;
    void apply(const std::map<std::string, uint64_t>& list, std::vector<model::Allocation> allocs);
    void acknowledged(const std::string& id, const std::string& client_status);

    // ---- for the API
    std::shared_ptr<AllocRunner> find(const std::string& id) const;  // null when unknown
    std::vector<std::shared_ptr<AllocRunner>> all() const;
    // Collects one that has ended; FailedPrecondition while it runs, NotFound when unknown.
    Status collect(const std::string& id);
    void collect_all();

    void collect_by_rules();  // each gc_interval; looks at the disk, so blocking
    void detach_all();        // orderly end: tasks go on; blocks until nothing happens here any more
    // Ends and removes everything; false when not done in time.
    bool destroy_all(int64_t timeout_ns);

 private:
    struct Entry {
        std::shared_ptr<AllocRunner> runner;
        uint64_t index = 0;     // AllocModifyIndex
        std::string waits_for;  // the allocation it replaces here; begins when that has ended
        std::map<std::string, std::string> orphans;
        bool terminal = false;
        int64_t terminal_at_ns = 0;
        bool destroying = false;
    };
    using Lock = std::lock_guard<std::mutex>;

    std::shared_ptr<AllocRunner> make(std::shared_ptr<const model::Allocation> alloc);
    void add(model::Allocation alloc, uint64_t index);
    void begin(const std::shared_ptr<AllocRunner>& runner, std::map<std::string, std::string> orphans);
    void changed(const std::string& id, model::Allocation update);
    void destroyed(const std::string& id);
    void release(const std::string& id);  // those that waited for it
    void destroy(Entry& entry);           // with the mutex held
    void collect_above(size_t keep);
    void find_orphans(const std::map<std::string, Store::StoredAlloc>& stored);

    RunnerContext& context_;
    const CollectRules rules_;
    std::function<void(model::Allocation)> report_;
    mutable std::mutex mutex_;
    std::map<std::string, Entry> entries_;
    std::map<std::string, uint64_t> list_;                               // as the servers sent it last
    std::map<std::string, uint64_t> ignored_;                            // not run here, by AllocModifyIndex
    std::map<std::string, std::map<std::string, std::string>> orphans_;  // alloc -> task -> task id
    bool contacted_ = false;
    bool closing_ = false;
    bool detached_ = false;
};

}  // namespace drover::agent
