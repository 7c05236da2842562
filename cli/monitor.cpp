// SPDX-License-Identifier: Apache-2.0
#include "cli/monitor.h"

#include <thread>

#include "base/clock.h"
#include "base/strings.h"
#include "cli/show.h"
#include "model/status.h"
#include "proto/model/model.pb.h"

namespace drover::cli {
namespace {

constexpr int kExitNotPlaced = 2;
constexpr std::string_view kPollWait = "1000ms";

struct AllocSeen {
    std::string client_status;
};

class EvalMonitor {
 public:
    EvalMonitor(Invocation& in, api::Client& client) : in_(in), client_(client), length_(id_length(in)) {}

    int run(std::string eval_id);

 private:
    void headline(std::string_view text) { in_.io.line(in_.io.bold(fmt::format("==> {}: {}", now(), text))); }
    void output(std::string_view text) { in_.io.line(fmt::format("    {}: {}", now(), text)); }
    std::string now() const { return format_time(in_.io.clock()); }
    std::string id(std::string_view text) const { return quoted(limit_id(text, length_)); }

    bool poll(const std::string& eval_id, model::Evaluation& eval);
    void show_changes(const model::Evaluation& eval, const std::vector<model::AllocationListStub>& allocs);
    void show_end(const model::Evaluation& eval);

    Invocation& in_;
    api::Client& client_;
    const size_t length_;
    std::string status_ = "pending";
    std::string job_;
    std::string node_;
    std::string deployment_;
    std::map<std::string, AllocSeen> allocs_;
    uint64_t index_ = 0;
    bool not_placed_ = false;
};

// One look at the evaluation and its allocations; waits for a change of the evaluation.
bool EvalMonitor::poll(const std::string& eval_id, model::Evaluation& eval) {
    api::QueryParams query = {{"index", std::to_string(index_)}, {"wait", std::string(kPollWait)}};
    auto reply = client_.get("/v1/evaluation/" + api::escape_segment(eval_id),
                             index_ > 0 ? query : api::QueryParams());
    auto read = reply ? model::json::decode(reply->body, eval) : Status(reply.error());
    if (!read) return fail(in_, "Error reading evaluation: {}", read.error().message()), false;
    bool same = reply->index() == index_;
    index_ = reply->index();
    auto allocs =
        get_list<model::AllocationListStub>(client_, fmt::format("/v1/evaluation/{}/allocations", eval_id));
    if (!allocs) return fail(in_, "Error reading allocations: {}", allocs.error().message()), false;
    show_changes(eval, *allocs);
    // A server without blocking queries would be asked as fast as it answers.
    if (same && !model::eval_terminal(eval.status()))
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return true;
}

void EvalMonitor::show_changes(const model::Evaluation& eval,
                               const std::vector<model::AllocationListStub>& allocs) {
    if (node_.empty() && !eval.node_id().empty())
        output(fmt::format("Evaluation triggered by node {}", id(eval.node_id())));
    if (job_.empty() && !eval.job_id().empty())
        output(fmt::format("Evaluation triggered by job {}", quoted(eval.job_id())));
    if (deployment_.empty() && !eval.deployment_id().empty())
        output(fmt::format("Evaluation within deployment: {}", id(eval.deployment_id())));
    node_ = eval.node_id();
    job_ = eval.job_id();
    if (!eval.deployment_id().empty()) deployment_ = eval.deployment_id();
    for (const auto& alloc : allocs) {
        auto [it, fresh] = allocs_.try_emplace(alloc.id(), AllocSeen{alloc.client_status()});
        if (fresh && alloc.create_index() < eval.create_index())
            output(fmt::format("Allocation {} modified: node {}, group {}", id(alloc.id()),
                               id(alloc.node_id()), quoted(alloc.task_group())));
        else if (fresh && alloc.desired_status() == model::kAllocDesiredRun)
            output(fmt::format("Allocation {} created: node {}, group {}", id(alloc.id()),
                               id(alloc.node_id()), quoted(alloc.task_group())));
        if (fresh || it->second.client_status == alloc.client_status()) continue;
        auto why = alloc.client_description().empty() ? "" : fmt::format(" ({})", alloc.client_description());
        output(fmt::format("Allocation {} status changed: {} -> {}{}", id(alloc.id()),
                           quoted(it->second.client_status), quoted(alloc.client_status()), why));
        it->second.client_status = alloc.client_status();
    }
    if (status_ != eval.status() && eval.status() != model::kEvalStatusPending)
        output(fmt::format("Evaluation status changed: {} -> {}", quoted(status_), quoted(eval.status())));
    status_ = eval.status();
}

void EvalMonitor::show_end(const model::Evaluation& eval) {
    auto finished =
        fmt::format("Evaluation {} finished with status {}", id(eval.id()), quoted(eval.status()));
    if (eval.failed_tg_allocs().empty()) return headline(finished);
    not_placed_ = true;
    headline(finished + " but failed to place all allocations:");
    std::map<std::string, const model::AllocationMetric*> groups;
    for (const auto& [name, metrics] : eval.failed_tg_allocs()) groups[name] = &metrics;
    for (const auto& [name, metrics] : groups) {
        output(failed_group_title(name, *metrics));
        in_.io.line(metrics_text(*metrics, false, "      "));
    }
    if (!eval.blocked_eval().empty())
        output(fmt::format("Evaluation {} waiting for additional capacity to place remainder",
                           id(eval.blocked_eval())));
}

int EvalMonitor::run(std::string eval_id) {
    model::Evaluation eval;
    while (true) {
        headline(fmt::format("Monitoring evaluation {}", id(eval_id)));
        index_ = 0;
        do {
            eval.Clear();
            if (!poll(eval_id, eval)) return kExitError;
        } while (!model::eval_terminal(eval.status()));
        show_end(eval);
        if (eval.next_eval().empty()) break;
        if (eval.wait() > 0)
            headline(fmt::format("Monitoring next evaluation {} in {}", id(eval.next_eval()),
                                 format_duration(eval.wait())));
        eval_id = eval.next_eval();
        status_ = "pending";
        job_.clear();
    }
    if (deployment_.empty()) return not_placed_ ? kExitNotPlaced : kExitOk;
    headline(fmt::format("Monitoring deployment {}", id(deployment_)));
    auto status = monitor_deployment(in_, client_, deployment_, "    ");
    if (!status) return fail(in_, "Error monitoring deployment: {}", status.error().message());
    if (*status == model::kDeploymentSuccessful) return not_placed_ ? kExitNotPlaced : kExitOk;
    return kExitError;
}

// Redraws on a terminal; else every block stands below the last one.
class BlockPrinter {
 public:
    BlockPrinter(Streams& io, std::string_view line_prefix) : io_(io), prefix_(line_prefix) {}

