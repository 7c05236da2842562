// SPDX-License-Identifier: Apache-2.0
// NodeService: NodePort for the API in the same process: files, logs, statistics and requests about
// allocations, asked of their runners. Thread-safe; blocks on the disk and, for at most kAnswerNs, on a
// runner's strand, so it must not be called from the agent's own threads.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "agent/alloc/alloc_registry.h"
#include "agent/stats/host_stats.h"
#include "ports/node_port.h"

namespace drover::agent {

class NodeService : public ports::NodePort {
 public:
    struct Sources {
        std::string node_id;
        AllocRegistry* registry = nullptr;
        std::string alloc_root;
        double core_mhz = 0;
        std::function<std::map<std::string, std::map<std::string, std::string>>()> stats;
        std::function<std::string()> plugin_status_json;
    };
    explicit NodeService(Sources sources);
    ~NodeService() override;

    std::string node_id() const override;
    bool has_alloc(const std::string& alloc_id) const override;
    Result<std::vector<model::AllocFileInfo>> list_files(const std::string& alloc_id,
                                                         const std::string& path) override;
    Result<model::AllocFileInfo> stat_file(const std::string& alloc_id, const std::string& path) override;
    Result<UniqueFd> open_file(const std::string& alloc_id, const std::string& path) override;
    Result<std::unique_ptr<ports::FrameStream>> stream_file(const std::string& alloc_id,
                                                            const std::string& path,
                                                            const std::string& origin, int64_t offset,
                                                            bool follow) override;
    Result<std::unique_ptr<ports::FrameStream>> stream_logs(const ports::LogRequest& request) override;
    Result<model::AllocResourceUsage> alloc_stats(const std::string& alloc_id,
                                                  const std::string& task) override;
    Result<model::HostStats> host_stats() override;
    Status restart_alloc(const std::string& alloc_id, const std::string& task, bool all_tasks) override;
    Status signal_alloc(const std::string& alloc_id, const std::string& task,
                        const std::string& signal) override;
    Status collect_alloc(const std::string& alloc_id) override;
    Status collect_all() override;
    std::map<std::string, std::map<std::string, std::string>> stats() const override;
    std::string plugin_status_json() const override;

 private:
    Result<std::shared_ptr<AllocRunner>> runner(const std::string& alloc_id) const;

    Sources sources_;
    HostStatsProbe probe_;
};

}  // namespace drover::agent
