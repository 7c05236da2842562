// SPDX-License-Identifier: Apache-2.0
#include "server-lite/raft_io/single_log.h"

#include <sqlite3.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "server-lite/raft_io/snapshot_file.h"

namespace drover::server::raft {
namespace {

constexpr std::string_view kComponent = "server.raft";
constexpr int64_t kFormat = 1;
constexpr size_t kBatchEntriesMax = 4096;
constexpr size_t kBatchBytesMax = 8u << 20;
constexpr size_t kReplayBatch = 512;
constexpr size_t kQueueMax = 100'000;
constexpr size_t kCommandBytesMax = 64u << 20;

struct Statement {
    explicit Statement(sqlite3* db, const char* sql) { sqlite3_prepare_v2(db, sql, -1, &stmt, nullptr); }
    ~Statement() { sqlite3_finalize(stmt); }
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    sqlite3_stmt* stmt = nullptr;
};

}  // namespace

void SingleLog::CloseDb::operator()(sqlite3* db) const {
    sqlite3_close_v2(db);
}

SingleLog::SingleLog(SingleLogOptions options, StateMachine& machine)
    : options_(std::move(options)), machine_(machine) {}

Result<std::unique_ptr<SingleLog>> SingleLog::open(SingleLogOptions options, StateMachine& machine) {
    std::unique_ptr<SingleLog> log(new SingleLog(std::move(options), machine));
    if (!log->options_.dir.empty()) {
        DROVER_CHECK(make_dirs(log->options_.dir, 0700));
        DROVER_CHECK(log->open_db());
        DROVER_CHECK(log->restore_snapshot());
        DROVER_CHECK(log->replay());
        DROVER_CHECK(log->load_meta());
    } else {
        log->term_ = 1;
    }
    log->writer_ = std::thread([raw = log.get()] { raw->run(); });
    return log;
}

SingleLog::~SingleLog() {
    stop();
}

std::string SingleLog::db_path() const {
    return join_path(options_.dir, "raft.db");
}

Error SingleLog::db_error(std::string_view what) const {
    const int code = sqlite3_errcode(db_.get()) & 0xff;
    const char* text = sqlite3_errmsg(db_.get());
    switch (code) {
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
            return make_error(Code::DataLoss,
                              "log {} is damaged: {}: {} (the file is kept; restore it from a backup)",
                              db_path(), what, text);
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return make_error(Code::Unavailable, "log {} is in use by another process", db_path());
        case SQLITE_FULL:
            return make_error(Code::ResourceExhausted, "log {}: {}: no space left on the device", db_path(),
                              what);
        case SQLITE_CANTOPEN:
        case SQLITE_PERM:
        case SQLITE_READONLY:
            return make_error(Code::PermissionDenied, "log {}: {}: {}", db_path(), what, text);
        default:
            return make_error(Code::Internal, "log {}: {}: {}", db_path(), what, text);
    }
}

Status SingleLog::exec(const char* sql) {
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return db_error(sql);
    return {};
}

Status SingleLog::open_db() {
    sqlite3* raw = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    const int rc = sqlite3_open_v2(db_path().c_str(), &raw, flags, nullptr);
    db_.reset(raw);
    if (rc != SQLITE_OK) return db_error("open");
    // EXCLUSIVE: one server per directory, and no shared-memory file.
    for (const char* sql :
         {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL",
          "PRAGMA cache_size=-512", "PRAGMA wal_autocheckpoint=1000",
          "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID",
          "CREATE TABLE IF NOT EXISTS entries(idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, "
          "crc INTEGER NOT NULL, command BLOB NOT NULL)"})
        DROVER_CHECK(exec(sql));
    if (sqlite3_prepare_v3(db_.get(), "INSERT INTO entries(idx, term, crc, command) VALUES(?,?,?,?)", -1,
                           SQLITE_PREPARE_PERSISTENT, &insert_, nullptr) != SQLITE_OK)
        return db_error("prepare");
    Statement read(db_.get(), "SELECT value FROM meta WHERE key='format'");
    const int step = sqlite3_step(read.stmt);
    if (step == SQLITE_ROW && sqlite3_column_int64(read.stmt, 0) > kFormat)
        return make_error(Code::FailedPrecondition,
                          "log {} has format {}, this version reads up to {}: use a newer drover", db_path(),
                          sqlite3_column_int64(read.stmt, 0), kFormat);
    if (step != SQLITE_ROW && step != SQLITE_DONE) return db_error("read meta");
    return {};
}

// Each start is a new term, as a new leader is. Written after the replay: what fails to start changes
// nothing.
Status SingleLog::load_meta() {
    {
        Statement read(db_.get(), "SELECT value FROM meta WHERE key='term'");
        const int step = sqlite3_step(read.stmt);
        if (step == SQLITE_ROW)
            term_ = static_cast<uint64_t>(sqlite3_column_int64(read.stmt, 0));
        else if (step != SQLITE_DONE)
            return db_error("read meta");
    }
    ++term_;
    const auto sql = fmt::format(
        "BEGIN; INSERT OR REPLACE INTO meta VALUES('format', {}); INSERT OR REPLACE INTO meta VALUES('term', "
        "{}); COMMIT",
        kFormat, term_.load());
    return exec(sql.c_str());
}

Status SingleLog::restore_snapshot() {
    const auto path = join_path(options_.dir, "snapshot");
    if (!path_exists(path)) return {};
    DROVER_TRY(auto info, read_snapshot_file(
                              path, [&](const RecordSource& source) { return machine_.restore(source); }));
    snapshot_index_ = info.index;
    last_index_ = applied_index_ = info.index;
    return {};
}

Status SingleLog::replay() {
    Statement read(db_.get(), "SELECT idx, term, crc, command FROM entries WHERE idx > ? ORDER BY idx");
    if (!read.stmt) return db_error("read entries");
    sqlite3_bind_int64(read.stmt, 1, static_cast<int64_t>(snapshot_index_.load()));
    std::vector<Entry> batch;
    auto apply = [&]() -> Status {
        auto results = machine_.apply(batch);
        for (size_t i = 0; i < results.size(); ++i)
            if (!results[i] && (results[i].error().code() == Code::DataLoss ||
                                results[i].error().code() == Code::Unimplemented))
                return make_error(results[i].error().code(), "log {}, entry {}: {}", db_path(),
                                  batch[i].index, results[i].error().message());
        if (!batch.empty()) applied_index_ = batch.back().index;
        batch.clear();
        return {};
    };
    for (;;) {
        const int step = sqlite3_step(read.stmt);
        if (step == SQLITE_DONE) break;
        if (step != SQLITE_ROW) return db_error("read entries");
        Entry entry;
        entry.index = static_cast<uint64_t>(sqlite3_column_int64(read.stmt, 0));
        entry.term = static_cast<uint64_t>(sqlite3_column_int64(read.stmt, 1));
        const auto size = static_cast<size_t>(sqlite3_column_bytes(read.stmt, 3));
        if (size > 0) entry.command.assign(static_cast<const char*>(sqlite3_column_blob(read.stmt, 3)), size);
        if (entry.index != last_index_ + 1)
            return make_error(Code::DataLoss, "log {} has a gap: entry {} follows {} (the file is kept)",
                              db_path(), entry.index, last_index_.load());
        if (crc32(entry.command) != static_cast<uint32_t>(sqlite3_column_int64(read.stmt, 2)))
            return make_error(Code::DataLoss,
                              "log {} is damaged: entry {} does not match its checksum (the file is kept)",
                              db_path(), entry.index);
        last_index_ = entry.index;
        batch.push_back(std::move(entry));
        if (batch.size() >= kReplayBatch) DROVER_CHECK(apply());
    }
    return apply();
}

void SingleLog::propose(std::string command, Done done) {
    std::optional<Error> refused;
    {
        std::lock_guard lock(mutex_);
        if (stopping_)
            refused = Error(Code::Cancelled, "the server is shutting down");
        else if (!broken_.empty())
            refused = Error(Code::Unavailable, broken_);
        else if (queue_.size() >= kQueueMax)
            refused = Error(Code::ResourceExhausted, "too many writes are waiting");
        else if (command.size() > kCommandBytesMax)
            refused =
                make_error(Code::ResourceExhausted, "the request is too large: {} bytes, the limit is {}",
                           command.size(), kCommandBytesMax);
        else
            queue_.push_back({std::move(command), std::move(done)});
    }
    if (refused) return done(std::move(*refused));
    wake_.notify_one();
}

void SingleLog::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return stopping_ || !queue_.empty() || truncate_to_ != 0; });
        if (truncate_to_ != 0) {
            const auto to = std::exchange(truncate_to_, 0);
            lock.unlock();
            truncate(to);
            lock.lock();
            continue;
        }
        if (queue_.empty()) return;  // stopping
        std::vector<Proposal> batch;
        size_t bytes = 0;
        while (!queue_.empty() && batch.size() < kBatchEntriesMax && bytes < kBatchBytesMax) {
            bytes += queue_.front().command.size();
            batch.push_back(std::move(queue_.front()));
            queue_.pop_front();
        }
        lock.unlock();
        commit(std::move(batch));
        maybe_snapshot();
        lock.lock();
    }
}

