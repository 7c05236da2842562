// SPDX-License-Identifier: Apache-2.0
// ContainerDriver: what drivers with containers share (exec, java): a task is a container of its own, started by runc
// ContainerDriver: what drivers with containers share (exec, java): a task is a container of its own, started by runc
// (or crun) through the shim. Its root is this machine's directories, read-only, plus the task's local, secrets, tmp
// the keys of its task config and the command line.
//
// Where things are: <state_dir>/.<driver>/<task>/ has the bundle, the runtime's state (--root) and its log. The
// container's id is made of the task's, so `runc delete --force` settles whatever a crash left.
#pragma once
#include "drivers/common/process_driver.h"
#include "drivers/oci/isolation_config.h"
#include "drivers/oci/task_bundle.h"

namespace drover::drivers::oci {

class ContainerDriver : public ProcessDriver {
 public:
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override { return isolation_plugin_schema().spec(); }
    sdk::HclSpec task_config_schema() const final;  // the driver's own keys and the isolation's
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    // Whether containers can be had here; a driver adds what else it needs, and its attributes.
    sdk::Fingerprint fingerprint() override;

 protected:
    // The keys of a task's config beside the isolation's, as an object.
    virtual sdk::HclSpec command_schema() const = 0;
    // The container's argv: an absolute path (find_command() in `view`), then the arguments. May add to the bundle what
    // the command needs (environment, mounts). Errors are what the user sees.
    virtual Result<std::vector<std::string>> command_line(const sdk::TaskConfig& task,
                                                          const std::vector<ViewEntry>& view, Bundle& bundle) = 0;

 private:
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& config) final;
    Status cleanup(const std::string& task_id) final;
    Error explain(Error error, const std::string& task_id) final;
    Result<sdk::ExecProgram> exec_program(const sdk::ProcessTask& task, const sdk::ExecRequest& request) final;

    IsolationPluginConfig config() const;
    Result<std::string> runtime() const;  // the absolute path
    std::string bundle_dir(const std::string& task_id) const;

    mutable std::mutex mutex_;
    IsolationPluginConfig config_;
    // The runtime's version, asked for once for each binary.
    std::string version_of_;
    std::string version_;
};

// Where `command` is for the task, as find_command(); with the PATH of the task's environment.
Result<std::string> find_in_container(const std::string& command, const sdk::TaskConfig& task,
                                      const std::vector<ViewEntry>& view, const Bundle& bundle);

}  // namespace drover::drivers::oci
