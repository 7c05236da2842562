// SPDX-License-Identifier: Apache-2.0
// What a detector is, and the helpers that several share. One file per detector; registry.cpp lists them.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "proto/agent/config.pb.h"
#include "proto/model/node.pb.h"

namespace drover::fingerprint {

struct Input {
    const agentconfig::AgentConfig& config;
    std::string data_dir;
    std::string root;  // before /proc, /sys and /etc: empty, or a test's tree
};

// Adds what it finds to the node. InvalidArgument: the configuration is wrong, the agent must not start. Any
// other error is logged by fingerprint.cpp, and the next detector runs.
struct Detector {
    std::string_view name;  // for fingerprint.allowlist and .denylist
    Status (*run)(const Input&, model::Node&);
};

// In the order they run: later ones may look at what earlier ones found.
std::span<const Detector> detectors();

inline void set_attribute(model::Node& node, std::string key, std::string value) {
    (*node.mutable_attributes())[std::move(key)] = std::move(value);
}
// A file's text without surrounding white space; "" when it cannot be read.
std::string read_line(const Input& input, std::string_view path);
// "0-3,7" -> 0 1 2 3 7, sorted, each once. InvalidArgument names the part that is wrong.
Result<std::vector<uint32_t>> parse_id_list(std::string_view text);
std::string format_id_list(const std::vector<uint32_t>& ids);  // sorted ids

Status detect_cpu(const Input&, model::Node&);
Status detect_memory(const Input&, model::Node&);
Status detect_storage(const Input&, model::Node&);
Status detect_host(const Input&, model::Node&);
Status detect_kernel(const Input&, model::Node&);
Status detect_cgroup(const Input&, model::Node&);
Status detect_signals(const Input&, model::Node&);
Status detect_network(const Input&, model::Node&);
Status detect_nomad(const Input&, model::Node&);

}  // namespace drover::fingerprint
