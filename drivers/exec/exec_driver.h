// SPDX-License-Identifier: Apache-2.0
// exec: a program in a container of its own, started by runc (or crun) through the shim. Its root is this machine's
// own directories, read-only, plus the task's local, secrets, tmp and the shared alloc directory. It declares image
// isolation, so no host builds or copies a root for it.
//
// Where things are: <state_dir>/.exec/<task>/ has the bundle, the runtime's state (--root) and its log. The container's
// id is made of the task's, so `runc delete --force` settles whatever a crash left.
#pragma once
#include "drivers/common/process_driver.h"
#include "drivers/exec/exec_config.h"

namespace drover::drivers {

class ExecDriver final : public ProcessDriver {
 public:
    std::string name() const override { return "exec"; }
    sdk::Capabilities capabilities() const override;
    std::optional<sdk::HclSpec> config_schema() const override { return exec_plugin_schema().spec(); }
    sdk::HclSpec task_config_schema() const override { return exec_task_schema().spec(); }
    Status set_config(std::string_view msgpack, const std::optional<sdk::AgentConfig>& agent) override;
    sdk::Fingerprint fingerprint() override;

 protected:
    Result<sdk::ProcessSpec> prepare(const sdk::TaskConfig& config) override;
    Status cleanup(const std::string& task_id) override;
    Error explain(Error error, const std::string& task_id) override;

 private:
    ExecPluginConfig config() const;
    Result<std::string> runtime() const;  // the absolute path
    std::string bundle_dir(const std::string& task_id) const;

    mutable std::mutex mutex_;
    ExecPluginConfig config_;
    // The runtime's version, asked for once for each binary.
    std::string version_of_;
    std::string version_;
};

}  // namespace drover::drivers
