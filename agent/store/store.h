// SPDX-License-Identifier: Apache-2.0
// The client's local state: one SQLite file (<data_dir>/client/state.db, WAL) with versioned protobuf
// records. One writer thread commits whatever has been queued meanwhile as one transaction, so a hundred
// tasks that start together cost a few fsyncs. Used by the runners; it must never change or interpret what it
// keeps.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::client {
class AllocRecord;
class TaskRecord;
}  // namespace drover::client

namespace drover::agent {

// Fsync of each commit. Process is enough against a kill of the agent (what `-dev` uses), Power also against
// a crash of the machine.
enum class Durability { Process, Power };

class Store {
 public:
    struct StoredAlloc {
        std::shared_ptr<client::AllocRecord> alloc;
        std::map<std::string, std::shared_ptr<client::TaskRecord>> tasks;  // by task name
    };
    struct Contents {
        std::map<std::string, StoredAlloc> allocs;  // by id
        std::map<std::string, std::string> meta;
        // Not empty: the file that was there could not be used; it is kept under another name, and this says
        // why.
        std::string set_aside;
    };

    // Opens or makes the file and reads all of it. A corrupt file, or one of a newer agent, is renamed to
    // "<path>.corrupt-<unix seconds>" or "<path>.newer-<unix seconds>" and a new one is begun: never an error
    // here. Errors: the directory cannot be written.
    static Result<std::unique_ptr<Store>> open(const std::string& path, Durability durability);
    ~Store();  // commits what is queued

    // The contents at open(); moved out.
    Contents take_contents();

    // Queues a write. `done` runs on the writer's thread after the commit and must only post. While the disk
    // refuses (full, read-only) writes wait and are tried again, and one log line says so; nothing is
    // dropped.
    using Done = std::function<void()>;
    void put_alloc(const client::AllocRecord& record, Done done = nullptr);
    void put_task(const std::string& alloc_id, const std::string& task, const client::TaskRecord& record,
                  Done done = nullptr);
    void erase_alloc(const std::string& alloc_id, Done done = nullptr);  // with its tasks
    void put_meta(const std::string& key, const std::string& value, Done done = nullptr);

    // Blocks until everything queued before is committed, at most `timeout_ns`; DeadlineExceeded otherwise.
    Status flush(int64_t timeout_ns);

 private:
    class Impl;
    explicit Store(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace drover::agent