void SingleLog::commit(std::vector<Proposal> batch) {
    std::vector<Entry> entries;
    entries.reserve(batch.size());
    for (auto& proposal : batch)
        entries.push_back({last_index_ + entries.size() + 1, term_, std::move(proposal.command)});
    if (auto stored = append(entries); !stored) {
        log::error(kComponent, "failed to write the log", {{"error", stored.error().message()}});
        for (auto& proposal : batch) proposal.done(stored.error());
        return;
    }
    last_index_ = entries.back().index;
    auto results = machine_.apply(entries);
    DROVER_ASSERT(results.size() == entries.size());
    applied_index_ = entries.back().index;
    for (size_t i = 0; i < batch.size(); ++i) {
        if (results[i])
            batch[i].done(entries[i].index);
        else
            batch[i].done(std::move(results[i]).error());
    }
}

Status SingleLog::append(const std::vector<Entry>& entries) {
    if (!db_) return {};
    auto insert_all = [&]() -> Status {
        DROVER_CHECK(exec("BEGIN"));
        for (const auto& entry : entries) {
            sqlite3_reset(insert_);
            sqlite3_bind_int64(insert_, 1, static_cast<int64_t>(entry.index));
            sqlite3_bind_int64(insert_, 2, static_cast<int64_t>(entry.term));
            sqlite3_bind_int64(insert_, 3, crc32(entry.command));
            sqlite3_bind_blob(insert_, 4, entry.command.data(), static_cast<int>(entry.command.size()),
                              SQLITE_STATIC);
            if (sqlite3_step(insert_) != SQLITE_DONE) return db_error("append");
        }
        sqlite3_reset(insert_);
        return exec("COMMIT");
    };
    auto status = insert_all();
    if (status) return {};
    sqlite3_reset(insert_);
    const int code = sqlite3_errcode(db_.get()) & 0xff;
    if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    // After a failed fsync nobody knows what is on the disk: go on only where SQLite says that nothing was
    // written.
    if (code != SQLITE_FULL && code != SQLITE_NOMEM && code != SQLITE_TOOBIG) {
        std::lock_guard lock(mutex_);
        broken_ = fmt::format("the server's log failed and takes no writes until a restart: {}",
                              status.error().message());
    }
    return status;
}

