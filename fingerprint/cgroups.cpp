// SPDX-License-Identifier: Apache-2.0
// Which cgroup version tasks are run under.
#include "cgroup/cgroup.h"
#include "fingerprint/detector.h"

namespace drover::fingerprint {

Status detect_cgroup(const Input&, model::Node& node) {
    switch (cgroup::mounted().version) {
        case cgroup::Version::V1:
            set_attribute(node, "os.cgroups.version", "1");
            break;
        case cgroup::Version::V2:
            set_attribute(node, "os.cgroups.version", "2");
            break;
        case cgroup::Version::None:
            break;
    }
    return {};
}

}  // namespace drover::fingerprint
