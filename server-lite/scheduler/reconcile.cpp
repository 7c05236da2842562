// SPDX-License-Identifier: Apache-2.0
#include "server-lite/scheduler/reconcile.h"

#include "base/clock.h"
#include "model/job_compare.h"
#include "model/status.h"

namespace drover::server {
namespace {

constexpr int64_t kRescheduleWindow = kSecond;  // what is due this soon is due now

using AllocSet = std::map<std::string, AllocPtr>;

bool ran_successfully(const model::Allocation& alloc) {
    return alloc.client_status() == model::kAllocClientComplete;
}

// The free names of a group: lowest index first; when all are taken it starts again from zero.
class NameIndex {
 public:
    NameIndex(std::string job, std::string group, int64_t count)
        : prefix_(std::move(job) + "." + std::move(group)), count_(count) {}
    void take(const std::string& name) {
        if (auto index = model::alloc_index(name); index >= 0) ++used_[index];
    }
    void free(const std::string& name) {
        auto found = used_.find(model::alloc_index(name));
        if (found != used_.end() && --found->second <= 0) used_.erase(found);
    }
    std::string next() {
        for (int64_t i = 0; i < count_; ++i)
            if (!used_.contains(i)) return give(i);
        return give(wrapped_++ % std::max<int64_t>(1, count_));
    }

 private:
    std::string give(int64_t index) {
        ++used_[index];
        return fmt::format("{}[{}]", prefix_, index);
    }
    std::string prefix_;
    int64_t count_;
    int64_t wrapped_ = 0;
    std::map<int64_t, int> used_;
};

bool rolls(const model::TaskGroup& group) {
    return group.has_update() && group.update().max_parallel() > 0;
}

class Reconciler {
 public:
    Reconciler(const ReconcileInput& in, Seeded& seeded) : in_(in), seeded_(seeded) {
        batch_ = in.job && in.job->type() == model::kJobTypeBatch;
    }

    Reconciled run() {
        settle_deployment();
        std::map<std::string, AllocSet> groups;
        const auto& eval = in_.eval;
        for (const auto& record : in_.state.job_allocs(eval.namespace_(), eval.job_id()))
            groups[record->alloc->task_group()].emplace(record->alloc->id(), record);
        if (!in_.job || in_.job->stop()) {
            for (const auto& [name, allocs] : groups) stop_all(name, allocs);
            return std::move(out_);
        }
        for (const auto& [name, allocs] : groups)
            if (!model::find_group(*in_.job, name)) stop_all(name, allocs);
        bool complete = true;
        for (const auto& group : in_.job->task_groups()) complete &= do_group(group, groups[group.name()]);
        finish_deployment(complete);
        return std::move(out_);
    }

 private:
    bool down(const model::Allocation& alloc) const {
        auto node = in_.state.node(alloc.node_id());
        return !node || node->status() == model::kNodeStatusDown;
    }

    // Deployments of other versions are over; those that are over themselves do not steer anything.
    void settle_deployment() {
        deployment_ = in_.deployment;
        if (!deployment_) return;
        const bool active = model::deployment_active(deployment_->status());
        auto cancel = [&](std::string_view description) {
            cmd::DeploymentStatusUpdate update;
            update.set_deployment_id(deployment_->id());
            update.set_status(std::string(model::kDeploymentCancelled));
            update.set_description(std::string(description));
            if (active) out_.deployment_updates.push_back(std::move(update));
            deployment_ = nullptr;
        };
        if (!in_.job || in_.job->stop()) return cancel("Cancelled because job is stopped");
        if (deployment_->job_create_index() != in_.job->create_index() ||
            deployment_->job_version() != in_.job->version())
            return cancel("Cancelled due to newer version of job");
        if (deployment_->status() == model::kDeploymentSuccessful) {
            finished_version_ = true;
            deployment_ = nullptr;
            return;
        }
        paused_ = deployment_->status() == model::kDeploymentPaused ||
                  deployment_->status() == model::kDeploymentPending ||
                  deployment_->status() == model::kDeploymentInitializing;
        failed_ = deployment_->status() == model::kDeploymentFailed;
    }

    void stop(const AllocPtr& record, std::string_view description, std::string client_status = "") {
        out_.stop.push_back({record, description, std::move(client_status)});
    }