void SingleLog::maybe_snapshot() {
    if (!db_ || applied_index_ - snapshot_index_ < options_.snapshot_threshold ||
        snapshot_running_.exchange(true))
        return;
    if (snapshotter_.joinable()) snapshotter_.join();
    const uint64_t index = applied_index_;
    snapshotter_ = std::thread([this, index, writer = machine_.capture()] {
        if (auto status = write_snapshot(index, writer); !status)
            log::error(kComponent, "failed to write a snapshot", {{"error", status.error().message()}});
        snapshot_running_ = false;
    });
}

Status SingleLog::write_snapshot(uint64_t index, const std::function<Status(const RecordSink&)>& writer) {
    const auto path = join_path(options_.dir, "snapshot");
    DROVER_CHECK(write_snapshot_file(path, index, term_, writer));
    snapshot_index_ = index;
    {
        std::lock_guard lock(mutex_);
        truncate_to_ = index;
    }
    wake_.notify_one();
    return {};
}

// Only entries that a durable snapshot holds. Failing costs space, not data: the next snapshot tries again.
void SingleLog::truncate(uint64_t up_to) {
    const auto sql = fmt::format("DELETE FROM entries WHERE idx <= {}", up_to);
    if (auto status = exec(sql.c_str()); !status)
        log::warn(kComponent, "failed to truncate the log", {{"error", status.error().message()}});
}

void SingleLog::stop() {
    std::deque<Proposal> left;
    {
        std::lock_guard lock(mutex_);
        if (stopping_) return;
        stopping_ = true;
        left.swap(queue_);
    }
    wake_.notify_all();
    if (writer_.joinable()) writer_.join();
    if (snapshotter_.joinable()) snapshotter_.join();
    for (auto& proposal : left) proposal.done(Error(Code::Cancelled, "the server is shutting down"));
    sqlite3_finalize(insert_);
    insert_ = nullptr;
    db_.reset();
    stopped_ = true;
}

}  // namespace drover::server::raft
