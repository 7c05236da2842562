// SPDX-License-Identifier: Apache-2.0
// Cgroup: one group in every hierarchy that matters (v1) or in the unified tree (v2), behind the same verbs.
// Direct cgroupfs access, no daemon, no cached state: what the kernel says now is the truth, so a new process
// that opens the same path continues where the dead one was. Callable from any thread; blocking
// (microseconds, kill and remove: more).
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace drover::cgroup {

constexpr char kDefaultParent[] = "drover";

enum class Version { None, V1, V2 };

// Where the hierarchies are mounted. mounted() reads /proc/self/mountinfo once per process.
struct Layout {
    Version version = Version::None;
    std::string root2;  // v2: the mount point
    // v1: controller (or "name=systemd", or "unified" for the hybrid tree) -> mount point, in the order of
    // mounting.
    std::vector<std::pair<std::string, std::string>> hierarchies;

    const std::string* hierarchy(std::string_view controller) const;  // nullptr when not mounted
    std::vector<std::string> controllers() const;  // sorted names; v2: cgroup.controllers of the root
};
const Layout& mounted();
Layout parse_mounts(std::string_view mountinfo);  // from the text of /proc/self/mountinfo

// What is not set is left as the kernel has it.
struct Limits {
    std::optional<uint64_t> cpu_shares;   // v1 scale 2..262144; becomes cpu.weight 1..10000 on v2
    std::optional<int64_t> cpu_quota_us;  // per cpu_period_us; -1: none
    std::optional<uint64_t> cpu_period_us;
    std::string cpuset_cpus;  // "0-3,7"; empty: the parent's
    std::string cpuset_mems;
    std::optional<int64_t> memory_limit_bytes;  // hard: beyond it the OOM killer comes; -1: none
    std::optional<int64_t> memory_soft_bytes;   // reservation: memory.soft_limit_in_bytes, memory.low
    std::optional<int64_t>
        memory_swap_bytes;  // swap alone, beside the limit; 0: none may be used, -1: no limit
    std::optional<uint64_t> memory_swappiness;  // v1 only, ignored on v2
    std::optional<uint64_t> pids_max;
    std::optional<uint64_t> io_weight;  // 1..10000, 100 is the kernel's; only v2, and only where it has io.weight

    friend bool operator==(const Limits&, const Limits&) = default;
};

// Counters since the group was made; what a kernel or hierarchy does not offer stays 0.
struct Stats {
    uint64_t cpu_ns = 0;
    uint64_t cpu_user_ns = 0;
    uint64_t cpu_system_ns = 0;
    uint64_t cpu_throttled_ns = 0;
    uint64_t cpu_throttled_periods = 0;
    uint64_t memory_usage_bytes = 0;
    uint64_t memory_peak_bytes = 0;
    uint64_t memory_rss_bytes = 0;
    uint64_t memory_cache_bytes = 0;
    uint64_t memory_mapped_bytes = 0;
    uint64_t memory_swap_bytes = 0;
    uint64_t memory_kernel_bytes = 0;
    uint64_t memory_kernel_peak_bytes = 0;
    uint64_t oom_kills = 0;
    uint64_t pids = 0;
};

// Share of the last ten seconds in which tasks of the group waited for a resource (v2's pressure files), in percent.
struct Pressure {
    double some = 0;  // at least one of them
    double full = 0;  // all of them
};

// A name for the group; owns nothing but the text. Groups outlive processes on purpose: only remove()
// removes.
class Cgroup {
 public:
    // Makes the group and its missing parents ("drover/task/web-1"; no "..", not empty), then sets the
    // limits. A group that exists already is taken over.
    static Result<Cgroup> create(const std::string& path, const Limits& limits = {},
                                 const Layout& layout = mounted());
    // No check whether it exists: exists() tells.
    static Result<Cgroup> open(const std::string& path, const Layout& layout = mounted());

    const std::string& path() const { return path_; }
    Version version() const { return layout_.version; }
    bool exists() const;

    Status apply(const Limits& limits);
    Status attach(pid_t pid);                  // the whole process
    Result<std::vector<pid_t>> procs() const;  // of the group and the groups below it
    Result<Stats> stats() const;               // counters of the whole subtree; often: StatsReader
    std::optional<Pressure> pressure(std::string_view of) const;  // "cpu", "memory", "io"; absent on v1
    uint64_t oom_kills() const;                // of the whole subtree

    // SIGKILL to every process of the subtree, forks in flight included (v1: frozen first, v2: cgroup.kill).
    // Returns when the subtree is empty; DeadlineExceeded names who is left.
    Status kill_tree(int64_t timeout_ns);
    Status freeze(bool frozen);
    // Removes the group and those below it, retrying while the kernel still takes dead processes out of it. A
    // missing group is success; one with living processes is FailedPrecondition after the timeout.
    Status remove(int64_t timeout_ns);

    // For the shim's spec: the files a process writes "0" to in order to join (v1: one `tasks` per hierarchy,
    // v2: cgroup.procs), where the tree is killed from, and where OOM kills are counted.
    std::vector<std::string> join_files() const;
    std::string freezer_dir() const;  // v1; empty when not mounted
    std::string unified_dir() const;  // v2
    std::string oom_file() const;
    // The directory in one controller's hierarchy (v1) or the group's (v2); empty when not mounted.
    std::string dir(std::string_view controller) const;

 private:
    Cgroup(std::string path, Layout layout) : path_(std::move(path)), layout_(std::move(layout)) {}
    std::vector<std::string> dirs() const;  // one per hierarchy in which we make groups
    std::vector<std::string> all_dirs()
        const;  // in every mounted hierarchy: runc makes groups in all of them

    std::string path_;
    Layout layout_;
};

// The same counters (but oom_kills) again and again, through descriptors that it keeps: an eighth of the time that
// opening each file takes. Of those a process keeps at most half of its RLIMIT_NOFILE; beyond that each is opened anew.
// One thread at a time.
class StatsReader {
 public:
    explicit StatsReader(const Cgroup& group);
    StatsReader(const StatsReader&) = delete;
    StatsReader& operator=(const StatsReader&) = delete;
    ~StatsReader();
    Result<Stats> read();  // NotFound: the group is gone

 private:
    enum File { CpuUser, CpuSystem, CpuStat, MemoryStat, MemoryUsage, MemoryPeak, Kernel, KernelPeak, Swap, Pids };
    static constexpr int kFiles = Pids + 1;
    std::string_view text(File file);
    uint64_t number(File file);

    std::string group_;
    Version version_;
    std::string paths_[kFiles];
    int fds_[kFiles];
    int readable_ = 0;  // of the read in progress
    char buffer_[8192];
};

}  // namespace drover::cgroup
