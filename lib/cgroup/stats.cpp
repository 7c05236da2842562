// SPDX-License-Identifier: Apache-2.0
// Reading the counters of a group.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>

#include "base/files.h"
#include "base/strings.h"
#include "cgroup/cgroup.h"

namespace drover::cgroup {
namespace {

std::atomic<int> kept_fds{0};

bool may_keep() {
    struct rlimit limit {};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
    return static_cast<rlim_t>(kept_fds.load(std::memory_order_relaxed)) < limit.rlim_cur / 2;
}

// The value behind `key` in a text of "key value" lines.
uint64_t keyed(std::string_view text, std::string_view key) {
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find('\n', at), text.size());
        std::string_view line = text.substr(at, end - at);
        if (line.size() > key.size() && starts_with(line, key) && line[key.size()] == ' ')
            return parse_uint(trim(line.substr(key.size() + 1))).value_or(0);
        at = end + 1;
    }
    return 0;
}

}  // namespace

StatsReader::StatsReader(const Cgroup& group) : group_(group.path()), version_(group.version()) {
    std::fill(std::begin(fds_), std::end(fds_), -1);
    auto name = [&](File file, std::string_view controller, std::string_view name) {
        if (std::string dir = group.dir(controller); !dir.empty()) paths_[file] = join_path(dir, name);
    };
    if (version_ == Version::V2) {
        name(CpuStat, "cpu", "cpu.stat");
        name(MemoryStat, "memory", "memory.stat");
        name(MemoryUsage, "memory", "memory.current");
        name(MemoryPeak, "memory", "memory.peak");
        name(Swap, "memory", "memory.swap.current");
    } else {
        name(CpuUser, "cpuacct", "cpuacct.usage_user");
        name(CpuSystem, "cpuacct", "cpuacct.usage_sys");
        name(CpuStat, "cpu", "cpu.stat");
        name(MemoryStat, "memory", "memory.stat");
        name(MemoryUsage, "memory", "memory.usage_in_bytes");
        name(MemoryPeak, "memory", "memory.max_usage_in_bytes");
        name(Kernel, "memory", "memory.kmem.usage_in_bytes");
        name(KernelPeak, "memory", "memory.kmem.max_usage_in_bytes");
    }
    name(Pids, "pids", "pids.current");
}

StatsReader::~StatsReader() {
    for (int fd : fds_) {
        if (fd < 0) continue;
        ::close(fd);
        kept_fds.fetch_sub(1, std::memory_order_relaxed);
    }
}

std::string_view StatsReader::text(File file) {
    if (paths_[file].empty()) return {};
    int fd = fds_[file];
    if (fd < 0) fd = ::open(paths_[file].c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    ssize_t n = ::pread(fd, buffer_, sizeof buffer_, 0);
    if (fds_[file] < 0 && n > 0 && may_keep()) {
        fds_[file] = fd;
        kept_fds.fetch_add(1, std::memory_order_relaxed);
    } else if (fds_[file] < 0) {
        ::close(fd);
    }
    if (n <= 0) return {};
    ++readable_;
    return std::string_view(buffer_, static_cast<size_t>(n));
}

uint64_t StatsReader::number(File file) { return parse_uint(trim(text(file))).value_or(0); }

Result<Stats> StatsReader::read() {
    Stats stats;
    readable_ = 0;
    const std::string_view cpu = text(CpuStat);
    stats.cpu_throttled_periods = keyed(cpu, "nr_throttled");
    if (version_ == Version::V2) {
        stats.cpu_ns = keyed(cpu, "usage_usec") * 1000;
        stats.cpu_user_ns = keyed(cpu, "user_usec") * 1000;
        stats.cpu_system_ns = keyed(cpu, "system_usec") * 1000;
        stats.cpu_throttled_ns = keyed(cpu, "throttled_usec") * 1000;
        const std::string_view memory = text(MemoryStat);
        stats.memory_rss_bytes = keyed(memory, "anon");
        stats.memory_cache_bytes = keyed(memory, "file");
        stats.memory_mapped_bytes = keyed(memory, "file_mapped");
        stats.memory_kernel_bytes = keyed(memory, "kernel");
        stats.memory_swap_bytes = number(Swap);
    } else {
        stats.cpu_throttled_ns = keyed(cpu, "throttled_time");
        stats.cpu_user_ns = number(CpuUser);
        stats.cpu_system_ns = number(CpuSystem);
        stats.cpu_ns = stats.cpu_user_ns + stats.cpu_system_ns;
        const std::string_view memory = text(MemoryStat);
        stats.memory_rss_bytes = keyed(memory, "total_rss");
        stats.memory_cache_bytes = keyed(memory, "total_cache");
        stats.memory_mapped_bytes = keyed(memory, "total_mapped_file");
        stats.memory_swap_bytes = keyed(memory, "total_swap");
        stats.memory_kernel_bytes = number(Kernel);
        stats.memory_kernel_peak_bytes = number(KernelPeak);
    }
    stats.memory_usage_bytes = number(MemoryUsage);
    stats.memory_peak_bytes = number(MemoryPeak);
    stats.pids = number(Pids);
    if (readable_ == 0) return make_error(Code::NotFound, "cgroup {} does not exist", group_);
    return stats;
}

Result<Stats> Cgroup::stats() const {
    DROVER_TRY(Stats stats, StatsReader(*this).read());
    stats.oom_kills = oom_kills();
    return stats;
}

std::optional<Pressure> Cgroup::pressure(std::string_view of) const {
    if (version() != Version::V2) return std::nullopt;
    auto text = read_file(fmt::format("{}/{}.pressure", dir(""), of), 4096);
    if (!text) return std::nullopt;
    Pressure out;
    for (const std::string& line : split(*text, '\n')) {  // "some avg10=0.12 avg60=..."
        size_t at = line.find("avg10=");
        if (at == std::string::npos) continue;
        std::string_view value = std::string_view(line).substr(at + 6);
        (starts_with(line, "some") ? out.some : out.full) = parse_double(value.substr(0, value.find(' '))).value_or(0);
    }
    return out;
}

}  // namespace drover::cgroup
