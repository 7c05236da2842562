// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store.h"

#include <condition_variable>
#include <ctime>
#include <thread>

#include "agent/store/sqlite.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "proto/client/state.pb.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client.state";
constexpr int64_t kFileFormat = 1;     // PRAGMA user_version: the tables
constexpr uint32_t kRecordFormat = 1;  // the records in them
constexpr auto kRetryPause = std::chrono::milliseconds(500);

// One queued write. Two keys at most: (alloc id, task name), or (meta key, "").
struct Write {
    enum class Kind { Alloc, Task, EraseAlloc, Meta } kind = Kind::Meta;
    std::string key;
    std::string part;
    std::string bytes;
    Store::Done done;
};

Status make_tables(Sqlite& db, Durability durability) {
    DROVER_CHECK(db.exec("PRAGMA journal_mode=WAL"));
    DROVER_CHECK(
        db.exec(durability == Durability::Power ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF"));
    DROVER_CHECK(db.exec("PRAGMA cache_size=-512"));
    DROVER_CHECK(db.exec("CREATE TABLE IF NOT EXISTS meta(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID"));
    DROVER_CHECK(db.exec("CREATE TABLE IF NOT EXISTS allocs(id BLOB PRIMARY KEY, record BLOB)"));
    DROVER_CHECK(
        db.exec("CREATE TABLE IF NOT EXISTS tasks(alloc_id BLOB, task BLOB, record BLOB, PRIMARY "
                "KEY(alloc_id, task))"));
    return db.exec("PRAGMA user_version=1");
}

Error newer(std::string_view what, uint64_t found) {
    return make_error(Code::FailedPrecondition, "{} has format {}, this agent knows up to {}", what, found,
                      kFileFormat);
}

Status load_allocs(Sqlite& db, Store::Contents& contents) {
    DROVER_TRY(auto allocs, db.prepare("SELECT id, record FROM allocs"));
    while (true) {
        DROVER_TRY(const bool more, allocs.row());
        if (!more) break;
        const std::string id = allocs.column(0);
        auto record = std::make_shared<client::AllocRecord>();
        if (!record->ParseFromString(allocs.column(1)) || record->alloc().id() != id) {
            return make_error(Code::DataLoss, "the record of allocation {:?} cannot be read", id);
        }
        if (record->format() > kRecordFormat)
            return newer(fmt::format("allocation {}", id), record->format());
        contents.allocs[id].alloc = std::move(record);
    }
    DROVER_TRY(auto tasks, db.prepare("SELECT alloc_id, task, record FROM tasks"));
    while (true) {
        DROVER_TRY(const bool more, tasks.row());
        if (!more) break;
        const auto alloc = contents.allocs.find(tasks.column(0));
        if (alloc == contents.allocs.end()) continue;
        auto record = std::make_shared<client::TaskRecord>();
        if (!record->ParseFromString(tasks.column(2))) {
            return make_error(Code::DataLoss, "the record of task {:?} of allocation {} cannot be read",
                              tasks.column(1), alloc->first);
        }
        if (record->format() > kRecordFormat)
            return newer(fmt::format("task {}", tasks.column(1)), record->format());
        alloc->second.tasks[tasks.column(1)] = std::move(record);
    }
    return {};
}

Status load(Sqlite& db, Store::Contents& contents) {
    DROVER_TRY(const auto check, db.text("PRAGMA quick_check(1)"));
    if (check != "ok") return make_error(Code::DataLoss, "{}", check);
    DROVER_TRY(const auto version, db.text("PRAGMA user_version"));
    const auto number = parse_uint(version).value_or(0);
    if (number > static_cast<uint64_t>(kFileFormat)) return newer("the file", number);
    if (number == 0) return {};  // just made
    DROVER_TRY(auto meta, db.prepare("SELECT key, value FROM meta"));
    while (true) {
        DROVER_TRY(const bool more, meta.row());
        if (!more) break;
        contents.meta[meta.column(0)] = meta.column(1);
    }
    return load_allocs(db, contents);
}

// Renames the file and its journal. What they hold may still be worth a look by a person; tasks are not
// touched.
Status set_aside(const std::string& path, const Error& why, std::string& note) {
    const char* word = why.code() == Code::FailedPrecondition ? "newer" : "corrupt";
    const std::string kept = fmt::format("{}.{}-{}", path, word, unix_now() / kSecond);
    for (const char* suffix : {"", "-wal", "-shm"}) {
        const std::string from = path + suffix;
        if (::rename(from.c_str(), (kept + suffix).c_str()) != 0 && errno != ENOENT) {
            return Error::from_errno(fmt::format("rename {}", from));
        }
    }
    note = fmt::format("{}: {}; kept as {}, starting with an empty state", path, why.message(), kept);
    return {};
}

}  // namespace

class Store::Impl {
 public:
    Impl(Sqlite db, Contents contents) : db_(std::move(db)), contents_(std::move(contents)) {}

    ~Impl() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        if (thread_.joinable()) thread_.join();
    }

    Status begin() {
        DROVER_TRY(put_alloc_, db_.prepare("INSERT INTO allocs(id, record) VALUES(?1, ?3) "
                                           "ON CONFLICT(id) DO UPDATE SET record = ?3"));
        DROVER_TRY(put_task_, db_.prepare("INSERT INTO tasks(alloc_id, task, record) VALUES(?1, ?2, ?3) "
                                          "ON CONFLICT(alloc_id, task) DO UPDATE SET record = ?3"));
        DROVER_TRY(erase_alloc_, db_.prepare("DELETE FROM allocs WHERE id = ?1"));
        DROVER_TRY(erase_tasks_, db_.prepare("DELETE FROM tasks WHERE alloc_id = ?1"));
        DROVER_TRY(put_meta_, db_.prepare("INSERT INTO meta(key, value) VALUES(?1, ?3) "
                                          "ON CONFLICT(key) DO UPDATE SET value = ?3"));
        thread_ = std::thread([this] { run(); });
        return {};
    }

    Contents take_contents() { return std::move(contents_); }

    void enqueue(Write write) {
        {
            std::lock_guard lock(mutex_);
            queue_.push_back(std::move(write));
        }
        wake_.notify_all();
    }

    Status flush(int64_t timeout_ns) {
        std::unique_lock lock(mutex_);
        const bool empty = idle_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                                          [this] { return queue_.empty() && !committing_; });
        if (!empty) return make_error(Code::DeadlineExceeded, "state could not be written in time");
        return {};
    }

 private:
    void run() {
        while (true) {
            std::vector<Write> batch;
            {
                std::unique_lock lock(mutex_);
                committing_ = false;
                if (queue_.empty()) idle_.notify_all();
                wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
                if (queue_.empty()) return;
                batch.swap(queue_);
                committing_ = true;
            }
            if (!commit_until_done(batch)) return;
            for (auto& write : batch) {
                if (write.done) write.done();
            }
        }
    }

    // False only when stopping while the disk still refuses.
    bool commit_until_done(const std::vector<Write>& batch) {
        bool complained = false;
        while (true) {
            auto status = commit(batch);
            if (status) {
                if (complained) log::info(kComponent, "state is written again");
                return true;
            }
            (void)db_.exec("ROLLBACK");
            if (!complained)
                log::error(kComponent, "cannot write state; waiting", {{"error", status.error().message()}});
            complained = true;
            std::unique_lock lock(mutex_);
            if (wake_.wait_for(lock, kRetryPause, [this] { return stopping_; })) return false;
        }
    }

    Status commit(const std::vector<Write>& batch) {
        DROVER_CHECK(db_.exec("BEGIN IMMEDIATE"));
        for (const auto& write : batch) {
            switch (write.kind) {
                case Write::Kind::Alloc:
                    DROVER_CHECK(execute(put_alloc_, write));
                    break;
                case Write::Kind::Task:
                    DROVER_CHECK(execute(put_task_, write));
                    break;
                case Write::Kind::Meta:
                    DROVER_CHECK(execute(put_meta_, write));
                    break;
                case Write::Kind::EraseAlloc:
                    DROVER_CHECK(execute(erase_tasks_, write));
                    DROVER_CHECK(execute(erase_alloc_, write));
                    break;
            }
        }
        return db_.exec("COMMIT");
    }

    static Status execute(SqliteStatement& statement, const Write& write) {
        const bool erase = write.kind == Write::Kind::EraseAlloc;
        statement.bind(1, write.key);
        if (write.kind == Write::Kind::Task) statement.bind(2, write.part);
        if (!erase) statement.bind(3, write.bytes);
        auto result = statement.row();
        statement.reset();
        if (!result) return std::move(result).error();
        return {};
    }

    Sqlite db_;
    Contents contents_;
    SqliteStatement put_alloc_, put_task_, erase_alloc_, erase_tasks_, put_meta_;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable idle_;
    std::vector<Write> queue_;
    bool committing_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

