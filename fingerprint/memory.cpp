// SPDX-License-Identifier: Apache-2.0
// Total memory: /proc/meminfo, or what the configuration says.
#include "base/strings.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {

Status detect_memory(const Input& input, model::Node& node) {
    const int64_t configured_mb = input.config.client().memory_total_mb();
    if (configured_mb < 0) {
        return make_error(Code::InvalidArgument, "client: memory_total_mb is {}, expected 0 or more",
                          configured_mb);
    }
    int64_t bytes = configured_mb << 20;
    if (configured_mb == 0) {
        for (const auto& line : split(read_line(input, "/proc/meminfo"), '\n')) {
            if (!starts_with(line, "MemTotal:")) continue;
            std::string_view value = trim(std::string_view(line).substr(9));
            if (ends_with(value, " kB")) value.remove_suffix(3);
            bytes = parse_int(trim(value)).value_or(0) * 1024;
        }
    }
    if (bytes <= 0) return make_error(Code::NotFound, "/proc/meminfo has no MemTotal");
    set_attribute(node, "memory.totalbytes", std::to_string(bytes));
    node.mutable_node_resources()->mutable_memory()->set_memory_mb(bytes >> 20);
    return {};
}

}  // namespace drover::fingerprint
