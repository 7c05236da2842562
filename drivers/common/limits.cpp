// SPDX-License-Identifier: Apache-2.0
#include "drivers/common/limits.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"

namespace drover::drivers {
namespace {

struct RlimitKind {
    const char* name;
    int resource;
};
constexpr RlimitKind kRlimits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK}};

std::optional<uint64_t> limit_value(std::string_view text) {
    text = trim(text);
    if (text == "unlimited" || text == "-1") return RLIM_INFINITY;
    return parse_uint(text);
}

}  // namespace

cgroup::Limits resource_limits(const sdk::Resources& resources) {
    cgroup::Limits limits;
    if (resources.cpu_mhz > 0)
        limits.cpu_shares = static_cast<uint64_t>(std::clamp<int64_t>(resources.cpu_mhz, 2, 262'144));
    limits.cpuset_cpus = resources.linux_resources.cpuset_cpus;
    constexpr int64_t kMb = 1 << 20;
    if (int64_t hard_mb = std::max(resources.memory_mb, resources.memory_max_mb); hard_mb > 0) {
        limits.memory_limit_bytes = hard_mb * kMb;
        limits.memory_swap_bytes = 0;
        if (resources.memory_mb > 0 && resources.memory_mb < hard_mb)
            limits.memory_soft_bytes = resources.memory_mb * kMb;
    }
    return limits;
}

Status add_cpu_quota(const sdk::Resources& resources, int64_t period_us, cgroup::Limits* limits) {
    if (period_us < 1'000 || period_us > 1'000'000)
        return make_error(Code::InvalidArgument, "cpu_cfs_period: expected 1000 to 1000000 microseconds, found {}",
                          period_us);
    const double fraction = resources.linux_resources.compute_fraction;
    const long cores = ::sysconf(_SC_NPROCESSORS_CONF);
    if (fraction <= 0 || cores <= 0)
        return make_error(Code::FailedPrecondition,
                          "cpu_hard_limit: the agent did not say which share of the machine the task has");
    limits->cpu_period_us = static_cast<uint64_t>(period_us);
    // The kernel takes no quota below a millisecond.
    limits->cpu_quota_us = std::max<int64_t>(
        1'000, static_cast<int64_t>(fraction * static_cast<double>(cores) * static_cast<double>(period_us)));
    return {};
}

Result<std::optional<uint64_t>> pids_limit(int64_t task, int64_t plugin) {
    if (task < 0) return make_error(Code::InvalidArgument, "pids_limit: must not be negative, found {}", task);
    if (plugin > 0 && task > plugin)
        return make_error(Code::InvalidArgument, "pids_limit: the agent's plugin config allows at most {}, found {}",
                          plugin, task);
    if (task == 0 && plugin <= 0) return std::optional<uint64_t>();
    return std::optional<uint64_t>(static_cast<uint64_t>(task > 0 ? task : plugin));
}

Result<std::vector<sdk::ProcessRlimit>> parse_ulimits(const std::map<std::string, std::string>& ulimit) {
    std::vector<sdk::ProcessRlimit> out;
    for (const auto& [name, text] : ulimit) {
        auto kind = std::find_if(std::begin(kRlimits), std::end(kRlimits),
                                 [&](const RlimitKind& k) { return to_lower(name) == k.name; });
        if (kind == std::end(kRlimits)) {
            std::vector<std::string> known;
            for (const RlimitKind& k : kRlimits) known.push_back(k.name);
            return make_error(Code::InvalidArgument, "ulimit: \"{}\" is none; there are {}", name, join(known, ", "));
        }
        const size_t colon = text.find(':');
        auto soft = limit_value(std::string_view(text).substr(0, colon));
        auto hard = colon == std::string::npos ? soft : limit_value(std::string_view(text).substr(colon + 1));
        if (!soft || !hard || *soft > *hard)
            return make_error(Code::InvalidArgument, "ulimit: {}: expected SOFT:HARD or one number, found \"{}\"", name,
                              text);
        out.push_back({kind->resource, *soft, *hard});
    }
    return out;
}

std::string rlimit_name(int resource) {
    for (const RlimitKind& kind : kRlimits)
        if (kind.resource == resource) return "RLIMIT_" + to_upper(kind.name);
    return "";
}

}  // namespace drover::drivers
