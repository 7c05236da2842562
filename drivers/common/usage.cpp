// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/usage.h"

#include "base/clock.h"

namespace drover::drivers {

double core_speed_mhz(const std::optional<sdk::AgentConfig>& agent) {
    if (!agent || !agent->topology || agent->topology->cores.empty()) return 0;
    double total = 0;
    for (const sdk::CpuCore& core : agent->topology->cores)
        total += static_cast<double>(core.base_mhz ? core.base_mhz : core.guess_mhz ? core.guess_mhz : core.max_mhz);
    return total / static_cast<double>(agent->topology->cores.size());
}

sdk::TaskStats UsageMeter::measure(const cgroup::Stats& now, int64_t started_unix_ns, double core_mhz) {
    sdk::TaskStats out;
    out.timestamp_unix_ns = unix_now();
    out.total.memory = {.rss_bytes = now.memory_rss_bytes,
                        .cache_bytes = now.memory_cache_bytes,
                        .max_usage_bytes = now.memory_peak_bytes,
                        .kernel_bytes = now.memory_kernel_bytes,
                        .kernel_max_bytes = now.memory_kernel_peak_bytes,
                        .usage_bytes = now.memory_usage_bytes,
                        .swap_bytes = now.memory_swap_bytes};
    sdk::CpuUsage& cpu = out.total.cpu;
    cpu.throttled_periods = now.cpu_throttled_periods;
    cpu.throttled_ns = now.cpu_throttled_ns;

    const int64_t at = mono_now();
    const double elapsed = static_cast<double>(sampled_ns_ ? at - sampled_ns_ : unix_now() - started_unix_ns);
    auto percent = [elapsed](uint64_t before, uint64_t after) {
        return elapsed > 0 && after >= before ? 100.0 * static_cast<double>(after - before) / elapsed : 0.0;
    };
    cpu.percent = percent(cpu_ns_, now.cpu_ns);
    cpu.user_percent = percent(cpu_user_ns_, now.cpu_user_ns);
    cpu.system_percent = percent(cpu_system_ns_, now.cpu_system_ns);
    if (core_mhz > 0) cpu.total_mhz = *cpu.percent / 100 * core_mhz;
    cpu_ns_ = now.cpu_ns;
    cpu_user_ns_ = now.cpu_user_ns;
    cpu_system_ns_ = now.cpu_system_ns;
    sampled_ns_ = at;
    return out;
}

}  // namespace drover::drivers