    void stop_all(const std::string& name, const AllocSet& allocs) {
        auto& desired = out_.desired[name];
        for (const auto& [id, record] : allocs) {
            if (model::server_terminal(*record->alloc)) continue;
            const bool lost = !model::client_terminal(*record->alloc) && down(*record->alloc);
            stop(record, lost ? why::kLost : why::kNotNeeded,
                 lost ? std::string(model::kAllocClientLost) : "");
            desired.set_stop(desired.stop() + 1);
        }
    }

    struct Sorted {
        AllocSet keep, migrate, lost, again;  // again: failed, to be replaced now
        std::vector<LaterWish> later;
    };

    // What each allocation of the group stands for, first match wins.
    Sorted sort(const model::TaskGroup& group, const AllocSet& allocs) {
        Sorted s;
        for (const auto& [id, record] : allocs) {
            const auto& alloc = *record->alloc;
            const bool old = record->job->version() < in_.job->version() ||
                             record->job->create_index() < in_.job->create_index();
            if (batch_ && model::terminal(alloc) && old) continue;
            if (model::server_terminal(alloc)) {
                if (batch_ && ran_successfully(alloc)) s.keep.emplace(id, record);
                continue;
            }
            if (model::client_terminal(alloc)) {
                sort_terminal(group, record, s);
            } else if (alloc.desired_transition().migrate()) {
                s.migrate.emplace(id, record);
            } else if (down(alloc)) {
                s.lost.emplace(id, record);
            } else {
                s.keep.emplace(id, record);
            }
        }
        return s;
    }

    void sort_terminal(const model::TaskGroup& group, const AllocPtr& record, Sorted& s) {
        const auto& alloc = *record->alloc;
        if (!alloc.next_allocation().empty()) return;  // replaced already
        if (alloc.client_status() == model::kAllocClientComplete) {
            if (batch_) s.keep.emplace(alloc.id(), record);
            return;  // a service's is simply missing
        }
        if (alloc.client_status() == model::kAllocClientLost) return;
        if (alloc.desired_transition().force_reschedule()) {
            s.again.emplace(alloc.id(), record);
            return;
        }
        // While it is rolled out, the deployment decides what becomes of its failures.
        const bool deploying = deployment_ && model::deployment_active(deployment_->status()) &&
                               alloc.deployment_id() == deployment_->id() &&
                               !alloc.desired_transition().reschedule();
        const auto at = deploying ? std::nullopt : reschedule_time(alloc, group, in_.now);
        if (at && (alloc.followup_eval_id() == in_.eval.id() || *at - in_.now <= kRescheduleWindow)) {
            s.again.emplace(alloc.id(), record);
            return;
        }
        s.keep.emplace(alloc.id(), record);
        if (at && alloc.followup_eval_id().empty()) s.later.push_back({record, *at});
    }

    bool do_group(const model::TaskGroup& group, const AllocSet& allocs) {
        auto& desired = out_.desired[group.name()];
        const int64_t count = group.has_count() ? group.count() : 1;
        if (count == 0) {
            stop_all(group.name(), allocs);
            return true;
        }
        Sorted s = sort(group, allocs);
        for (auto& later : s.later) out_.later.push_back(later);
        desired.set_reschedule_later(s.later.size());

        NameIndex names(in_.job->id(), group.name(), count);
        for (const auto* set : {&s.keep, &s.migrate, &s.again, &s.lost})
            for (const auto& [id, record] : *set) names.take(record->alloc->name());
        stop_excess(count, s, names, desired);

        std::vector<AllocPtr> destructive;
        for (const auto& [id, record] : s.keep) compare_version(group, record, destructive, desired);

        bool existing_deployment = false;
        model::DeploymentState state;
        if (deployment_)
            if (auto found = deployment_->task_groups().find(group.name());
                found != deployment_->task_groups().end()) {
                existing_deployment = true;
                state = found->second;
            }

        const int64_t have = static_cast<int64_t>(s.keep.size() + s.migrate.size());
        const int64_t replaced = place_replacements(group, count, have, s, desired);
        const bool may_place = !paused_ && !failed_;
        int64_t fresh = 0;
        if (may_place || !existing_deployment) {
            for (int64_t i = have + replaced; i < count; ++i, ++fresh)
                out_.place.push_back({names.next(), &group, nullptr, std::nullopt, false});
        }
        desired.set_place(desired.place() + static_cast<uint64_t>(fresh));

        const int64_t limit = update_limit(group, s, destructive, existing_deployment);
        do_destructive(group, destructive, limit, desired);
        for (const auto& [id, record] : s.migrate) {
            out_.place.push_back(
                {record->alloc->name(), &group, record, StopWish{record, why::kMigrating, ""}, false});
            desired.set_migrate(desired.migrate() + 1);
        }

        const int64_t changed =
            fresh + replaced + static_cast<int64_t>(destructive.size() + desired.in_place_update());
        want_deployment(group, count, changed, allocs, existing_deployment);
        const bool settled = destructive.empty() && desired.in_place_update() == 0 && fresh == 0 &&
                             replaced == 0 && s.migrate.empty() && s.later.empty();
        if (!existing_deployment) return settled;
        return settled && state.healthy_allocs() >= state.desired_total();
    }

