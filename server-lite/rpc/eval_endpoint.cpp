// SPDX-License-Identifier: Apache-2.0
// The Eval and Deployment services.
#include "server-lite/rpc/endpoints.h"

namespace drover::server {
namespace {

model::EvaluationStub stub_of(const model::Evaluation& e) {
    model::EvaluationStub stub;
    stub.set_id(e.id());
    stub.set_priority(e.priority());
    stub.set_type(e.type());
    stub.set_triggered_by(e.triggered_by());
    stub.set_namespace_(e.namespace_());
    stub.set_job_id(e.job_id());
    stub.set_node_id(e.node_id());
    stub.set_deployment_id(e.deployment_id());
    stub.set_status(e.status());
    stub.set_status_description(e.status_description());
    stub.set_wait_until(e.wait_until());
    stub.set_next_eval(e.next_eval());
    stub.set_previous_eval(e.previous_eval());
    stub.set_blocked_eval(e.blocked_eval());
    stub.set_create_index(e.create_index());
    stub.set_modify_index(e.modify_index());
    stub.set_create_time(e.create_time());
    stub.set_modify_time(e.modify_time());
    return stub;
}

// Those that led to this one, and those that came of it.
void add_related(const State& s, model::Evaluation& eval) {
    constexpr size_t kMax = 64;
    std::set<std::string> seen{eval.id()};
    std::vector<std::string> look{eval.next_eval(), eval.previous_eval(), eval.blocked_eval()};
    for (size_t i = 0; i < look.size() && seen.size() < kMax; ++i) {
        if (look[i].empty() || !seen.insert(look[i]).second) continue;
        const auto other = s.eval(look[i]);
        if (!other) continue;
        *eval.add_related_evals() = stub_of(*other);
        look.insert(look.end(), {other->next_eval(), other->previous_eval(), other->blocked_eval()});
    }
}

Result<uint64_t> eval_list(const cluster::EvalListRequest& r, const State& s,
                           cluster::EvalListResponse& out) {
    const auto ns = namespace_of(r.query());
    std::vector<Item<EvalPtr>> items;
    s.evals.each([&](const std::string& id, const EvalPtr& eval) {
        if (ns != "*" && eval->namespace_() != ns) return;
        if (!r.status().empty() && eval->status() != r.status()) return;
        if (!r.job_id().empty() && eval->job_id() != r.job_id()) return;
        items.push_back({index_token(eval->create_index(), id), id, eval});
    });
    std::sort(items.begin(), items.end(), [](const auto& a, const auto& b) { return a.token < b.token; });
    DROVER_TRY(auto page, page_of(std::move(items), r.query(), *out.mutable_meta(),
                                  [](const auto& value) -> const auto& { return *value; }));
    for (const auto& eval : page) *out.add_evals() = *eval;
    return s.table(TableId::Evals);
}

template <class Records>
uint64_t add_stubs(Records records, cluster::AllocListResponse& out) {
    std::sort(records.begin(), records.end(), [](const AllocPtr& a, const AllocPtr& b) {
        return std::pair(a->alloc->create_index(), a->alloc->id()) <
               std::pair(b->alloc->create_index(), b->alloc->id());
    });
    uint64_t index = 0;
    for (const auto& record : records) {
        index = std::max(index, record->alloc->modify_index());
        *out.add_allocs() = alloc_stub(*record);
    }
    return index;
}

}  // namespace

void register_eval_endpoints(Endpoints& e) {
    using namespace cluster;
    using Keys = Endpoints::Keys;
    e.read<EvalGetRequest, EvalGetResponse>(
        "Eval.Get", [](const auto& r) { return Keys{watch::eval(r.eval_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto eval = s.eval(r.eval_id());
            if (!eval) return make_error(Code::NotFound, "eval not found");
            *out.mutable_eval() = *eval;
            if (r.related()) add_related(s, *out.mutable_eval());
            return eval->modify_index();
        });
    e.read<EvalListRequest, EvalListResponse>(
        "Eval.List", [](const auto&) { return Keys{watch::table(TableId::Evals)}; }, eval_list);
    e.read<EvalGetRequest, AllocListResponse>(
        "Eval.Allocations", [](const auto& r) { return Keys{watch::eval_allocs(r.eval_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto index = add_stubs(s.eval_allocs(r.eval_id()), out);
            return index != 0 ? index : s.table(TableId::Allocs);
        });
    e.read<DeploymentGetRequest, DeploymentGetResponse>(
        "Deployment.Get", [](const auto& r) { return Keys{watch::deployment(r.deployment_id())}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto deployment = s.deployment(r.deployment_id());
            if (!deployment) return make_error(Code::NotFound, "deployment not found");
            *out.mutable_deployment() = *deployment;
            return deployment->modify_index();
        });
    e.read<ListRequest, DeploymentListResponse>(
        "Deployment.List", [](const auto&) { return Keys{watch::table(TableId::Deployments)}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            const auto ns = namespace_of(r.query());
            std::vector<Item<DeploymentPtr>> items;
            s.deployments.each([&](const std::string& id, const DeploymentPtr& d) {
                if (ns == "*" || d->namespace_() == ns)
                    items.push_back({index_token(d->create_index(), id), id, d});
            });
            std::sort(items.begin(), items.end(),
                      [](const auto& a, const auto& b) { return a.token < b.token; });
            DROVER_TRY(auto page, page_of(std::move(items), r.query(), *out.mutable_meta(),
                                          [](const auto& value) -> const auto& { return *value; }));
            for (const auto& d : page) *out.add_deployments() = *d;
            return s.table(TableId::Deployments);
        });
    e.read<DeploymentGetRequest, AllocListResponse>(
        "Deployment.Allocations", [](const auto&) { return Keys{watch::table(TableId::Allocs)}; },
        [](const auto& r, const State& s, auto& out) -> Result<uint64_t> {
            std::vector<AllocPtr> records;
            if (const auto d = s.deployment(r.deployment_id()))
                for (auto& record : s.job_allocs(d->namespace_(), d->job_id()))
                    if (record->alloc->deployment_id() == d->id()) records.push_back(std::move(record));
            const auto index = add_stubs(std::move(records), out);
            return index != 0 ? index : s.table(TableId::Allocs);
        });
}

}  // namespace drover::server
