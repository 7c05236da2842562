// SPDX-License-Identifier: Apache-2.0
// The table of detectors.
#include "fingerprint/detector.h"

namespace drover::fingerprint {

std::span<const Detector> detectors() {
    static constexpr Detector kDetectors[] = {
        {"cpu", detect_cpu},        {"memory", detect_memory},   {"storage", detect_storage},
        {"host", detect_host},      {"kernel", detect_kernel},   {"cgroup", detect_cgroup},
        {"signal", detect_signals}, {"network", detect_network}, {"nomad", detect_nomad},
    };
    return kDetectors;
}

}  // namespace drover::fingerprint
