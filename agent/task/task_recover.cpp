// SPDX-License-Identifier: Apache-2.0
// TaskRunner's way back to a task that runs: after the death of the agent or of the plugin, and after an upgrade.
#include "agent/task/task_runner.h"
#include "base/log.h"

namespace drover::agent {
namespace {

constexpr const char* kComponent = "client.alloc_runner.task_runner";

}  // namespace

void TaskRunner::perform(const task_action::RecoverTask& action) {
    auto found = driver();
    if (!found) {
        // Its plugin was removed, or its new version does not get as far as its name.
        if (!context_.rebooted) return input(task_event::RecoverRefused{found.error().message()});
        return input(task_event::RecoverFailed{found.error().message()});
    }
    (*found)->capabilities(
        on_strand([task_id = action.task_id](TaskRunner& self, Result<sdk::Capabilities> result) {
            self.recover_with(task_id, std::move(result));
        }));
}

// The config is made anew; what belongs to the driver is in driver_state, empty when the agent died before it
// had it.
void TaskRunner::recover_with(const std::string& task_id, Result<sdk::Capabilities> capabilities) {
    if (!capabilities) return input(task_event::DriverLost{});
    auto found = driver();
    if (!found) return input(task_event::RecoverFailed{found.error().message()});
    auto context = make_context(std::move(*capabilities));
    for (const auto& hook : task_hooks()) {
        if (!hook.again_to_recover) continue;
        if (auto status = hook.run(context); !status)
            log::debug(kComponent, "config of a running task", {{"error", status.error().message()}});
    }
    const auto& record = machine_->record();
    sdk::TaskHandle handle;
    handle.config = std::move(context.config);
    handle.config.id = task_id;
    handle.version = record.handle().version();
    handle.state = sdk::TaskState::Running;
    handle.driver_state = record.handle().driver_state();
    (*found)->recover_task(std::move(handle),
                           on_strand([driver = *found](TaskRunner& self, Result<void> result) {
                               if (!result) return self.recover_failed(*driver, result.error());
                               self.connect_tries_ = 0;
                               self.input(task_event::Recovered{driver->status().build});
                           }));
}

// The executable that ran it knows best; another one that fails may only be too new or too old for the
// handle.
void TaskRunner::recover_failed(Driver& driver, const Error& error) {
    if (plugin_lost(error)) return input(task_event::DriverLost{});
    if (context_.rebooted)
        return input(task_event::RecoverFailed{"the machine was restarted: " + error.message()});
    const auto status = driver.status();
    const auto& ran_by = machine_->record().handle().plugin_build();
    if (ran_by.empty() || status.build == ran_by || error.code() == Code::NotFound)
        return input(task_event::RecoverFailed{error.message()});
    refused_by_ = status.generation;
    input(task_event::RecoverRefused{error.message()});
}

}  // namespace drover::agent
