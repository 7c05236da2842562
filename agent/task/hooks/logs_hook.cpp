// SPDX-License-Identifier: Apache-2.0
// One FIFO for each of the task's outputs, under <data_dir>/client, out of the task's sight, held and drained
// by drover-logd before the driver opens it. The same FIFO serves every start of the task.
#include "agent/logs/logd_client.h"
#include "agent/task/hooks/hook.h"
#include "base/files.h"

namespace drover::agent {
namespace {

constexpr int64_t kMaxFilesDefault = 10;
constexpr int64_t kMaxFileMbDefault = 10;

Status add_stream(const TaskContext& context, const char* which) {
    const auto& config = context.task->log_config();
    LogStream stream;
    stream.id = context.stream_id(which);
    stream.fifo = context.fifo(which);
    stream.dir = context.dir.logs();
    stream.name = fmt::format("{}.{}", context.task->name(), which);
    stream.max_files = static_cast<uint32_t>(config.has_max_files() ? config.max_files() : kMaxFilesDefault);
    stream.max_file_bytes =
        static_cast<uint64_t>(config.has_max_file_size_mb() ? config.max_file_size_mb() : kMaxFileMbDefault)
        << 20;
    return context.logd->add(stream);
}

}  // namespace

bool TaskContext::logs_disabled() const {
    return logd == nullptr || task->log_config().disabled() || capabilities.disable_log_collection;
}

std::string TaskContext::stream_id(const char* which) const {
    return fmt::format("{}/{}/{}", alloc->id(), task->name(), which);
}

std::string TaskContext::fifo(const char* which) const {
    return fmt::format("{}/{}.{}", fifo_dir, task->name(), which);
}

Status logs_hook(TaskContext& context) {
    if (context.logs_disabled()) return {};
    DROVER_CHECK(make_dirs(context.fifo_dir, 0700));
    DROVER_CHECK(add_stream(context, "stdout"));
    return add_stream(context, "stderr");
}

}  // namespace drover::agent
