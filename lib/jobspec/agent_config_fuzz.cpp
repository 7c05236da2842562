// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an agent's configuration file, as HCL or JSON; what parses is merged over the defaults and
// validated.
#include "jobspec/agent_config.h"
#include "proto/agent/config.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace drover;
    agentconfig::AgentConfig config;
    std::string text(reinterpret_cast<const char*>(data), size);
    if (!jobspec::parse_agent_config(text, "agent.hcl", config)) return 0;
    agentconfig::AgentConfig whole = jobspec::default_agent_config();
    jobspec::merge_agent_config(whole, config);
    static_cast<void>(jobspec::validate_agent_config(whole, false).has_value());
    return 0;
}
