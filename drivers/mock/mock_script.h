// SPDX-License-Identifier: Apache-2.0
// Script: what a config says about each RPC: wait, fail, die like a plugin with a bug, never come back. And
// the faults, rules of the protocol broken on purpose, which show that the conformance checks notice them.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "drivers/mock/mock_config.h"

namespace drover::drivers {

class Script {
 public:
    // InvalidArgument: an RPC that does not exist, or one that cannot be scripted there (`known`).
    static Status validate(const std::vector<MockRpc>& rpc, const std::string& crash_at,
                           const std::string& hang_at, const std::vector<std::string>& known);

    Script() = default;
    Script(std::vector<MockRpc> rpc, std::string crash_at, std::string hang_at)
        : rpc_(std::move(rpc)), crash_at_(std::move(crash_at)), hang_at_(std::move(hang_at)) {}
    // Does it, for the next call of this RPC. Any thread; may not come back.
    Status at(std::string_view rpc);
    bool mentions(std::string_view rpc) const;

 private:
    std::vector<MockRpc> rpc_;
    std::string crash_at_, hang_at_;
    std::mutex mutex_;
    std::map<size_t, int32_t> called_;  // by the place in rpc_
};

const std::vector<std::string>& task_rpcs();
const std::vector<std::string>& plugin_rpcs();

// The rules that can be broken, by name.
const std::vector<std::string>& fault_names();
// What each start of a task leaves in the process: "leaks_threads", "leaks_descriptors", "leaks_memory",
// "leaks_processes".
void leak(const std::string& fault);

}  // namespace drover::drivers
