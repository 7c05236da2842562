// SPDX-License-Identifier: Apache-2.0
// docker: a task is a container of the machine's docker daemon, which is its shim: it holds the container
// while plugin and agent are dead. The daemon may be away too; then tasks are left alone and looked at when
// it is back.
//
// Where things are: <state_dir>/.docker/tasks/<task>/ has the task's record and its log spool,
// .docker/images/ which images were brought here, .docker/owner the name that marks our containers. A
// container carries its task's id as a label, so the id alone is enough to find it.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "drivers/docker/docker_config.h"
#include "drivers/docker/docker_task.h"
#include "drivers/docker/docker_watch.h"
#include "drivers/docker/image_store.h"
#include "drivers/docker/log_collector.h"
#include "drover/driver.h"

namespace drover::drivers {

class DockerDriver final : public sdk::Driver {
 public:
    DockerDriver();
    ~DockerDriver() override;
    std::string name() const override { return "docker"; }
    std::string version() const override { return "0.1.0"; }
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override { return docker_plugin_schema().spec(); }
    sdk::HclSpec task_config_schema() const override { return docker_task_schema().spec(); }
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;

    Result<sdk::StartedTask> start_task(const sdk::TaskConfig& config) override;
    Status recover_task(const sdk::TaskHandle& handle) override;
    Status wait_task(const std::string& task_id, sdk::ExitCallback done) override;
    Status stop_task(const std::string& task_id, int64_t timeout_ns, const std::string& signal) override;
    Status destroy_task(const std::string& task_id, sdk::Force force) override;
    Result<sdk::TaskStatus> inspect_task(const std::string& task_id) override;
    Result<sdk::TaskStats> task_stats(const std::string& task_id) override;
    Status signal_task(const std::string& task_id, const std::string& signal) override;
    Result<sdk::ExecOutput> exec_task(const std::string& task_id, const std::vector<std::string>& command,
                                      int64_t timeout_ns) override;
    Result<sdk::ExitResult> exec_task_streaming(const std::string& task_id, const sdk::ExecRequest& request,
                                                sdk::ExecStream& stream) override;
    Result<sdk::CreatedNetwork> create_network(const std::string& alloc_id,
                                               const std::string& hostname) override;
    Status destroy_network(const std::string& alloc_id, const sdk::NetworkIsolation& network) override;

 private:
    using TaskPtr = std::shared_ptr<DockerTask>;
    // What lives once tasks are dealt with: short-lived instances that only tell their config never make it.
    struct Core;

    Result<Core*> core();
    std::shared_ptr<Engine> engine() const;
    DockerPluginConfig config() const;
    Result<TaskPtr> find(const std::string& task_id) const;
    std::vector<TaskPtr> all_tasks() const;

    // docker_start.cpp
    Result<std::string> make_container(Core& core, const sdk::TaskConfig& task,
                                       const DockerTaskConfig& config, const TaskRecord& record,
                                       const std::string& dir);
    Result<std::string> create_named(Core& core, const std::string& name, const sdk::TaskConfig& task,
                                     const nlohmann::json& body);
    Result<sdk::StartedTask> run_container(Core& core, const sdk::TaskConfig& task,
                                           const DockerTaskConfig& config);
    Result<std::optional<ContainerInfo>> find_container(Core& core, const std::string& task_id);
    sdk::StartedTask started(const sdk::TaskConfig& task, const ContainerInfo& info,
                             const DockerTaskConfig& config);
    TaskPtr adopt(Core& core, TaskRecord record, const std::optional<ContainerInfo>& info);

    void follow(Core& core, const TaskPtr& task);  // its log
    // Looks at the container and tells when it has ended or is gone.
    void look(Core& core, const TaskPtr& task);
    void set_ended(Core& core, const TaskPtr& task, sdk::ExitResult result, int64_t finished_ns);
    void on_event(Core& core, const std::string& task_id, const std::string& action);
    int64_t chores(Core& core);
    void remove_dangling(Core& core, const DockerDangling& how);
    void tell(const std::string& task_id, const std::string& alloc_id, const std::string& task_name,
              const std::string& message, const StringMap& annotations) const;
    Result<std::string> infra_image(Core& core, const DockerPluginConfig& plugin);

    mutable std::mutex mutex_;
    DockerPluginConfig config_;
    std::shared_ptr<Engine> engine_;
    double core_mhz_ = 0;
    bool was_healthy_ = false;
    std::map<std::string, TaskPtr> tasks_;
    std::map<std::string, int64_t>
        exits_due_;               // task id -> when its exit is told even if its log has not ended
    std::unique_ptr<Core> core_;  // last: its threads use all of the above
};

// The parts that live as long as the plugin has to do with tasks.
struct DockerDriver::Core {
    Core(std::shared_ptr<Engine> the_engine, const std::string& root)
        : engine(std::move(the_engine)), root(root), images(*engine, root + "/images"), logs(*engine) {}
    std::string task_dir(const std::string& task_id) const;

    const std::shared_ptr<Engine> engine;
    const std::string root;  // <state_dir>/.docker
    std::string owner;
    int64_t opened_ns = 0;  // monotonic
    int64_t dangling_at = 0;
    int64_t cpus = 1;
    ImageStore images;
    LogCollector logs;
    std::unique_ptr<DockerWatch> watch;
};

}  // namespace drover::drivers