Result<std::unique_ptr<Store>> Store::open(const std::string& path, Durability durability) {
    Contents contents;
    for (int attempt = 0;; ++attempt) {
        auto db = Sqlite::open(path);
        Status loaded = db ? load(*db, contents) : Status(db.error());
        if (loaded) loaded = make_tables(*db, durability);
        if (loaded) {
            if (::chmod(path.c_str(), 0600) != 0) return Error::from_errno(fmt::format("chmod {}", path));
            auto impl = std::make_unique<Impl>(std::move(*db), std::move(contents));
            DROVER_CHECK(impl->begin().context(path));
            return std::unique_ptr<Store>(new Store(std::move(impl)));
        }
        const Error why = loaded.error();
        const bool unusable = why.code() == Code::DataLoss || why.code() == Code::FailedPrecondition;
        if (!unusable || attempt > 0) return Error(why).context(path);
        contents = {};
        db = Error(Code::Unknown, "closed");  // closes it before the rename
        DROVER_CHECK(set_aside(path, why, contents.set_aside));
    }
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Store::Contents Store::take_contents() {
    return impl_->take_contents();
}

void Store::put_alloc(const client::AllocRecord& record, Done done) {
    client::AllocRecord copy = record;
    copy.set_format(kRecordFormat);
    impl_->enqueue({Write::Kind::Alloc, copy.alloc().id(), "", copy.SerializeAsString(), std::move(done)});
}

void Store::put_task(const std::string& alloc_id, const std::string& task, const client::TaskRecord& record,
                     Done done) {
    impl_->enqueue({Write::Kind::Task, alloc_id, task, record.SerializeAsString(), std::move(done)});
}

void Store::erase_alloc(const std::string& alloc_id, Done done) {
    impl_->enqueue({Write::Kind::EraseAlloc, alloc_id, "", "", std::move(done)});
}

void Store::put_meta(const std::string& key, const std::string& value, Done done) {
    impl_->enqueue({Write::Kind::Meta, key, "", value, std::move(done)});
}

Status Store::flush(int64_t timeout_ns) {
    return impl_->flush(timeout_ns);
}

}  // namespace drover::agent
