// SPDX-License-Identifier: Apache-2.0
// The version this agent answers as, its own version, and where it can be reached.
#include "base/version.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {

Status detect_nomad(const Input& input, model::Node& node) {
    set_attribute(node, "nomad.version", std::string(kNomadVersion));
    set_attribute(node, "drover.version", std::string(kVersion));
    const auto& client = input.config.client();
    const bool discovery = !client.has_nomad_service_discovery() || client.nomad_service_discovery();
    set_attribute(node, "nomad.service_discovery", discovery ? "true" : "false");
    if (!input.config.advertise().http().empty()) {
        set_attribute(node, "unique.advertise.address", input.config.advertise().http());
    }
    return {};
}

}  // namespace drover::fingerprint
