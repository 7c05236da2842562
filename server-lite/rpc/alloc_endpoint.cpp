// SPDX-License-Identifier: Apache-2.0
// The Alloc service.
#include "base/clock.h"
#include "model/status.h"
#include "server-lite/rpc/endpoints.h"

namespace drover::server {
namespace {

Result<uint64_t> alloc_list(const cluster::AllocListRequest& r, const State& s,
                            cluster::AllocListResponse& out) {
    const auto ns = namespace_of(r.query());
    std::vector<Item<AllocPtr>> items;
    s.allocs.each([&](const std::string& id, const AllocPtr& record) {
        if (ns != "*" && record->alloc->namespace_() != ns) return;
        items.push_back({index_token(record->alloc->create_index(), id), id, record});
    });
    std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.token < b.token; });
    DROVER_TRY(auto page, page_of(std::move(items), r.query(), *out.mutable_meta(),
                                  [](const AllocPtr& record) { return alloc_stub(*record); }));
    for (const auto& record : page) {
        auto& stub = *out.add_allocs();
        stub = alloc_stub(*record);
        if (r.resources()) *stub.mutable_allocated_resources() = record->alloc->allocated_resources();
        if (r.without_task_states()) stub.clear_task_states();
    }
    return s.table(TableId::Allocs);
}

void alloc_stop(Core& core, const cluster::AllocStopRequest& r,
                std::function<void(Result<cluster::AllocStopResponse>)> done) {
    const auto state = core.store.snapshot();
    const auto record = state->alloc(r.alloc_id());
    if (!record) return done(make_error(Code::NotFound, "alloc not found"));
    const auto job = state->job(record->alloc->namespace_(), record->alloc->job_id());
    cmd::Command command;
    auto& transition = *command.mutable_alloc_transition();
    auto& wanted = (*transition.mutable_transitions())[r.alloc_id()];
    wanted.set_migrate(true);
    if (r.no_shutdown_delay()) wanted.set_no_shutdown_delay(true);
    if (r.reschedule()) wanted.set_reschedule(true);
    auto& eval = *transition.add_evals();
    eval = job_eval(job ? *job : *record->job, model::kTriggerAllocStop, unix_now());
    core.propose(std::move(command), [eval_id = eval.id(), done = std::move(done)](Result<uint64_t> index) {
        if (!index) return done(std::move(index).error());
        cluster::AllocStopResponse response;
        response.mutable_meta()->set_index(*index);
        response.set_eval_id(eval_id);
        done(std::move(response));
    });
}

}  // namespace

void register_alloc_endpoints(Endpoints& e) {
    using namespace cluster;
    using Keys = Endpoints::Keys;
    auto& core = e.core();
    e.read<AllocGetRequest, AllocGetResponse>(
        "Alloc.Get", [](const auto& r) { return Keys{watch::alloc(r.alloc_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto record = s.alloc(r.alloc_id());
            if (!record) return make_error(Code::NotFound, "alloc not found");
            *out.mutable_alloc() = full_alloc(*record);
            return record->alloc->modify_index();
        });
    e.read<AllocListRequest, AllocListResponse>(
        "Alloc.List", [](const auto&) { return Keys{watch::table(TableId::Allocs)}; }, alloc_list);
    e.read<AllocGetManyRequest, AllocGetManyResponse>(
        "Alloc.GetMany",
        [](const auto& r) {
            Keys keys;
            for (const auto& id : r.alloc_ids()) keys.push_back(watch::alloc(id));
            return keys;
        },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            uint64_t index = 0;
            for (const auto& id : r.alloc_ids())
                if (const auto record = s.alloc(id)) {
                    *out.add_allocs() = full_alloc(*record);
                    index = std::max(index, record->alloc->modify_index());
                }
            return index != 0 ? index : s.table(TableId::Allocs);
        });
    e.write<AllocStopRequest, AllocStopResponse>("Alloc.Stop",
                                                 [&core](auto r, auto done) { alloc_stop(core, *r, done); });
}

}  // namespace drover::server