    // The count went down: migrating ones first, then the highest indexes.
    void stop_excess(int64_t count, Sorted& s, NameIndex& names, model::DesiredUpdates& desired) {
        int64_t excess = static_cast<int64_t>(s.keep.size() + s.migrate.size()) - count;
        if (excess <= 0) return;
        auto shrink = [&](AllocSet& set) {
            std::vector<AllocPtr> live;
            for (const auto& [id, record] : set)
                if (!model::terminal(*record->alloc)) live.push_back(record);
            std::stable_sort(live.begin(), live.end(), [](const AllocPtr& a, const AllocPtr& b) {
                return model::alloc_index(a->alloc->name()) > model::alloc_index(b->alloc->name());
            });
            for (const auto& record : live) {
                if (excess <= 0) return;
                --excess;
                stop(record, why::kNotNeeded);
                names.free(record->alloc->name());
                set.erase(record->alloc->id());
                desired.set_stop(desired.stop() + 1);
            }
        };
        shrink(s.migrate);
        shrink(s.keep);
    }

    void compare_version(const model::TaskGroup& group, const AllocPtr& record,
                         std::vector<AllocPtr>& destructive, model::DesiredUpdates& desired) {
        if (record->job->job_modify_index() == in_.job->job_modify_index() &&
            record->job->create_index() == in_.job->create_index()) {
            desired.set_ignore(desired.ignore() + 1);
            return;
        }
        if (model::group_update(*record->job, *in_.job, group.name()) == model::GroupUpdate::Destructive) {
            destructive.push_back(record);
            return;
        }
        if (model::terminal(*record->alloc)) {
            desired.set_ignore(desired.ignore() + 1);
            return;
        }
        if (!in_.may_stay(*record, group)) {
            destructive.push_back(record);
            return;
        }
        out_.in_place.push_back(record);
        desired.set_in_place_update(desired.in_place_update() + 1);
    }

    // Of failed and lost ones, as many as the count allows. Answers how many are placed.
    int64_t place_replacements(const model::TaskGroup& group, int64_t count, int64_t have, const Sorted& s,
                               model::DesiredUpdates& desired) {
        int64_t placed = 0;
        for (const auto& [id, record] : s.again) {
            if (have + placed >= count) break;
            out_.place.push_back(
                {record->alloc->name(), &group, record, StopWish{record, why::kRescheduled, ""}, true});
            desired.set_reschedule_now(desired.reschedule_now() + 1);
            desired.set_place(desired.place() + 1);
            ++placed;
        }
        const bool replace = !group.prevent_reschedule_on_lost();
        for (const auto& [id, record] : s.lost) {
            stop(record, why::kLost, std::string(model::kAllocClientLost));
            desired.set_stop(desired.stop() + 1);
            if (!replace || have + placed >= count) continue;
            out_.place.push_back({record->alloc->name(), &group, record, std::nullopt, false});
            desired.set_place(desired.place() + 1);
            ++placed;
        }
        return placed;
    }