    void print(const std::string& block) {
        if (!io_.out_is_terminal) return io_.out(fmt::format("{}\n{}\n", prefix_, block));
        std::string text;
        for (size_t i = 0; i < lines_; ++i) text += "\033[1A\033[2K";
        text += block + "\n";
        lines_ = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
        io_.out(text);
    }

 private:
    Streams& io_;
    const std::string prefix_;
    size_t lines_ = 0;
};

bool auto_reverts(const model::Deployment& deployment) {
    for (const auto& [name, state] : deployment.task_groups())
        if (state.auto_revert()) return true;
    return false;
}

// The deployment that a failed one with auto_revert has led to; empty when none comes.
std::string rollback_of(api::Client& client, const model::Deployment& failed) {
    constexpr int kTries = 20;
    for (int i = 0; i < kTries; ++i) {
        model::Deployment latest;
        auto status = client.get_message(job_path(failed.job_id(), "/deployment"), latest);
        if (status && !latest.id().empty() && latest.id() != failed.id() &&
            latest.job_version() != failed.job_version())
            return latest.id();
        std::this_thread::sleep_for(std::chrono::milliseconds(250));
    }
    return "";
}

}  // namespace

int monitor_eval(Invocation& in, api::Client& client, const std::string& eval_id) {
    return EvalMonitor(in, client).run(eval_id);
}

Result<std::string> monitor_deployment(Invocation& in, api::Client& client, const std::string& deployment_id,
                                       std::string_view line_prefix) {
    BlockPrinter printer(in.io, line_prefix);
    uint64_t index = 0;
    std::string shown;
    bool verbose = id_length(in) == kFullId;
    while (true) {
        api::QueryParams query;
        if (index > 0) query = {{"index", std::to_string(index)}, {"wait", "5000ms"}};
        DROVER_TRY(auto reply, client.get("/v1/deployment/" + api::escape_segment(deployment_id), query));
        model::Deployment deployment;
        DROVER_CHECK(model::json::decode(reply.body, deployment));
        bool same = reply.index() == index;
        index = reply.index();
        auto block = deployment_text(deployment, {verbose, in.io.clock()}, in.io.bold("Deployed"));
        if (verbose) {
            DROVER_TRY(auto allocs, get_list<model::AllocationListStub>(
                                        client, fmt::format("/v1/deployment/allocations/{}", deployment_id)));
            block += fmt::format("\n\n{}\n{}", in.io.bold("Allocations"),
                                 allocs_table(allocs, {verbose, in.io.clock()}));
        }
        if (block != shown) printer.print(fmt::format("{}\n{}", format_time(in.io.clock()), block));
        shown = block;
        if (!model::deployment_active(deployment.status())) {
            if (deployment.status() != model::kDeploymentFailed || !auto_reverts(deployment))
                return deployment.status();
            auto next = rollback_of(client, deployment);
            if (next.empty()) return deployment.status();
            DROVER_TRY(auto ignored, monitor_deployment(in, client, next, line_prefix));
            return deployment.status();  // the rollback's success is not this job version's
        }
        if (same) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
}

}  // namespace drover::cli
