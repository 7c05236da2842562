// SPDX-License-Identifier: Apache-2.0
#include "server-lite/fsm/fsm.h"

#include "proto/raft/command.pb.h"
#include "proto/raft/snapshot.pb.h"
#include "server-lite/fsm/apply.h"

namespace drover::server {

std::vector<Status> Fsm::apply(std::span<const raft::Entry> entries) {
    std::vector<Status> results;
    results.reserve(entries.size());
    auto state = std::make_shared<State>(*store_.snapshot());
    Effects effects;
    for (const auto& entry : entries) {
        cmd::Command command;
        if (!command.ParseFromString(entry.command)) {
            results.push_back(make_error(Code::DataLoss, "the command cannot be read"));
            state->index = entry.index;
            continue;
        }
        results.push_back(apply_command(*state, entry.index, command, effects));
    }
    store_.publish(state, effects.touched);
    if (hook_) hook_(effects, state->index);
    return results;
}

std::function<Status(const raft::RecordSink&)> Fsm::capture() {
    return [state = store_.snapshot()](const raft::RecordSink& sink) { return write_state(*state, sink); };
}

Status Fsm::restore(const raft::RecordSource& source) {
    DROVER_TRY(auto state, read_state(source));
    store_.publish(std::make_shared<const State>(std::move(state)), {});
    return {};
}

namespace {

using cmd::SnapshotRecord;

// Writes each job once; the others name its place.
class JobPool {
 public:
    JobPool(const raft::RecordSink& sink) : sink_(sink) {}
    Result<uint64_t> place(const JobPtr& job) {
        auto [found, added] = places_.try_emplace(job.get(), places_.size());
        if (added) {
            SnapshotRecord record;
            *record.mutable_pool_job() = *job;
            DROVER_CHECK(sink_(record.SerializeAsString()));
        }
        return found->second;
    }

 private:
    const raft::RecordSink& sink_;
    std::unordered_map<const model::Job*, uint64_t> places_;
};

// Writes every value of a table as make(key, value) records; stops at the first error.
template <class V, class Make>
Status write_table(const Table<V>& table, const raft::RecordSink& sink, Make&& make) {
    Status status;
    table.each([&](const std::string& key, const V& value) {
        SnapshotRecord record;
        status = make(record, key, value);
        if (status) status = sink(record.SerializeAsString());
        return static_cast<bool>(status);
    });
    return status;
}

}  // namespace

Status write_state(const State& state, const raft::RecordSink& sink) {
    SnapshotRecord head;
    head.mutable_head()->set_format(1);
    head.mutable_head()->set_index(state.index);
    for (auto index : state.table_index) head.mutable_head()->add_table_index(index);
    DROVER_CHECK(sink(head.SerializeAsString()));

    JobPool pool(sink);
    DROVER_CHECK(write_table(state.jobs, sink,
                             [&](SnapshotRecord& r, const std::string&, const JobPtr& job) -> Status {
                                 DROVER_TRY(auto place, pool.place(job));
                                 r.mutable_job()->set_pool(place);
                                 return {};
                             }));
    DROVER_CHECK(write_table(state.versions, sink,
                             [&](SnapshotRecord& r, const std::string&, const JobPtr& job) -> Status {
                                 DROVER_TRY(auto place, pool.place(job));
                                 r.mutable_job_version()->set_pool(place);
                                 return {};
                             }));
    DROVER_CHECK(write_table(
        state.submissions, sink,
        [&](SnapshotRecord& r, const std::string& key, const SubmissionPtr& submission) -> Status {
            auto* of = r.mutable_submission();
            const auto first = key.find('\0'), second = key.find('\0', first + 1);
            of->set_namespace_(key.substr(0, first));
            of->set_job_id(key.substr(first + 1, second - first - 1));
            uint64_t version = 0;
            for (size_t i = second + 1; i < key.size(); ++i)
                version = version << 8 | static_cast<uint8_t>(key[i]);
            of->set_version(version);
            *of->mutable_submission() = *submission;
            return {};
        }));
    auto copy = [](auto* to, const auto& from) { *to = *from; };
    DROVER_CHECK(write_table(state.summaries, sink,
                             [&](SnapshotRecord& r, const std::string&, const SummaryPtr& v) -> Status {
                                 copy(r.mutable_summary(), v);
                                 return {};
                             }));
    DROVER_CHECK(write_table(state.evals, sink,
                             [&](SnapshotRecord& r, const std::string&, const EvalPtr& v) -> Status {
                                 copy(r.mutable_eval(), v);
                                 return {};
                             }));
    DROVER_CHECK(write_table(state.nodes, sink,
                             [&](SnapshotRecord& r, const std::string&, const NodePtr& v) -> Status {
                                 copy(r.mutable_node(), v);
                                 return {};
                             }));
    DROVER_CHECK(write_table(state.allocs, sink,
                             [&](SnapshotRecord& r, const std::string&, const AllocPtr& v) -> Status {
                                 DROVER_TRY(auto place, pool.place(v->job));
                                 auto* of = r.mutable_alloc();
                                 *of->mutable_alloc() = *v->alloc;
                                 of->set_pool(place);
                                 of->set_handed_over(v->handed_over);
                                 return {};
                             }));
    DROVER_CHECK(write_table(state.deployments, sink,
                             [&](SnapshotRecord& r, const std::string&, const DeploymentPtr& v) -> Status {
                                 copy(r.mutable_deployment(), v);
                                 return {};
                             }));
    SnapshotRecord config;
    *config.mutable_scheduler_config() = *state.config;
    return sink(config.SerializeAsString());
}

namespace {

struct Reader {
    State s;
    std::vector<JobPtr> pool;