    int64_t update_limit(const model::TaskGroup& group, const Sorted& s,
                         const std::vector<AllocPtr>& destructive, bool existing_deployment) {
        const int64_t count = group.has_count() ? group.count() : 1;
        if (!rolls(group) || destructive.size() + s.migrate.size() == 0) return count;
        if (batch_) return group.update().max_parallel();
        if (paused_ || failed_) return 0;
        int64_t limit = group.update().max_parallel();
        if (!existing_deployment) return limit;
        for (const auto& [id, record] : s.keep) {
            const auto& alloc = *record->alloc;
            if (alloc.deployment_id() != deployment_->id() || model::terminal(alloc)) continue;
            if (!alloc.deployment_status().has_healthy())
                --limit;
            else if (!alloc.deployment_status().healthy())
                return 0;
        }
        return std::max<int64_t>(0, limit);
    }

    void do_destructive(const model::TaskGroup& group, std::vector<AllocPtr>& destructive, int64_t limit,
                        model::DesiredUpdates& desired) {
        std::stable_sort(destructive.begin(), destructive.end(), [](const AllocPtr& a, const AllocPtr& b) {
            return model::alloc_index(a->alloc->name()) < model::alloc_index(b->alloc->name());
        });
        for (const auto& record : destructive) {
            if (limit-- <= 0) {
                desired.set_ignore(desired.ignore() + 1);
                continue;
            }
            out_.place.push_back(
                {record->alloc->name(), &group, record, StopWish{record, why::kUpdating, ""}, false});
            desired.set_destructive_update(desired.destructive_update() + 1);
        }
    }

    void want_deployment(const model::TaskGroup& group, int64_t count, int64_t changed,
                         const AllocSet& allocs, bool existing_deployment) {
        if (batch_ || !rolls(group) || existing_deployment || finished_version_ || deployment_failed_here())
            return;
        if (changed == 0) return;
        // Not for what is only repaired: some allocation of this version is there, and nothing is updated.
        bool of_version = false;
        for (const auto& [id, record] : allocs)
            of_version |= record->job->job_modify_index() == in_.job->job_modify_index() &&
                          record->job->create_index() == in_.job->create_index();
        const auto& desired = out_.desired[group.name()];
        if (of_version && desired.destructive_update() + desired.in_place_update() == 0 && !new_) return;
        if (!new_) {
            new_.emplace();
            new_->set_id(seeded_.uuid());
            new_->set_namespace_(in_.job->namespace_());
            new_->set_job_id(in_.job->id());
            new_->set_job_version(in_.job->version());
            new_->set_job_modify_index(in_.job->modify_index());
            new_->set_job_spec_modify_index(in_.job->job_modify_index());
            new_->set_job_create_index(in_.job->create_index());
            new_->set_status(std::string(model::kDeploymentRunning));
            new_->set_status_description("Deployment is running");
            new_->set_eval_priority(in_.eval.priority());
        }
        auto& state = (*new_->mutable_task_groups())[group.name()];
        state.set_auto_revert(group.update().auto_revert());
        state.set_auto_promote(group.update().auto_promote());
        state.set_progress_deadline(group.update().progress_deadline());
        state.set_desired_total(std::min(count, changed));
    }

    bool deployment_failed_here() const {
        return deployment_ && !model::deployment_active(deployment_->status());
    }

    void finish_deployment(bool complete) {
        if (deployment_ && model::deployment_active(deployment_->status())) {
            out_.deployment = deployment_;
            if (complete) {
                cmd::DeploymentStatusUpdate update;
                update.set_deployment_id(deployment_->id());
                update.set_status(std::string(model::kDeploymentSuccessful));
                update.set_description("Deployment completed successfully");
                out_.deployment_updates.push_back(std::move(update));
            }
            return;
        }
        if (!new_) return;
        out_.deployment = std::make_shared<const model::Deployment>(*new_);
        out_.new_deployment = std::move(new_);
    }

    const ReconcileInput& in_;
    Seeded& seeded_;
    bool batch_ = false, paused_ = false, failed_ = false, finished_version_ = false;
    DeploymentPtr deployment_;
    std::optional<model::Deployment> new_;
    Reconciled out_;
};

}  // namespace

Reconciled reconcile(const ReconcileInput& input, Seeded& seeded) {
    return Reconciler(input, seeded).run();
}

}  // namespace drover::server
