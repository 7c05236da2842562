// SPDX-License-Identifier: Apache-2.0
#include "agent/stats/host_stats.h"

#include <sys/statvfs.h>

#include <sstream>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "drover/types.h"

namespace drover::agent {
namespace {

Result<struct statvfs> stat_fs(const std::string& path) {
    struct statvfs fs {};
    if (::statvfs(path.c_str(), &fs) != 0) return Error::from_errno(fmt::format("statvfs {}", path));
    return fs;
}

Status fill_disk(const std::string& path, model::HostDiskStats& out) {
    DROVER_TRY(const auto fs, stat_fs(path));
    const uint64_t size = fs.f_blocks * fs.f_frsize;
    const uint64_t used = size - fs.f_bfree * fs.f_frsize;
    out.set_size(size);
    out.set_used(used);
    out.set_available(fs.f_bavail * fs.f_frsize);
    const uint64_t reachable = used + out.available();
    if (reachable > 0)
        out.set_used_percent(100.0 * static_cast<double>(used) / static_cast<double>(reachable));
    if (fs.f_files > 0) {
        out.set_inodes_used_percent(100.0 * static_cast<double>(fs.f_files - fs.f_ffree) /
                                    static_cast<double>(fs.f_files));
    }
    return {};
}

Status fill_memory(model::HostMemoryStats& out) {
    DROVER_TRY(const auto text, read_file("/proc/meminfo"));
    std::map<std::string, uint64_t> values;
    for (const auto& line : split(text, '\n')) {
        const auto colon = line.find(':');
        if (colon == std::string::npos) continue;
        const auto words = split(trim(std::string_view(line).substr(colon + 1)), ' ');
        if (const auto kb = parse_uint(words[0])) values[line.substr(0, colon)] = *kb * 1024;
    }
    out.set_total(values["MemTotal"]);
    out.set_free(values["MemFree"]);
    out.set_available(values["MemAvailable"]);
    const uint64_t unused = values["MemFree"] + values["Buffers"] + values["Cached"] + values["SReclaimable"];
    out.set_used(out.total() > unused ? out.total() - unused : 0);
    return {};
}

bool real_device(const std::string& device, const std::string& type) {
    return starts_with(device, "/dev/") || type == "zfs" || type == "overlay";
}

}  // namespace

HostStatsProbe::HostStatsProbe(std::string alloc_dir, double core_mhz)
    : alloc_dir_(std::move(alloc_dir)), core_mhz_(core_mhz) {}

Result<model::HostStats> HostStatsProbe::read() {
    model::HostStats out;
    DROVER_CHECK(fill_memory(*out.mutable_memory()));
    DROVER_TRY(const auto stat, read_file("/proc/stat"));
    std::lock_guard lock(mutex_);
    for (const auto& line : split(stat, '\n')) {
        if (!starts_with(line, "cpu") || starts_with(line, "cpu ")) continue;
        std::istringstream words(line);
        std::string name;
        std::array<uint64_t, 10> v{};
        words >> name;
        for (auto& value : v) words >> value;
        CpuTimes now;
        now.user = v[0] + v[1];
        now.system = v[2] + v[5] + v[6];
        now.idle = v[3] + v[4];
        now.total = now.user + now.system + now.idle + v[7];
        const CpuTimes before = std::exchange(last_[name], now);
        const double total = static_cast<double>(now.total - before.total);
        const auto percent = [total](uint64_t a, uint64_t b) {
            return total > 0 ? 100.0 * static_cast<double>(a - b) / total : 0.0;
        };
        auto& cpu = *out.add_cpu();
        cpu.set_cpu(name);
        cpu.set_user(percent(now.user, before.user));
        cpu.set_system(percent(now.system, before.system));
        cpu.set_idle(percent(now.idle, before.idle));
        out.set_cpu_ticks_consumed(out.cpu_ticks_consumed() + (100.0 - cpu.idle()) / 100.0 * core_mhz_);
    }
    DROVER_TRY(const auto mounts, read_file("/proc/self/mounts"));
    for (const auto& line : split(mounts, '\n')) {
        const auto words = split(line, ' ');
        if (words.size() < 3 || !real_device(words[0], words[2])) continue;
        model::HostDiskStats disk;
        disk.set_device(words[0]);
        disk.set_mountpoint(words[1]);
        if (fill_disk(words[1], disk)) *out.add_disk_stats() = std::move(disk);
    }
    DROVER_CHECK(fill_disk(alloc_dir_, *out.mutable_alloc_dir_stats()));
    DROVER_TRY(const auto uptime, read_file("/proc/uptime"));
    out.set_uptime(static_cast<uint64_t>(parse_double(split(uptime, ' ')[0]).value_or(0)));
    return out;
}

Result<DiskPressure> disk_pressure(const std::string& path) {
    model::HostDiskStats disk;
    DROVER_CHECK(fill_disk(path, disk));
    return DiskPressure{disk.used_percent(), disk.inodes_used_percent()};
}

namespace {

// Sets one figure and names it as measured; leaves it alone when the driver did not measure it.
template <class T, class Setter, class Measured>
void take(const std::optional<T>& value, const char* name, Setter set, Measured& measured) {
    if (!value) return;
    set(*value);
    *measured.Add() = name;
}

model::ResourceUsage to_model(const sdk::ResourceUsage& usage, double core_mhz) {
    model::ResourceUsage out;
    auto& cpu = *out.mutable_cpu_stats();
    auto& seen = *cpu.mutable_measured();
    take(
        usage.cpu.system_percent, "System Mode", [&](double v) { cpu.set_system_mode(v); }, seen);
    take(
        usage.cpu.user_percent, "User Mode", [&](double v) { cpu.set_user_mode(v); }, seen);
    take(
        usage.cpu.total_mhz, "Total Ticks", [&](double v) { cpu.set_total_ticks(v); }, seen);
    take(
        usage.cpu.throttled_periods, "Throttled Periods", [&](uint64_t v) { cpu.set_throttled_periods(v); },
        seen);
    take(
        usage.cpu.throttled_ns, "Throttled Time", [&](uint64_t v) { cpu.set_throttled_time(v); }, seen);
    take(
        usage.cpu.percent, "Percent", [&](double v) { cpu.set_percent(v); }, seen);
    if (!usage.cpu.total_mhz && usage.cpu.percent) cpu.set_total_ticks(*usage.cpu.percent / 100.0 * core_mhz);
    auto& memory = *out.mutable_memory_stats();
    auto& known = *memory.mutable_measured();
    take(
        usage.memory.rss_bytes, "RSS", [&](uint64_t v) { memory.set_rss(v); }, known);
    take(
        usage.memory.cache_bytes, "Cache", [&](uint64_t v) { memory.set_cache(v); }, known);
    take(
        usage.memory.swap_bytes, "Swap", [&](uint64_t v) { memory.set_swap(v); }, known);
    take(
        usage.memory.usage_bytes, "Usage", [&](uint64_t v) { memory.set_usage(v); }, known);
    take(
        usage.memory.max_usage_bytes, "Max Usage", [&](uint64_t v) { memory.set_max_usage(v); }, known);
    take(
        usage.memory.kernel_bytes, "Kernel Usage", [&](uint64_t v) { memory.set_kernel_usage(v); }, known);
    take(
        usage.memory.kernel_max_bytes, "Kernel Max Usage",
        [&](uint64_t v) { memory.set_kernel_max_usage(v); }, known);
    return out;
}

}  // namespace

model::TaskResourceUsage to_model(const sdk::TaskStats& stats, double core_mhz) {
    model::TaskResourceUsage out;
    out.set_timestamp(stats.timestamp_unix_ns);
    *out.mutable_resource_usage() = to_model(stats.total, core_mhz);
    for (const auto& [pid, usage] : stats.by_pid) (*out.mutable_pids())[pid] = to_model(usage, core_mhz);
    return out;
}

void add_usage(model::ResourceUsage& total, const model::ResourceUsage& part) {
    auto& cpu = *total.mutable_cpu_stats();
    const auto& c = part.cpu_stats();
    cpu.set_system_mode(cpu.system_mode() + c.system_mode());
    cpu.set_user_mode(cpu.user_mode() + c.user_mode());
    cpu.set_total_ticks(cpu.total_ticks() + c.total_ticks());
    cpu.set_throttled_periods(cpu.throttled_periods() + c.throttled_periods());
    cpu.set_throttled_time(cpu.throttled_time() + c.throttled_time());
    cpu.set_percent(cpu.percent() + c.percent());
    auto& memory = *total.mutable_memory_stats();
    const auto& m = part.memory_stats();
    memory.set_rss(memory.rss() + m.rss());
    memory.set_cache(memory.cache() + m.cache());
    memory.set_swap(memory.swap() + m.swap());
    memory.set_usage(memory.usage() + m.usage());
    memory.set_max_usage(memory.max_usage() + m.max_usage());
    memory.set_kernel_usage(memory.kernel_usage() + m.kernel_usage());
    memory.set_kernel_max_usage(memory.kernel_max_usage() + m.kernel_max_usage());
    const auto merge = [](auto& into, const auto& from) {
        for (const auto& name : from) {
            if (std::find(into.begin(), into.end(), name) == into.end()) *into.Add() = name;
        }
    };
    merge(*cpu.mutable_measured(), c.measured());
    merge(*memory.mutable_measured(), m.measured());
    total.mutable_device_stats()->MergeFrom(part.device_stats());
}

}  // namespace drover::agent
