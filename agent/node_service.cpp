// SPDX-License-Identifier: Apache-2.0
#include "agent/node_service.h"

#include <future>

#include "agent/logs/follow.h"
#include "base/clock.h"

namespace drover::agent {
namespace {

constexpr auto kAnswer = std::chrono::seconds(10);

// Runs `ask` on the runner's strand, where it calls its argument with the answer, now or later.
template <class T>
Result<T> ask_runner(const std::shared_ptr<AllocRunner>& runner,
                     std::function<void(AllocRunner&, std::function<void(Result<T>)>)> ask) {
    auto promise = std::make_shared<std::promise<Result<T>>>();
    auto future = promise->get_future();
    boost::asio::post(runner->strand(), [runner, promise, ask = std::move(ask)] {
        ask(*runner, [promise](Result<T> result) { promise->set_value(std::move(result)); });
    });
    if (future.wait_for(kAnswer) != std::future_status::ready) {
        return make_error(Code::DeadlineExceeded, "allocation {:?} did not answer in time", runner->id());
    }
    return future.get();
}

}  // namespace

NodeService::NodeService(Sources sources)
    : sources_(std::move(sources)), probe_(sources_.alloc_root, sources_.core_mhz) {}
NodeService::~NodeService() = default;

std::string NodeService::node_id() const {
    return sources_.node_id;
}

bool NodeService::has_alloc(const std::string& alloc_id) const {
    return sources_.registry->find(alloc_id) != nullptr;
}

Result<std::shared_ptr<AllocRunner>> NodeService::runner(const std::string& alloc_id) const {
    auto found = sources_.registry->find(alloc_id);
    if (!found) return make_error(Code::NotFound, "unknown allocation ID {:?}", alloc_id);
    return found;
}

// ---- files
// -----------------------------------------------------------------------------------------------------------

Result<std::vector<model::AllocFileInfo>> NodeService::list_files(const std::string& alloc_id,
                                                                  const std::string& path) {
    DROVER_TRY(const auto found, runner(alloc_id));
    return found->dir().list(path);
}

Result<model::AllocFileInfo> NodeService::stat_file(const std::string& alloc_id, const std::string& path) {
    DROVER_TRY(const auto found, runner(alloc_id));
    return found->dir().stat(path);
}

Result<UniqueFd> NodeService::open_file(const std::string& alloc_id, const std::string& path) {
    DROVER_TRY(const auto found, runner(alloc_id));
    return found->dir().open(path);
}

Result<std::unique_ptr<ports::FrameStream>> NodeService::stream_file(const std::string& alloc_id,
                                                                     const std::string& path,
                                                                     const std::string& origin,
                                                                     int64_t offset, bool follow) {
    DROVER_TRY(const auto found, runner(alloc_id));
    return follow_file(found->dir(), path, origin, offset, follow);
}

Result<std::unique_ptr<ports::FrameStream>> NodeService::stream_logs(const ports::LogRequest& request) {
    if (request.type != "stdout" && request.type != "stderr") {
        return make_error(Code::InvalidArgument, "log type must be stdout or stderr, not {:?}", request.type);
    }
    DROVER_TRY(const auto found, runner(request.alloc_id));
    enum class Known { Unknown, NotStarted, Started };
    DROVER_TRY(const Known known,
               ask_runner<Known>(found, [task = request.task](AllocRunner& alloc, auto answer) {
                   const auto* one = alloc.find(task);
                   if (one == nullptr) return answer(Known::Unknown);
                   answer(one->started() ? Known::Started : Known::NotStarted);
               }));
    if (known == Known::Unknown)
        return make_error(Code::InvalidArgument, "unknown task name {:?}", request.task);
    if (known == Known::NotStarted) {
        return make_error(Code::NotFound, "task {:?} not started yet. No logs available", request.task);
    }
    return follow_logs(found->dir(), fmt::format("{}.{}", request.task, request.type), request.origin,
                       request.offset, request.follow);
}

// ---- figures
// ---------------------------------------------------------------------------------------------------------

Result<model::AllocResourceUsage> NodeService::alloc_stats(const std::string& alloc_id,
                                                           const std::string& task) {
    DROVER_TRY(const auto found, runner(alloc_id));
    DROVER_TRY(const auto samples,
               ask_runner<AllocRunner::Samples>(
                   found, [task](AllocRunner& alloc, auto answer) { alloc.stats(task, std::move(answer)); }));
    model::AllocResourceUsage usage;
    usage.set_timestamp(unix_now());
    usage.mutable_resource_usage()->mutable_cpu_stats();
    usage.mutable_resource_usage()->mutable_memory_stats();
    for (const auto& [name, sample] : samples) {
        auto one = to_model(sample, sources_.core_mhz);
        add_usage(*usage.mutable_resource_usage(), one.resource_usage());
        (*usage.mutable_tasks())[name] = std::move(one);
    }
    return usage;
}

Result<model::HostStats> NodeService::host_stats() {
    return probe_.read();
}

std::map<std::string, std::map<std::string, std::string>> NodeService::stats() const {
    return sources_.stats();
}

std::string NodeService::plugin_status_json() const {
    return sources_.plugin_status_json();
}

// ---- requests
// --------------------------------------------------------------------------------------------------------

Status NodeService::restart_alloc(const std::string& alloc_id, const std::string& task, bool all_tasks) {
    DROVER_TRY(const auto found, runner(alloc_id));
    if (!task.empty() && all_tasks) {
        return make_error(Code::InvalidArgument, "Can't restart all tasks when a task name is set");
    }
    return ask_runner<void>(found, [task, all_tasks](AllocRunner& alloc, auto answer) {
        answer(alloc.restart(task, all_tasks));
    });
}

Status NodeService::signal_alloc(const std::string& alloc_id, const std::string& task,
                                 const std::string& signal) {
    DROVER_TRY(const auto found, runner(alloc_id));
    return ask_runner<void>(found, [task, signal](AllocRunner& alloc, auto answer) {
        alloc.signal(task, signal.empty() ? "SIGKILL" : signal, std::move(answer));
    });
}

Status NodeService::collect_alloc(const std::string& alloc_id) {
    return sources_.registry->collect(alloc_id);
}

Status NodeService::collect_all() {
    sources_.registry->collect_all();
    return {};
}

}  // namespace drover::agent
