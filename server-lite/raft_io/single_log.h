// SPDX-License-Identifier: Apache-2.0
// SingleLog: the log of a cluster of one. SQLite (WAL, synchronous=FULL) with group commit on one writer
// thread: all proposals that are waiting go into one transaction; it is on disk before any of them is
// applied. Without a directory nothing is stored (agent -dev). Made by server.cpp; knows nothing of what the
// commands mean.
//
// Files in `dir`: raft.db (entries), snapshot (the state at one index, replaced by rename). After a crash
// anywhere the state is that of the last committed transaction. A file that cannot be trusted is an Error
// naming it; it is kept.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "server-lite/raft/consensus.h"

struct sqlite3;
struct sqlite3_stmt;

namespace drover::server::raft {

struct SingleLogOptions {
    std::string dir;                     // empty: in memory
    uint64_t snapshot_threshold = 8192;  // applied entries between two snapshots
};

class SingleLog final : public Consensus {
 public:
    // Restores the snapshot, replays the log into `machine`, then starts the writer. `machine` outlives the
    // log.
    static Result<std::unique_ptr<SingleLog>> open(SingleLogOptions options, StateMachine& machine);
    ~SingleLog() override;

    void propose(std::string command, Done done) override;
    Role role() const override { return stopped_ ? Role::Follower : Role::Leader; }
    uint64_t term() const override { return term_; }
    uint64_t last_index() const override { return last_index_; }
    uint64_t applied_index() const override { return applied_index_; }
    uint64_t snapshot_index() const override { return snapshot_index_; }
    void stop() override;

 private:
    struct Proposal {
        std::string command;
        Done done;
    };
    struct CloseDb {
        void operator()(sqlite3* db) const;
    };

    SingleLog(SingleLogOptions options, StateMachine& machine);
    Status open_db();
    Status load_meta();
    Status replay();
    Status restore_snapshot();
    void run();
    Status append(const std::vector<Entry>& entries);
    void commit(std::vector<Proposal> batch);
    void maybe_snapshot();
    Status write_snapshot(uint64_t index, const std::function<Status(const RecordSink&)>& writer);
    void truncate(uint64_t up_to);
    Status exec(const char* sql);
    Error db_error(std::string_view what) const;
    std::string db_path() const;

    SingleLogOptions options_;
    StateMachine& machine_;
    std::unique_ptr<sqlite3, CloseDb> db_;
    sqlite3_stmt* insert_ = nullptr;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Proposal> queue_;
    uint64_t truncate_to_ = 0;  // set by the snapshot thread
    bool stopping_ = false;
    std::atomic<bool> stopped_{false};
    std::atomic<bool> snapshot_running_{false};
    std::string broken_;  // an I/O error after which the disk is not trusted: refuse everything

    std::atomic<uint64_t> term_{0}, last_index_{0}, applied_index_{0}, snapshot_index_{0};
    std::thread writer_, snapshotter_;
};

}  // namespace drover::server::raft