    Result<JobPtr> job_at(uint64_t place) const {
        if (place >= pool.size())
            return make_error(Code::DataLoss, "snapshot names job {} of {}", place, pool.size());
        return pool[place];
    }

    Status add(SnapshotRecord& r) {
        switch (r.kind_case()) {
            case SnapshotRecord::kHead:
                if (r.head().format() != 1)
                    return make_error(Code::Unimplemented, "snapshot has format {}, this version reads 1",
                                      r.head().format());
                s.index = r.head().index();
                for (int i = 0; i < r.head().table_index_size() && i < static_cast<int>(kTables); ++i)
                    s.table_index[static_cast<size_t>(i)] = r.head().table_index(i);
                return {};
            case SnapshotRecord::kPoolJob:
                pool.push_back(std::make_shared<const model::Job>(std::move(*r.mutable_pool_job())));
                return {};
            case SnapshotRecord::kJob: {
                DROVER_TRY(auto job, job_at(r.job().pool()));
                s.jobs.set(job_key(job->namespace_(), job->id()), job);
                return {};
            }
            case SnapshotRecord::kJobVersion: {
                DROVER_TRY(auto job, job_at(r.job_version().pool()));
                s.versions.set(version_key(job->namespace_(), job->id(), job->version()), job);
                return {};
            }
            case SnapshotRecord::kSubmission: {
                const auto& of = r.submission();
                s.submissions.set(version_key(of.namespace_(), of.job_id(), of.version()),
                                  std::make_shared<const model::JobSubmission>(of.submission()));
                return {};
            }
            case SnapshotRecord::kSummary: {
                auto v = std::make_shared<const model::JobSummary>(std::move(*r.mutable_summary()));
                s.summaries.set(job_key(v->namespace_(), v->job_id()), v);
                return {};
            }
            case SnapshotRecord::kEval: {
                auto v = std::make_shared<const model::Evaluation>(std::move(*r.mutable_eval()));
                s.evals.set(v->id(), v);
                s.evals_by_job.set(pair_key(job_key(v->namespace_(), v->job_id()), v->id()), 1);
                return {};
            }
            case SnapshotRecord::kNode: {
                auto v = std::make_shared<const model::Node>(std::move(*r.mutable_node()));
                s.nodes.set(v->id(), v);
                return {};
            }
            case SnapshotRecord::kAlloc:
                return add_alloc(*r.mutable_alloc());
            case SnapshotRecord::kDeployment: {
                auto v = std::make_shared<const model::Deployment>(std::move(*r.mutable_deployment()));
                s.deployments.set(v->id(), v);
                s.deployments_by_job.set(pair_key(job_key(v->namespace_(), v->job_id()), v->id()), 1);
                return {};
            }
            case SnapshotRecord::kSchedulerConfig:
                s.config = std::make_shared<const model::SchedulerConfiguration>(r.scheduler_config());
                return {};
            case SnapshotRecord::KIND_NOT_SET:
                break;
        }
        return make_error(Code::Unimplemented,
                          "snapshot has a record that this version does not know: use a newer drover");
    }

    Status add_alloc(cmd::AllocOf& of) {
        DROVER_TRY(auto job, job_at(of.pool()));
        AllocRecord record{std::make_shared<const model::Allocation>(std::move(*of.mutable_alloc())), job,
                           of.handed_over()};
        const auto& a = *record.alloc;
        s.allocs_by_job.set(pair_key(job_key(a.namespace_(), a.job_id()), a.id()), 1);
        s.allocs_by_node.set(pair_key(a.node_id(), a.id()), 1);
        s.allocs_by_eval.set(pair_key(a.eval_id(), a.id()), 1);
        NodeUsage usage = s.usage_of(a.node_id());
        if (holds_resources(record)) add_usage(usage, a);
        usage.placed_index = std::max(usage.placed_index, a.alloc_modify_index());
        s.usage.set(a.node_id(), std::make_shared<const NodeUsage>(std::move(usage)));
        std::string id = a.id();
        s.allocs.set(id, std::make_shared<const AllocRecord>(std::move(record)));
        return {};
    }
};

}  // namespace

Result<State> read_state(const raft::RecordSource& source) {
    Reader reader;
    for (;;) {
        DROVER_TRY(auto bytes, source());
        if (!bytes) break;
        SnapshotRecord record;
        if (!record.ParseFromString(*bytes))
            return make_error(Code::DataLoss, "snapshot has a record that cannot be read");
        DROVER_CHECK(reader.add(record));
    }
    return std::move(reader.s);
}

}  // namespace drover::server
